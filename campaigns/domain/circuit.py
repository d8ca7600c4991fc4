"""The circuit breaker of an account: when it is put on hold, and when a hold is probed. Pure."""

from collections.abc import Sequence

from campaigns.domain.backoff import Backoff
from campaigns.domain.holds import DOWN
from campaigns.domain.outcomes import IN_VAIN, is_at_once
from campaigns.domain.provider import AccountTrouble, Outcome, Throttled
from campaigns.domain.values import value

_MOST_FAILURES = 5  # requests in a row of which nothing was taken, before the account is held
_PROBE_FIRST_SECONDS = 30.0  # before an account that is at fault is first probed
_PROBE_MAX_SECONDS = 900.0  # the longest pause between two probes of an account at fault
_DOWN_FIRST_SECONDS = 2.0  # before an account whose provider is down is first probed
_DOWN_MAX_SECONDS = 60.0  # the longest pause between two probes where the provider is down

_AT_FAULT = Backoff(_PROBE_FIRST_SECONDS, 2, _PROBE_MAX_SECONDS, jitter=0)
_IS_DOWN = Backoff(_DOWN_FIRST_SECONDS, 2, _DOWN_MAX_SECONDS, jitter=0)
_DOUBLINGS = 5  # by then both pauses are as long as they get


@value
class NewHold:
    """Why an account is put on hold, and in how many seconds it is first probed."""

    code: str
    reason: str
    probe_in_seconds: float


def probe_pauses(*, is_down: bool) -> list[float]:
    """The seconds from each probe of a hold to the next; the last of them is the longest there is.

    Takes whether the provider is down, or the account at fault.
    """
    backoff = _IS_DOWN if is_down else _AT_FAULT
    return [backoff.delay_seconds(count, random=0.5) for count in range(1, _DOUBLINGS + 1)]


class Circuit:
    """The circuit breaker of one account: so many requests in a row of which nothing was taken mean that its
    provider is down, and the account is held. Batches then wait and nothing fails for it.

    Once it has opened, a single failure opens it again, until a request gets through. Lives in one process.
    """

    def __init__(self, *, threshold: int = _MOST_FAILURES) -> None:
        self._threshold = threshold
        self._failures = 0

    def judge(self, outcomes: Sequence[Outcome]) -> NewHold | None:
        """What the outcomes of one request mean for the account: trouble holds it at once, silence after
        some requests. None: go on.
        """
        trouble = next((each for each in outcomes if isinstance(each, AccountTrouble)), None)
        if trouble is not None:
            return NewHold(trouble.code, trouble.reason, _PROBE_FIRST_SECONDS)
        # Doubt is no sign of life: a provider that hangs would put a whole campaign in doubt.
        in_vain = [each for each in outcomes if isinstance(each, IN_VAIN) and not is_at_once(each)]
        if len(in_vain) < len(outcomes):
            self._failures = 0
            return None
        waits = [each.retry_after_seconds or 0.0 for each in in_vain if isinstance(each, Throttled)]
        return self.fail(in_vain[0].why if in_vain else None, retry_after_seconds=max(waits, default=0.0))

    def fail(self, why: str | None, *, retry_after_seconds: float = 0.0) -> NewHold | None:
        """Count a request of which nothing was taken. Gives the hold when the circuit opens by it."""
        self._failures = min(self._failures + 1, self._threshold)
        if self._failures < self._threshold:
            return None
        probe_in = max(_DOWN_FIRST_SECONDS, retry_after_seconds)
        return NewHold(DOWN, f"the provider takes nothing: {why}", probe_in)
