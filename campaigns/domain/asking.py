"""When a batch is asked about again. Pure.

Its open messages are asked about in cycles: each once, in as many series as our pace and time need, by any
number of workers one after the other. Backoff counts cycles: a message waits for its next question because it
was asked and had no final word, never because its neighbours were asked.
"""

from campaigns.domain.policy import Backoff
from campaigns.domain.values import value


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
