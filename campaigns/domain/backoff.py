"""How long to wait before the next attempt."""

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True, slots=True)
class Backoff:
    """first x factor^n seconds, at most `max_seconds`, give or take the share `jitter` (0 to 0.5)."""

    first_seconds: float
    factor: float
    max_seconds: float
    jitter: float

    def delay_seconds(self, count: int, random: float) -> float:
        """How long to wait after `count` tries before this one (0: the first wait); `random` in [0, 1)."""
        return delay_seconds(
            count + 1,
            first=self.first_seconds,
            factor=self.factor,
            maximum=self.max_seconds,
            jitter=self.jitter,
            random=random,
        )


def delay_seconds(
    attempt: int, *, first: float, factor: float, maximum: float, jitter: float, random: float
) -> float:
    """How many seconds to wait after `attempt` failed: `first x factor^(attempt - 1)`, jittered, capped.

    Takes `attempt` from 1; `first` >= 0 and `maximum` >= 0 in seconds; `factor` >= 1; `jitter` from 0
    (none) to 1 (anything from nothing to the double); `random`, drawn evenly from [0, 1) by the caller.

    Gives `base x (1 + jitter x (2 x random - 1))`, where `base` is `first x factor^(attempt - 1)` but at
    most `maximum / (1 + jitter)`. So, exactly: `base x (1 - jitter) <= delay <= base x (1 + jitter)`, and
    `0 <= delay <= maximum`. The cap lies under the jitter, not over it: at the plateau delays are still
    spread and do not pile up on `maximum`.

    Raises ValueError for what is out of range.
    Promises: the same arguments give the same answer, for any `attempt` however large.
    """
    if attempt < 1:
        raise ValueError(f"attempt is counted from 1, not {attempt}")
    if not (isfinite(first) and isfinite(maximum) and first >= 0 and maximum >= 0):
        raise ValueError(f"first and maximum are seconds from 0, not {first} and {maximum}")
    if not (isfinite(factor) and factor >= 1):
        raise ValueError(f"factor is 1 or more, not {factor}")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is between 0 and 1, not {jitter}")
    if not 0 <= random < 1:
        raise ValueError(f"random is at least 0 and under 1, not {random}")
    base = min(_grown(first, factor, attempt - 1), maximum / (1 + jitter))
    # The last ulp of the division can lead a hair above maximum.
    return min(base * (1 + jitter * (2 * random - 1)), maximum)


def _grown(first: float, factor: float, times: int) -> float:
    """`first x factor^times`; infinity where no float holds it."""
    if first == 0 or factor == 1:
        return first
    try:
        return first * float(factor) ** times
    except OverflowError:
        return float("inf")
