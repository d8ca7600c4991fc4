"""Backoff: how long to wait before the next attempt."""

from fractions import Fraction
from math import isclose, nextafter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.domain.backoff import delay_seconds

attempts = st.integers(1, 200) | st.integers(1, 10**400)
seconds = st.floats(0, 1e12)
factors = st.floats(1, 1e6)
jitters = st.floats(0, 1)
ALMOST_ONE = nextafter(1, 0)
randoms = st.floats(0, ALMOST_ONE)


@pytest.mark.parametrize(
    ("attempt", "delay"), [(1, 2), (2, 6), (3, 18), (4, 54), (5, 100), (6, 100), (10**400, 100)]
)
def test_without_jitter_it_grows_by_the_factor_to_the_maximum(attempt: int, delay: float) -> None:
    assert delay_seconds(attempt, first=2, factor=3, maximum=100, jitter=0, random=0.7) == delay


def test_a_factor_of_one_never_grows() -> None:
    assert delay_seconds(10**400, first=5, factor=1, maximum=100, jitter=0, random=0.7) == 5


def test_nothing_grows_to_nothing() -> None:
    assert delay_seconds(10**400, first=0, factor=3, maximum=100, jitter=0.5, random=0.7) == 0


@pytest.mark.parametrize(("random", "delay"), [(0, 8), (0.25, 9), (0.5, 10), (0.75, 11)])
def test_jitter_spreads_evenly_around_the_base(random: float, delay: float) -> None:
    assert isclose(delay_seconds(1, first=10, factor=2, maximum=60, jitter=0.2, random=random), delay)


def test_at_the_plateau_delays_still_spread() -> None:
    delays = {
        delay_seconds(50, first=1, factor=2, maximum=60, jitter=0.2, random=step / 100) for step in range(100)
    }
    assert len(delays) == 100
    assert isclose(min(delays), 40)
    assert 59 < max(delays) <= 60


@given(attempts, seconds, factors, seconds, jitters, randoms)
@example(10**400, 5.0, 1.0, 60.0, 0.5, 0.5)
@example(10**400, 0.0, 2.0, 60.0, 0.5, 0.5)
@example(3, 1e300, 1e300, 60.0, 1.0, ALMOST_ONE)
@example(9, 997.0, 2.0, 997.0, 0.9, ALMOST_ONE)  # rounds to a hair above the maximum
@example(1, 60.0, 2.0, 60.0, 0.1, ALMOST_ONE)
def test_it_stays_within_its_bounds(
    attempt: int, first: float, factor: float, maximum: float, jitter: float, random: float
) -> None:
    delay = delay_seconds(attempt, first=first, factor=factor, maximum=maximum, jitter=jitter, random=random)
    cap = Fraction(maximum) / (1 + Fraction(jitter))
    if first == 0:
        base = Fraction(0)
    elif attempt <= 40:
        base = min(Fraction(first) * Fraction(factor) ** (attempt - 1), cap)
    else:  # too large to work out exactly; the bounds by the cap remain
        base = cap
    slack = 1 + Fraction(1, 10**12)
    if first == 0 or attempt <= 40:
        assert Fraction(delay) >= base * (1 - Fraction(jitter)) / slack - Fraction(1, 10**300)
    assert Fraction(delay) <= base * (1 + Fraction(jitter)) * slack + Fraction(1, 10**300)
    assert 0 <= delay <= maximum


@given(st.integers(1, 500), seconds, factors, seconds, jitters, randoms)
def test_a_later_attempt_never_waits_less(
    attempt: int, first: float, factor: float, maximum: float, jitter: float, random: float
) -> None:
    def delay(attempt: int) -> float:
        return delay_seconds(
            attempt, first=first, factor=factor, maximum=maximum, jitter=jitter, random=random
        )

    assert delay(attempt) <= delay(attempt + 1) * (1 + 1e-12)


@given(attempts, seconds, factors, seconds, jitters, randoms, randoms)
def test_more_luck_never_waits_longer(
    attempt: int, first: float, factor: float, maximum: float, jitter: float, one: float, other: float
) -> None:
    def delay(random: float) -> float:
        return delay_seconds(
            attempt, first=first, factor=factor, maximum=maximum, jitter=jitter, random=random
        )

    assert delay(min(one, other)) <= delay(max(one, other))


GOOD = {"first": 1.0, "factor": 2.0, "maximum": 60.0, "jitter": 0.1, "random": 0.5}


@pytest.mark.parametrize(
    ("attempt", "wrong", "says"),
    [
        (0, {}, "attempt"),
        (-1, {}, "attempt"),
        (1, {"first": -1.0}, "seconds"),
        (1, {"first": float("nan")}, "seconds"),
        (1, {"maximum": -1.0}, "seconds"),
        (1, {"maximum": float("inf")}, "seconds"),
        (1, {"factor": 0.5}, "factor"),
        (1, {"factor": float("nan")}, "factor"),
        (1, {"factor": float("inf")}, "factor"),
        (1, {"jitter": -0.1}, "jitter"),
        (1, {"jitter": 1.1}, "jitter"),
        (1, {"jitter": float("nan")}, "jitter"),
        (1, {"random": 1.0}, "random"),
        (1, {"random": -0.1}, "random"),
    ],
)
def test_what_makes_no_sense_is_refused(attempt: int, wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        delay_seconds(attempt, **{**GOOD, **wrong})
