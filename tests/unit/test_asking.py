"""When a batch is asked about again: backoff counts cycles, not series."""

import pytest

from campaigns.domain.asking import Again, Batch, NextPoll, Series, ask_again, next_poll
from campaigns.domain.backoff import Backoff
from campaigns.domain.traits import Traits

BACKOFF = Backoff(first_seconds=10, factor=2, max_seconds=3_600, jitter=0)


@pytest.mark.parametrize(
    ("series", "again"),
    [
        # All were asked: by backoff, and never sooner than the provider wishes.
        (Series(True, True, False), Again(40, True)),
        (Series(True, False, False), Again(40, True)),
        (Series(True, True, False, 90), Again(90, True)),
        (Series(True, True, True), Again(40, True)),
        # Our own pace or time ended it: at once, or when there is a slot. It counts for nothing.
        (Series(False, True, False, 0.3), Again(None, False)),
        (Series(False, True, False), Again(None, False)),
        (Series(False, False, False, 2.0), Again(2.0, False)),
        # Trouble ended it: who was asked was asked, and who was not is asked soon.
        (Series(False, True, True), Again(10, False)),
        (Series(False, True, True, 30), Again(30, False)),
        (Series(False, False, True, 0), Again(10, False)),
        (Series(False, False, True, 30), Again(30, False)),
        # Nobody could be asked, and nobody says when: ever more rarely.
        (Series(False, False, True), Again(40, True)),
    ],
)
def test_when_to_ask_again(series: Series, again: Again) -> None:
    assert ask_again(series, 1, BACKOFF, 0.5) == again


WHOLE = Series(True, True, False)
CUT_BY_OUR_PACE = Series(False, True, False)
CUT_BY_TROUBLE = Series(False, True, True)
CANNOT_BE_ASKED = Traits(5)
SETTLES = Traits(5, settles_doubt_after_seconds=60)


@pytest.mark.parametrize(
    ("series", "batch", "traits", "after"),
    [
        (WHOLE, Batch(1), CANNOT_BE_ASKED, NextPoll(40, 2)),
        (WHOLE, Batch(1000), CANNOT_BE_ASKED, NextPoll(3_600, 1000)),
        # The cycle goes on at once, and the batch keeps its rank among those that are due.
        (CUT_BY_OUR_PACE, Batch(1, overdue_seconds=7), CANNOT_BE_ASKED, NextPoll(-7, 1)),
        # A message in doubt is looked up as soon as that tells; one that was looked up waits with the others.
        (WHOLE, Batch(1, doubt_ages=[35, 50]), SETTLES, NextPoll(10, 2)),
        (WHOLE, Batch(1, doubt_ages=[60, 90]), SETTLES, NextPoll(40, 2)),
        (WHOLE, Batch(1, doubt_ages=[50]), CANNOT_BE_ASKED, NextPoll(40, 2)),
        # Never sooner than the provider allows about the same message; what is left was not asked about.
        (WHOLE, Batch(1, doubt_ages=[55]), Traits(5, 1, 60, least_pause_seconds=90), NextPoll(90, 2)),
        (CUT_BY_TROUBLE, Batch(1), Traits(5, least_pause_seconds=90), NextPoll(10, 1)),
    ],
)
def test_when_a_batch_is_polled_again(series: Series, batch: Batch, traits: Traits, after: NextPoll) -> None:
    assert next_poll(series, batch, traits, BACKOFF, 0.5) == after
