"""What an operator sees: every state, every trouble, and nothing that a terminal would obey."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from rich.console import Console, RenderableType

from campaigns.domain.holds import CampaignHold
from campaigns.domain.provider import Sighting
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.reading.messages import MessageRow
from campaigns.store.reading.overviews import Cost, Overview
from campaigns.store.reading.status_lag import StatusLag
from campaigns.store.reasons import Reason
from worker.cli import display

ID = UUID("0123456789abcdef0123456789abcdef")
NOW = datetime(2026, 2, 12, 15, 0, tzinfo=UTC)
HOSTILE = "\x1b]0;gone\x07 red\u202e"
PLAIN = Overview(
    id=ID,
    name="Spring",
    account="main",
    state=CampaignState.RUNNING,
    recipient_count=3,
    totals=dict.fromkeys(MessageState, 0) | {MessageState.QUEUED: 3},
    segment_count=3,
    costs=(),
    unpriced_count=0,
    currency="EUR",
    created_at=NOW,
    finished_at=None,
    refused={},
    noted={},
    held=None,
    trouble=None,
)
ROW = MessageRow(
    campaign_id=ID,
    row=2,
    phone="+37060000001",
    account="main",
    state=MessageState.DELIVERED,
    provider_message_id="id-1",
    provider_state="DELIVERED",
    attempt=1,
    cost=Decimal("0.0144"),
    currency="EUR",
    segment_count=1,
    reason=None,
    channel=None,
    provider_changed_at=None,
    updated_at=NOW,
    reference="ref-1",
)


def shown(what: RenderableType) -> str:
    text = io.StringIO()
    Console(file=text, width=300, color_system=None).print(what)
    return text.getvalue()


@pytest.mark.parametrize("state", MessageState)
def test_every_state_of_a_message_is_shown_with_its_count(state: MessageState) -> None:
    counted = replace(PLAIN, totals=dict.fromkeys(MessageState, 0) | {state: 1234})
    assert [line.split()[:2] for line in shown(display.campaign(counted)).splitlines()].count(
        [state.value, "1234"]
    ) == 1
    assert f"{state.value}=1234" in display._line(counted)
    assert state.value in shown(display.message(replace(ROW, state=state)))


def test_what_was_charged_is_told_for_each_currency_and_for_how_many() -> None:
    assert "cost 0.00 EUR, 3 segments" in shown(display.campaign(PLAIN))
    assert "cost unknown, 3 segments" in shown(display.campaign(replace(PLAIN, unpriced_count=1)))
    costs = (Cost(Decimal("1.5"), "EUR", 2), Cost(Decimal("0.25"), None, 1))
    assert "cost 1.50 EUR + 0.25 of 3 of 4 messages, 3 segments" in shown(
        display.campaign(replace(PLAIN, costs=costs, unpriced_count=1))
    )


def test_why_it_waits_or_does_not_go_on_is_said() -> None:
    hold = CampaignHold(ID, NOW, "sender", "9", "sender name not registered")
    for change, sentence in (
        ({"is_waiting": True, "send_at": NOW}, "nothing is handed over before 2026-02-12 15:00:00 UTC"),
        ({"not_after": NOW}, "nothing is handed over after 2026-02-12 15:00:00 UTC"),
        ({"refused": {"duplicate": 2, "invalid": 3}}, "not taken in: 5"),
        ({"reasons": (Reason("13", None, 4),)}, "4 the provider does not say why (code 13)"),
        ({"hold": hold}, f"campaigns resume {ID} [--sender-id NAME]"),
        ({"held": "no money"}, "account main is on hold: no money"),
        ({"trouble": "HTTP 503"}, "last trouble: HTTP 503"),
        ({"status_lag": StatusLag(2, 3, NOW)}, "statuses lag: 2 of 3 open messages"),
    ):
        assert sentence not in shown(display.campaign(PLAIN))
        assert sentence in shown(display.campaign(replace(PLAIN, **change)))


@pytest.mark.parametrize(("minutes", "said"), [(0, "1 min"), (119, "119 min"), (120, "2 h")])
def test_a_lag_is_told_in_minutes_and_then_in_hours(minutes: int, said: str) -> None:
    assert display._lag(StatusLag(1, 1, NOW - timedelta(minutes=minutes)), NOW).endswith(f"for {said}")


def hostile() -> Iterator[RenderableType]:
    troubled = replace(
        PLAIN,
        name=HOSTILE,
        held=HOSTILE,
        reasons=(Reason(HOSTILE, HOSTILE, 3),),
        totals=PLAIN.totals | {MessageState.QUEUED: 0, MessageState.REJECTED: 3},
        hold=CampaignHold(ID, NOW, "text", HOSTILE, HOSTILE),
    )
    yield display.campaign(troubled)
    yield display.campaign(replace(PLAIN, trouble=HOSTILE))
    yield display.campaigns([troubled])
    yield display._line(troubled)
    yield display._line(replace(troubled, hold=None))
    yield display.message(
        replace(ROW, provider_message_id=HOSTILE, provider_state=HOSTILE, reason=HOSTILE, channel=HOSTILE)
    )
    sighting = Sighting(HOSTILE, None, HOSTILE, reason=HOSTILE, code=HOSTILE, channel=HOSTILE)
    yield display.sightings("main", [sighting])


def test_what_others_wrote_does_nothing_to_the_terminal() -> None:
    for what in hostile():
        text = shown(what)
        assert "gone" in text
        assert not set("\x1b\x07\u202e") & set(text), text
