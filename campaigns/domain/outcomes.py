"""What the outcomes of hand-overs say together: whether a batch may go on, and whose fault a refusal is."""

from collections.abc import Sequence
from typing import TypeGuard

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)

Refusal = CampaignTrouble | Rejected

Told = Sequence[tuple[int, Outcome]]
"""Outcomes by position."""

LEFT = (Accepted, InDoubt)
"""The provider has them or may have them."""

TROUBLED = (AccountTrouble, CampaignTrouble, Throttled, NotSent)
"""Nothing was taken, and the batch must not go on just now."""

IN_VAIN = (Throttled, NotSent, InDoubt)
"""No sign of a provider that works."""

ENOUGH_REFUSALS = 10
"""When so many messages in a row are refused for their sender or text, and none is taken in between, the
campaign is at fault. Fewer prove nothing; a killed worker can leave as many more in doubt.
"""


def of_one_request(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of one request, of one text and one sender: where something was taken, a refusal of either
    is about its own number (of another country, another operator).
    """
    if any(isinstance(outcome, Accepted) for outcome in outcomes):
        return [own_refusal(o) if isinstance(o, CampaignTrouble) else o for o in outcomes]
    return list(outcomes)


def own_refusal(refusal: Refusal) -> Rejected:
    """The same, as the message's own fault."""
    return refusal if isinstance(refusal, Rejected) else Rejected(refusal.code, refusal.reason)


def is_of_campaign(outcome: Outcome) -> TypeGuard[Refusal]:
    """Whether it is, or may be, the campaign's fault."""
    return isinstance(outcome, CampaignTrouble) or (isinstance(outcome, Rejected) and outcome.is_unclear)


def is_at_once(outcome: Outcome) -> bool:
    """Whether what hindered it is mended already."""
    return isinstance(outcome, NotSent) and outcome.retry_at_once


def trouble_of(outcomes: Sequence[Outcome]) -> str | None:
    """Why the batch must not go on just now; None when it may. Doubt and refusals are no such reason."""
    for outcome in outcomes:
        match outcome:
            case AccountTrouble():
                return f"account on hold: {outcome.reason}"
            case CampaignTrouble():
                return f"the campaign's {outcome.about} is refused: {outcome.reason}"
            case Throttled() | NotSent():
                return outcome.why
            case Accepted() | Rejected() | Failed() | InDoubt():
                continue
    return None


def pause_after(outcomes: Sequence[Outcome], backoff_seconds: float) -> float:
    """How many seconds to wait after these before anything is handed over again."""
    waits = [0.0]
    for outcome in outcomes:
        match outcome:
            case Throttled(retry_after_seconds=seconds):
                # Not sooner than by backoff: some say 0 seconds, again and again.
                waits.append(max(seconds or 0.0, backoff_seconds))
            case NotSent(retry_at_once=False):
                waits.append(backoff_seconds)
            case _:
                continue
    return max(waits)
