"""When an account is put on hold, and when it is probed."""

import pytest

from campaigns.domain.circuit import Circuit, NewHold, probe_pauses
from campaigns.domain.holds import DOWN
from campaigns.domain.provider import Accepted, AccountTrouble, InDoubt, NotSent, Outcome, Rejected, Throttled

REFUSED = NotSent("connection refused")
HELD = NewHold(DOWN, "the provider takes nothing: connection refused", 2.0)


def opened(*, threshold: int = 3) -> Circuit:
    """A circuit that has just opened."""
    circuit = Circuit(threshold=threshold)
    assert [circuit.judge([REFUSED]) for _ in range(threshold)] == [None] * (threshold - 1) + [HELD]
    return circuit


def test_trouble_of_the_account_holds_it_at_once_whatever_else_was_said() -> None:
    outcomes = [Accepted("id-1"), AccountTrouble("32", "no money")]
    assert Circuit().judge(outcomes) == NewHold("32", "no money", 30.0)


def test_once_open_each_failure_opens_it_again_until_a_request_gets_through() -> None:
    circuit = opened()
    assert circuit.judge([REFUSED]) == HELD
    assert circuit.judge([Accepted("id-1")]) is None
    assert circuit.judge([REFUSED]) is None


@pytest.mark.parametrize(
    ("outcome", "is_in_vain"),
    [
        (REFUSED, True),
        (InDoubt("no answer"), True),  # doubt is no sign of life
        (Throttled(None, "HTTP 503"), True),
        (Accepted("id-1"), False),
        (Rejected("1", "wrong number"), False),
        (NotSent("the clock was wrong", retry_at_once=True), False),  # mended already
    ],
)
def test_what_is_no_sign_of_life(outcome: Outcome, is_in_vain: bool) -> None:
    assert (opened().judge([REFUSED, outcome]) == HELD) is is_in_vain


def test_the_first_probe_waits_as_long_as_the_provider_says() -> None:
    hold = opened().judge([Throttled(7, "busy"), Throttled(700, "closed")])
    assert hold == NewHold(DOWN, "the provider takes nothing: busy", 700)


def test_a_provider_that_cannot_be_got_ready_counts_too() -> None:
    circuit = Circuit(threshold=2)
    assert circuit.fail("no answer") is None
    assert circuit.judge([REFUSED]) == HELD


def test_probes_come_ever_more_rarely_up_to_a_cap() -> None:
    assert probe_pauses(is_down=False) == [60, 120, 240, 480, 900]
    assert probe_pauses(is_down=True) == [4, 8, 16, 32, 60]
