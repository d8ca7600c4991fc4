"""How fast a campaign goes, and how long it will take."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from campaigns.domain.states import SENDABLE, MessageState
from worker.shapes import OwnedCampaign, ProgressPoint

_LOOKED_AT = timedelta(minutes=5)  # of the newest past: what was before says little of what comes
_LEAST = timedelta(seconds=5)  # less says nothing


def per_second(campaign: OwnedCampaign, points: Sequence[ProgressPoint]) -> float | None:
    """Messages that left the queue a second, of late; None where that cannot be said."""
    now = campaign.finished_at or datetime.now(UTC)
    known = [point for point in points if point.at <= now - _LEAST]
    if not known:
        return None
    since = next((point for point in known if point.at >= now - _LOOKED_AT), known[-1])
    left = since.totals[MessageState.QUEUED] - campaign.totals[MessageState.QUEUED]
    return max(0.0, left / (now - since.at).total_seconds())


def seconds_left(campaign: OwnedCampaign, rate: float | None) -> float | None:
    """Until the last one is handed over, at this rate; None where nothing is queued, or that is not known."""
    queued = campaign.totals[MessageState.QUEUED]
    if not rate or not queued or campaign.state not in SENDABLE:
        return None
    return queued / rate


def counts(totals: Mapping[MessageState, int]) -> Mapping[str, int]:
    """What an act would do, in numbers: what waits, what is under way."""
    away = sum(totals[state] for state in (MessageState.SENDING, MessageState.ACCEPTED, MessageState.SENT))
    return {
        "queued": totals[MessageState.QUEUED],
        "away": away + totals[MessageState.BUFFERED],
        "doubt": totals[MessageState.IN_DOUBT],
    }
