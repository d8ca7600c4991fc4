"""The numbers the stages work by. Set by the operator, read by `worker.settings`, passed in as values."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from campaigns.domain.backoff import delay_seconds
from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import ProviderRefused
from campaigns.domain.late import LateAnswer
from campaigns.domain.provider import Provider, WaitForPace
from campaigns.domain.witness import Witness

PROBE_FIRST_SECONDS = 30.0
"""When an account that is at fault is first probed."""

DOWN_FIRST_SECONDS = 2.0
"""When an account whose provider is down is first probed."""

MOST_ATTEMPTS = 5
"""How often one message is handed over where what is in doubt may be sent again."""


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


@dataclass(frozen=True, slots=True)
class Policy:
    """How long, how often, how many.

    `lease_seconds` must exceed the longest provider timeout plus a database write: a shorter lease makes
    rescue race the living. `give_up_seconds` is the stated deadline: counted from submission until a
    message is handed over, and from the last hand-over until there is a final word.
    `poll_after_callback_seconds` is the first wait where the provider was told to call us: a question
    before it would mostly be answered by the callback.
    """

    lease_seconds: float
    give_up_seconds: float
    in_flight_batches: int
    poll: Backoff
    retry: Backoff
    poll_after_callback_seconds: float


class Circuit:
    """Notices that a provider is down: so many requests in a row of which nothing was taken.

    Once it has opened, a single failure opens it again, until a request gets through.
    """

    def __init__(self, *, threshold: int = 5) -> None:
        self._threshold = threshold
        self._failures = 0

    def record(self, *, got_through: bool) -> bool:
        """Count one request. Gives whether the circuit opens by it."""
        if got_through:
            self._failures = 0
            return False
        self._failures = min(self._failures + 1, self._threshold)
        return self._failures == self._threshold


@dataclass(frozen=True, slots=True)
class Account:
    """One account we may speak to: its adapter, its pace, and how many of its batches may be in flight at
    once (more than its pace can use would only wait); `polls_in_flight` where polls have another limit.

    `wait_for_pace` waits for one slot of the pace; `several` for up to so many that follow closely.
    `wait_to_ask` waits for a question's slot until a moment of the running loop's clock; raises PaceUsedUp.
    `circuit` is this process's. `callbacks`: where the provider may call us; None where it does not call, or
    nothing here listens.
    """

    provider: Provider
    wait_for_pace: WaitForPace
    in_flight: int
    circuit: Circuit = field(default_factory=Circuit)
    callbacks: CallbackUrls | None = None
    several: Callable[[int], Awaitable[Sequence[float]]] | None = None
    wait_to_ask: Callable[[float], Coroutine[Any, Any, None]] | None = None
    polls_in_flight: int | None = None

    async def wait_for_slots(self, most: int) -> Sequence[float]:
        """Wait for slots of the pace. Gives in how many seconds each of 1 to `most` requests may leave.

        Raises PaceUsedUp.
        """
        if most > 1 and self.several is not None:
            return await self.several(most)
        await self.wait_for_pace()
        return (0.0,)

    async def is_called_back(self) -> bool:
        """Whether its provider will call us: it is told so with each message, or says that it knows where."""
        if self.callbacks is None:
            return False
        try:
            return await self.provider.callbacks_registered(self.callbacks.url_of_account()) is not False
        except ProviderRefused:
            return False  # then it is asked as one that does not call

    def asking_until(self, ends_at: float) -> WaitForPace:
        """What a series of questions awaits before each: a slot by `ends_at`, on the running loop's clock."""
        if self.wait_to_ask is None:
            return self.wait_for_pace
        return partial(self.wait_to_ask, ends_at)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a stage works with besides the database: one a process."""

    accounts: Mapping[str, Account]
    policy: Policy
    worker: str  # who holds our leases: unique to this process
    random: Callable[[], float]  # in [0, 1): jitter only
    # Whether this process was asked to end: it sees its requests to their end and begins no other.
    is_stopping: Callable[[], bool] = lambda: False
    # Keeps answers that the database could not take in time.
    keep_late: Callable[[Sequence[LateAnswer]], Awaitable[None]] | None = None
    # Asked about each request after its intent is written; None: the database is the only witness.
    witness: Witness | None = None
