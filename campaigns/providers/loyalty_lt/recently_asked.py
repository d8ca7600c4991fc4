"""Which ids were asked a moment ago, for a provider that wants some seconds between two questions for one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_REMEMBERED = 10_000  # at once; far above any pace a provider allows


class RecentlyAsked:
    """Ids that are being asked now, or were within the last `again_seconds`.

    Takes `again_seconds`, what lies at least between the answer for an id and the next question for it, and
    `monotonic`, a clock. Promises: holds at most `most_remembered` ids, and none longer than that. What is
    full forgets nothing before its time: no id may be asked then.
    """

    def __init__(
        self, again_seconds: float, monotonic: Callable[[], float], most_remembered: int = _MOST_REMEMBERED
    ) -> None:
        self._again_seconds = again_seconds
        self._monotonic = monotonic
        self._most_remembered = most_remembered
        self._now_asked: set[str] = set()
        self._answered_at: dict[str, float] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._now_asked) + len(self._answered_at)

    def wait_seconds(self, asked: str) -> float:
        """How long until the id may be asked, at least: 0 where it may be now."""
        now = self._monotonic()
        while self._answered_at:
            oldest, at = next(iter(self._answered_at.items()))
            if now - at < self._again_seconds:
                break
            del self._answered_at[oldest]
        if asked in self._now_asked:
            return self._again_seconds
        if asked in self._answered_at:
            return self._again_seconds - (now - self._answered_at[asked])
        if len(self) >= self._most_remembered:
            # Until the oldest is forgotten; where none was answered yet, nobody knows when.
            return self._again_seconds - (now - next(iter(self._answered_at.values()), now))
        return 0.0

    @contextmanager
    def asking(self, asked: str) -> Iterator[None]:
        """Ask the id in here, right after `wait_seconds` gave 0.

        The seconds are counted from the answer, so that they are as many over there too, however long the
        question was on its way.
        """
        self._now_asked.add(asked)
        try:
            yield
        finally:
            self._now_asked.discard(asked)
            self._answered_at.pop(asked, None)  # to the end: the oldest stays first
            self._answered_at[asked] = self._monotonic()
