"""A provider's month beside ours: what differs, and what may explain it."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from campaigns.domain.provider import DayStatistics
from campaigns.domain.reconciliation import Day, Ours, Why, reconcile

FIRST = date(2026, 11, 27)
SECOND = FIRST + timedelta(days=1)


def said(day: date, segment_count: int, cost: str = "0") -> list[DayStatistics]:
    """Half delivered, half not, as a provider says it by status word."""
    part = segment_count // 2
    return [
        DayStatistics(day.isoformat(), "deliver", Decimal(cost), segment_count - part),
        DayStatistics(day.isoformat(), "not_deliver", Decimal(0), part),
    ]


def one(ours: Ours, segment_count: int, cost: str = "0") -> Day:
    (day,) = reconcile({FIRST: ours}, said(FIRST, segment_count, cost))
    return day


def test_what_agrees_needs_no_explanation() -> None:
    day = one(Ours(5, 7, Decimal("0.70"), open_segment_count=2, unsure_segment_count=3), 7, "0.70")
    assert (day.agrees, day.segment_difference, day.cost_difference, day.explanations) == (True, 0, 0, [])


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        (Ours(5, 7, unsure_segment_count=3), 9, [(Why.UNSURE, 2)]),  # two of three were sent
        (Ours(5, 7, unsure_segment_count=1), 9, [(Why.UNSURE, 1), (Why.OTHER, None)]),
        (Ours(5, 7, open_segment_count=2), 5, [(Why.OPEN, 2)]),
        (Ours(5, 7, open_segment_count=1), 5, [(Why.OPEN, 1), (Why.OTHER, None)]),
        (Ours(5, 7, unsure_segment_count=9), 5, [(Why.OTHER, None)]),  # doubt makes theirs no smaller
        (Ours(5, 7), 9, [(Why.OTHER, None)]),
    ],
)
def test_what_may_explain_other_parts(ours: Ours, theirs: int, why: list[tuple[Why, int | None]]) -> None:
    day = one(ours, theirs)
    assert not day.agrees
    assert day.segment_difference == theirs - ours.segment_count
    assert [(each.why, each.count) for each in day.explanations] == why


def test_costs_are_compared_where_they_can_be() -> None:
    some = one(Ours(5, 7, Decimal("0.50"), unpriced_count=2), 7, "0.70")
    assert (some.cost_difference, [each.why for each in some.explanations]) == (
        Decimal("0.20"),
        [Why.UNPRICED],
    )
    none = one(Ours(5, 7, unpriced_count=5), 7, "0.70")
    assert (none.agrees, none.cost_difference, none.explanations[0].why) == (True, None, Why.UNPRICED)
    several = one(Ours(5, 7, Decimal(9), has_one_currency=False), 7, "0.70")
    assert (several.cost_difference, [each.why for each in several.explanations]) == (None, [Why.CURRENCY])


def test_a_difference_that_the_next_day_takes_back_is_of_midnight() -> None:
    days = reconcile({FIRST: Ours(9, 9), SECOND: Ours(9, 9)}, [*said(FIRST, 6), *said(SECOND, 12)])
    assert [[each.why for each in day.explanations] for day in days] == [[Why.MIDNIGHT], [Why.MIDNIGHT]]


def test_days_of_either_side_are_there_and_a_provider_may_have_none() -> None:
    days = reconcile({FIRST: Ours(1, 1)}, [*said(SECOND, 4), DayStatistics("soon", "x", Decimal(0), 1)])
    assert [(day.day, day.segment_difference) for day in days] == [(FIRST, -1), (SECOND, 4)]
    (alone,) = reconcile({FIRST: Ours(1, 1)}, None)
    assert (alone.theirs, alone.segment_difference, alone.agrees, alone.explanations) == (
        None,
        None,
        True,
        [],
    )
