"""How often a key may ask, and how often somebody may guess one. Held in this process: n processes allow n
times as much.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from worker.web.api.operations import Rate

_MOST_REMEMBERED = 10_000  # addresses or keys: strangers must not fill the memory
_RECORDED_AT_ONCE = 60  # refusals, after a pause
FAILURES_PER_MINUTE = 10
"""Keys that are none, from one address; then it is answered 429 without a look."""


class Buckets:
    """Token buckets by name: the names used longest ago are forgotten, which lets those ask again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at that moment

    def _tokens(self, name: str, per_second: float, burst: float) -> float:
        tokens, at = self._left.get(name, (burst, 0.0))
        return min(burst, tokens + (self._now() - at) * per_second)

    def take(self, name: str, per_second: float, burst: float) -> int:
        """Take one token. Gives 0, or after how many seconds (rounded up) there is one."""
        tokens = self._tokens(name, per_second, burst)
        if tokens < 1:
            return max(1, ceil((1 - tokens) / per_second))
        self._left[name] = (tokens - 1, self._now())
        self._left.move_to_end(name)
        if len(self._left) > _MOST_REMEMBERED:
            self._left.popitem(last=False)
        return 0

    def wait(self, name: str, per_second: float, burst: float) -> int:
        """After how many seconds there is a token, which is not taken; 0: now."""
        tokens = self._tokens(name, per_second, burst)
        return 0 if tokens >= 1 else max(1, ceil((1 - tokens) / per_second))


class Limits:
    """The limits of one process. Takes a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._asked = Buckets(now)
        self._failed = Buckets(now)
        self._recorded = Buckets(now)

    def take(self, key_id: str, rate: Rate) -> int:
        """Count a request of a key. Gives 0, or after how many seconds it may come again."""
        return self._asked.take(f"{key_id} {rate.name}", rate.per_second, rate.burst)

    def failed(self, address: str) -> None:
        """Count a key that was none."""
        self._failed.take(address, FAILURES_PER_MINUTE / 60, FAILURES_PER_MINUTE)

    def guessing_seconds(self, address: str) -> int:
        """After how many seconds an address may show a key again; 0: now."""
        return self._failed.wait(address, FAILURES_PER_MINUTE / 60, FAILURES_PER_MINUTE)

    def is_to_record(self, name: str) -> bool:
        """Whether a refusal of this key or address is to be a row of the audit: the first, then one a minute,
        and of all of them one a second. The audit is kept for good, and strangers must not fill it.
        """
        return not self._recorded.take(name, 1 / 60, 1) and not self._recorded.take("", 1, _RECORDED_AT_ONCE)
