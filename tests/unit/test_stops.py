"""When a batch that stopped is handed over again."""

from collections.abc import Sequence

import pytest

from campaigns.domain.provider import AccountTrouble, NotSent, Outcome, Throttled
from campaigns.domain.stops import GoOn, Stop, go_on

REFUSED = NotSent("connection refused")
BUSY = Throttled(700, "HTTP 503")
NO_MONEY = AccountTrouble("32", "no money")


@pytest.mark.parametrize(
    ("stop", "troubled", "handed_over", "held", "on"),
    [
        # It came to its end: the tries in vain are counted anew.
        (None, [], True, False, GoOn(0, 0, None)),
        (None, [], False, True, GoOn(0, 0, "account on hold")),
        # It stopped for a reason of ours: no try in vain, unless the stop says so.
        (Stop(None), [], False, False, GoOn(None, None, None)),
        (Stop(1.5), [], True, False, GoOn(1.5, None, None)),
        (Stop(60, "why", spends_retry=True), [], False, False, GoOn(60, 4, "why")),
        # What the provider said counts above why it stopped, and its pause is waited for.
        (Stop(2, "database away"), [REFUSED], False, False, GoOn(500, 4, "connection refused")),
        (None, [REFUSED, BUSY], True, False, GoOn(700, 0, "connection refused")),
        (None, [NO_MONEY], False, True, GoOn(0, 4, "account on hold: no money")),
        (Stop(None), [NotSent("mended", retry_at_once=True)], True, False, GoOn(0, None, "mended")),
    ],
)
def test_when_it_goes_on(
    stop: Stop | None, troubled: Sequence[Outcome], handed_over: bool, held: bool, on: GoOn
) -> None:
    found = go_on(
        stop, troubled, retry_count=3, handed_over=handed_over, is_account_held=held, backoff_seconds=500
    )
    assert found == on


def test_tries_in_vain_are_counted_up_to_a_bound() -> None:
    found = go_on(
        None, [REFUSED], retry_count=1000, handed_over=False, is_account_held=False, backoff_seconds=1
    )
    assert found == GoOn(1, 1000, "connection refused")
