"""Workers at gates: real tasks of the stages that stop at every gate until they are told to go on.

A gate lies before everything that can be the last a worker does: before the intent, between intent and
request, between the provider's taking it and its answer, between two requests, between question and
answer. The test may let other things happen meanwhile, or cut the worker off there.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    Answers,
    Callback,
    DayStatistics,
    Doubtful,
    InDoubt,
    Money,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Receipt,
    Sighting,
    Sightings,
    WaitForPace,
)
from campaigns.domain.traits import Traits
from campaigns.store.leases import Dealt


@dataclass(frozen=True)
class Fate:
    """What the provider does with one message: whether it takes it, and what it answers."""

    is_taken: bool
    outcome: Outcome | None  # None: Accepted, with an id made of our reference


TAKEN = Fate(True, None)
TAKEN_UNSEEN = Fate(True, InDoubt("cut after it left"))
LOST_UNSEEN = Fate(False, InDoubt("cut before it came"))


class GatedProvider:
    """A provider's adapter and a pace, for one task. Keeps `campaigns.domain.provider.Provider`.

    `taken` is the provider's own ledger, shared by all gated providers: how often it took each message_ref.
    """

    name = "gated"

    def __init__(self, taken: Counter[str], *, most_recipients: int = 2, can_be_asked: bool = False) -> None:
        self.traits = Traits(
            timeout_seconds=600.0,
            settles_doubt_after_seconds=0.0 if can_be_asked else None,
            calls_back_by_id=True,
        )
        self._taken = taken
        self._most_recipients = most_recipients
        self._decision: asyncio.Future[Any] | None = None
        self._arrived = asyncio.Event()
        self.gate: str | None = None
        self.request: list[str] = []  # the message_refs of the request under way
        self.asked: list[str] = []  # the ids of the question under way
        self.said: list[tuple[str, Any]] = []  # and the words it was answered with
        self.doubted: list[str] = []  # the message_refs that are looked up
        self.outcomes: list[Outcome] = []

    async def _stop_at(self, gate: str) -> Any:
        self.gate, self._decision = gate, asyncio.get_running_loop().create_future()
        self._arrived.set()
        try:
            return await self._decision
        finally:
            self.gate = None
            self._arrived.clear()

    def decide(self, decision: Any) -> None:
        """Open the gate it stands at."""
        assert self._decision is not None
        self._decision.set_result(decision)

    async def run_to_a_gate(self, task: asyncio.Task[Any]) -> None:
        """Wait until the task stands at its next gate, or has ended."""
        arrived = asyncio.ensure_future(self._arrived.wait())
        async with asyncio.timeout(60):
            await asyncio.wait({task, arrived}, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()

    async def wait_for_pace(self) -> None:
        """Before the intent: of the first request, or after an answer was written down."""
        if not await self._stop_at("pace"):
            raise PaceUsedUp(0)

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """So few a request that a batch has several."""
        size = self._most_recipients
        return [list(messages[at : at + size]) for at in range(0, len(messages), size)]

    async def prepare(self) -> None:
        """The batch is taken up, and nothing done."""
        if not await self._stop_at("prepare"):
            raise ProviderRefused("not ready")

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """The intent is written: first the gate before leaving, then the gate before the answer."""
        self.request = [message.message_ref for message in request]
        fates: list[Fate] = await self._stop_at("leave")
        self._taken.update(ref for ref, fate in zip(self.request, fates, strict=True) if fate.is_taken)
        self.outcomes = [
            Accepted(f"id-{ref}") if fate.outcome is None else fate.outcome
            for ref, fate in zip(self.request, fates, strict=True)
        ]
        how = await self._stop_at("answer")
        if how == "breaks":
            self.outcomes = [InDoubt("")] * len(request)
            raise KeyError("sms_id")
        if how == "miscounts":
            self.outcomes = [InDoubt("")] * len(request)
            return [*self.outcomes, InDoubt("")]
        return self.outcomes

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """The gate between question and answer."""
        self.asked = list(provider_message_ids)
        answers: Answers = await self._stop_at("ask")
        return answers

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """The gate between question and answer, of what is in doubt."""
        self.doubted = [each.message_ref for each in doubtful]
        sightings: Sightings = await self._stop_at("look up")
        return sightings

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Never asked of it."""
        raise ProviderRefused("a gated provider cannot be asked")

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """Never said by it."""
        raise ProviderRefused("a gated provider calls nobody")

    async def probe(self) -> Money | None:
        """Never asked of it."""
        raise ProviderRefused("a gated provider has no money")

    async def balance(self) -> Money:
        """Never asked of it."""
        raise ProviderRefused("a gated provider has no money")

    async def statistics(self, month: str) -> list[DayStatistics]:
        """Never asked of it."""
        raise ProviderRefused("a gated provider keeps no days")


class GatedWorker:
    """A task of a stage, that stops at gates."""

    def __init__(self, gated: GatedProvider, dealt: Dealt, work: Coroutine[Any, Any, Any]) -> None:
        self.gated = gated
        self.dealt = dealt
        self.task: asyncio.Task[Any] = asyncio.ensure_future(work)

    @property
    def gate(self) -> str | None:
        """Where it stands; None when it has ended."""
        return self.gated.gate

    async def go(self, decision: Any = None) -> Any:
        """On to the next gate (opening the one it stands at). Gives what it ended with, None before that."""
        if self.gate is not None:
            self.gated.decide(decision)
            await asyncio.sleep(0)  # so that it leaves the gate before we look for it at the next
        await self.gated.run_to_a_gate(self.task)
        return self.task.result() if self.task.done() else None

    async def cut(self) -> None:
        """The process is gone: nothing more is done, nothing cleared up."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()
