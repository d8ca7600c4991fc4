"""The numbers the stages work by. Set by the operator, read by `worker.settings`, passed in as values."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from campaigns.domain.backoff import Backoff
from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.circuit import Circuit
from campaigns.domain.errors import ProviderRefused
from campaigns.domain.late import LateAnswer
from campaigns.domain.metrics import UNMETERED, Meter
from campaigns.domain.provider import Provider, WaitForPace
from campaigns.domain.tracing import UNTRACED, Tracer
from campaigns.domain.witness import Witness

BATCH_SIZE = 100
"""Messages of a batch, at most; a message_ref has two digits for the position."""

MOST_ATTEMPTS = 5
"""How often one message is handed over where what is in doubt may be sent again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long, how often, how many.

    `lease_seconds` must exceed the longest provider timeout plus a database write: a shorter lease makes
    rescue race the living. `give_up_seconds` is the stated deadline: counted from submission until a
    message is handed over, and from the last hand-over until there is a final status.
    `poll_after_callback_seconds` is the first wait where the provider was told to call us: a question
    before it would mostly be answered by the callback.
    """

    lease_seconds: float
    give_up_seconds: float
    in_flight_batches: int
    poll: Backoff
    retry: Backoff
    poll_after_callback_seconds: float


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
    provider_name: str = ""  # what its provider is called in the settings

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
    """What a stage works with besides the database; one for each process."""

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
    meter: Meter = UNMETERED
    tracer: Tracer = UNTRACED
