"""The requests of one batch on their way to its provider and back."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence, Set

from campaigns.adapter_calls import call_adapter
from campaigns.domain.outcomes import Told
from campaigns.domain.provider import InDoubt, OutboundMessage, Outcome, Provider

_TOGETHER_SECONDS = 0.02  # requests that come back within it are written down together

Request = Mapping[int, OutboundMessage]
"""Messages that leave together, by position."""


class InFlight:
    """The requests of one batch: those that wait to leave, and those in flight.

    Takes the batch's messages by position. Lives on one event loop.
    """

    def __init__(self, provider: Provider, sender_id: str, messages: Request) -> None:
        self._provider = provider
        self._sender_id = sender_id
        position_of = {message.message_ref: position for position, message in messages.items()}
        self._waiting = deque(
            {position_of[message.message_ref]: message for message in request}
            for request in provider.requests(list(messages.values()), sender_id)
        )
        self._flights: dict[asyncio.Task[list[Outcome]], list[int]] = {}

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits to leave."""
        return bool(self._waiting)

    @property
    def count(self) -> int:
        """How many requests are in flight."""
        return len(self._flights)

    @property
    def free_count(self) -> int:
        """How many of those that wait may leave now: the provider takes so many at once."""
        return min(len(self._waiting), self._provider.traits.concurrency - len(self._flights))

    def take(self, count: int) -> list[Request]:
        """Take the next `count` requests that wait."""
        return [self._waiting.popleft() for _ in range(count)]

    def launch(self, request: Request, may_leave: Set[int], leave_at: float, leave_by: float) -> None:
        """Let those messages of a request leave that may; where none may, nothing leaves.

        Takes moments of the running loop's clock: when it leaves, and after which it must not leave any more.
        """
        leaving = {position: message for position, message in request.items() if position in may_leave}
        if leaving:
            outcomes = _hand_over(self._provider, list(leaving.values()), self._sender_id, leave_at, leave_by)
            self._flights[asyncio.get_running_loop().create_task(outcomes)] = list(leaving)

    async def land(self) -> list[Told]:
        """Wait for the next request to come back, and for those that come with it. Gives the outcomes of each
        by position.
        """
        await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)
        if not all(flight.done() for flight in self._flights):
            await asyncio.wait(self._flights, timeout=_TOGETHER_SECONDS)
        return [self._landed(flight) for flight in list(self._flights) if flight.done()]

    async def land_all(self) -> list[Told]:
        """Wait for every request that is in flight."""
        await asyncio.gather(*self._flights)
        return [self._landed(flight) for flight in list(self._flights)]

    def _landed(self, flight: asyncio.Task[list[Outcome]]) -> Told:
        return list(zip(self._flights.pop(flight), flight.result(), strict=True))

    async def cancel(self) -> None:
        """Cancel what is in flight, and wait until it has ended."""
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)


async def _hand_over(
    provider: Provider, request: Sequence[OutboundMessage], sender_id: str, leave_at: float, leave_by: float
) -> list[Outcome]:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(max(0.0, leave_at - clock()))
    # One that hangs must not keep its slot; one that wakes too late has time to say that nothing left.
    until = max(leave_by, clock()) + provider.traits.timeout_seconds
    handing = provider.hand_over(request, sender_id, leave_by)
    outcomes = await call_adapter(handing, until, lambda why: [InDoubt(why)] * len(request))
    if len(outcomes) != len(request):
        return [InDoubt("the adapter gave another number of outcomes than messages")] * len(request)
    return outcomes
