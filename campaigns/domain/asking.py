"""When a batch is asked about again. Pure.

Its open messages are asked about in cycles: each once, in as many series as our pace and time need, by any
number of workers one after the other. Backoff counts cycles: a message waits for its next question because it
was asked and had no final status, never because its neighbours were asked.
"""

from collections.abc import Sequence

from campaigns.domain.backoff import Backoff
from campaigns.domain.traits import Traits
from campaigns.domain.values import value

MOST_COUNTED = 1000
"""Polls of a batch that are counted: beyond it the backoff is at its longest."""


@value
class Series:
    """What one series of questions came to.

    `is_complete`: nobody is left to be asked in this cycle. `has_progress`: somebody was asked.
    `wait_seconds`: what our pace (without trouble) or the provider (with it) said to wait; None: nothing.
    """

    is_complete: bool
    has_progress: bool
    is_troubled: bool
    wait_seconds: float | None = None


@value
class Again:
    """`in_seconds` None: at once, in the order in which the cycle was due."""

    in_seconds: float | None
    counts_as_poll: bool


@value
class Batch:
    """What is known of a batch that was asked about: how often it was polled before, for how long it has been
    due, and how many seconds ago each of its messages in doubt was handed over.
    """

    poll_count: int
    overdue_seconds: float = 0.0
    doubt_ages: Sequence[float] = ()


@value
class NextPoll:
    """In how many seconds a batch is polled again, and how often it was polled by then.

    `in_seconds` lies before now where the cycle goes on at once: the batch keeps its rank among those due.
    """

    in_seconds: float
    poll_count: int


def next_poll(series: Series, batch: Batch, traits: Traits, backoff: Backoff, random: float) -> NextPoll:
    """When a batch is polled again after a series. Takes `random` in [0, 1), for jitter."""
    again = ask_again(series, batch.poll_count, backoff, random)
    poll_count = min(batch.poll_count + again.counts_as_poll, MOST_COUNTED)
    return NextPoll(_next_poll_in(again, batch, traits), poll_count)


def _next_poll_in(again: Again, batch: Batch, traits: Traits) -> float:
    if again.in_seconds is None:
        return -batch.overdue_seconds
    waits = [again.in_seconds]
    if (settles_after := traits.settles_doubt_after_seconds) is not None:
        # Until then a provider that finds nothing of a message in doubt cannot be believed.
        waits += [settles_after - age for age in batch.doubt_ages if age < settles_after]
    return max(min(waits), traits.least_pause_seconds) if again.counts_as_poll else min(waits)


def ask_again(series: Series, poll_count: int, backoff: Backoff, random: float) -> Again:
    """When to ask again after a series, of a batch that was polled `poll_count` times before.

    Takes `random` in [0, 1), for jitter.
    """
    wait = series.wait_seconds or 0.0
    if not series.is_complete and not series.is_troubled:  # our own pace or time: no poll
        return Again(None if series.has_progress else wait, counts_as_poll=False)
    was_told = series.wait_seconds is not None
    if not series.is_complete and (series.has_progress or was_told):
        # What is left is asked soon. A provider may say 0 seconds, again and again.
        return Again(max(wait, backoff.delay_seconds(0, random)), counts_as_poll=False)
    return Again(max(wait, backoff.delay_seconds(poll_count + 1, random)), counts_as_poll=True)
