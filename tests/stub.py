"""A provider in memory for tests of the stages. Speaks to nobody, costs nothing.

It keeps the same contract as the others, `leave_by` included, and a ledger of what was handed to it, so
that a test can ask whether every message came and whether any came twice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from campaigns.domain.provider import (
    Accepted,
    Answers,
    Callback,
    CallbackRefused,
    DayStatistics,
    Doubtful,
    InDoubt,
    Money,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Receipt,
    Sighting,
    Sightings,
    WaitForPace,
)
from campaigns.domain.states import EVIDENCE, MessageState
from campaigns.domain.traits import Traits
from campaigns.providers.base import BaseAdapter

STATUSES: dict[str, MessageState] = {state.value: state for state in MessageState if state in EVIDENCE}
"""The stub speaks our own words. Any other word is kept and changes nothing."""

_ID = "stub-"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One message handed over, and what we answered."""

    message: OutboundMessage
    sender_id: str
    outcome: Outcome


class Stub(BaseAdapter):
    """One account at nobody. Keeps `campaigns.domain.provider.Provider`.

    Takes `outcomes`, by phone: what to answer at its first, second ... hand-over, then Accepted;
    `states`, by phone: the words of successive polls, the last of them repeated (default: delivered);
    `before_answer`, awaited after a request is in the ledger and before it is answered, so that a test
    can stop a worker there.
    Promises: the id of a message is made of our own reference, so a stub in another process, or one
    started again, knows it too.
    """

    company = "The stub"

    def __init__(
        self,
        name: str,
        *,
        timeout_seconds: float = 5.0,
        max_recipients_per_request: int = 100,
        outcomes: Mapping[str, Iterable[Outcome]] | None = None,
        states: Mapping[str, Iterable[str]] | None = None,
        balance: Money = Money(Decimal(1_000_000), None),  # noqa: B008  frozen, holds nothing shared
        before_answer: Callable[[], Awaitable[None]] | None = None,
        concurrency: int = 1,
        settles_doubt_after_seconds: float | None = None,
    ) -> None:
        super().__init__(
            name,
            Traits(
                timeout_seconds,
                concurrency,
                settles_doubt_after_seconds,
                calls_back_by_id=True,  # its callbacks hold its id, and ours only where it was told
            ),
        )
        self._max_recipients = max_recipients_per_request
        self._outcomes = {phone: deque(given) for phone, given in (outcomes or {}).items()}
        self._states = {phone: deque(given) for phone, given in (states or {}).items()}
        self._balance = balance
        self._before_answer = before_answer
        self._phones: dict[str, str] = {}  # of the ids given out here
        self.ledger: list[LedgerLine] = []
        self.months: dict[str, list[DayStatistics]] = {}

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` into runs of at most `max_recipients_per_request`."""
        size = self._max_recipients
        return [list(messages[at : at + size]) for at in range(0, len(messages), size)]

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Write the request into the ledger and answer as scripted."""
        if asyncio.get_running_loop().time() >= leave_by:
            return [NotSent("the time to leave had passed")] * len(request)
        lines = [LedgerLine(message, sender_id, self._outcome_for(message)) for message in request]
        self.ledger += lines
        if self._before_answer is not None:
            try:
                async with asyncio.timeout(self.traits.timeout_seconds):
                    await self._before_answer()
            except TimeoutError:
                why = f"no whole answer within {self.traits.timeout_seconds:g} s"
                return [InDoubt(why) for _ in lines]
        return [line.outcome for line in lines]

    def _outcome_for(self, message: OutboundMessage) -> Outcome:
        scripted = self._outcomes.get(message.phone)
        outcome = scripted.popleft() if scripted else Accepted(_ID + message.message_ref, Decimal(0), 1)
        if isinstance(outcome, Accepted):
            self._phones[outcome.provider_message_id] = message.phone
        return outcome

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Say of each id of ours what is scripted for its phone; of other ids nothing."""
        try:
            await wait_for_pace()
        except PaceUsedUp as later:
            return Answers([], None, later.wait_seconds, provider_message_ids)  # our own pace
        receipts = []
        for provider_message_id in provider_message_ids:
            if provider_message_id in self._phones or provider_message_id.startswith(_ID):
                words = self._states.get(self._phones.get(provider_message_id, ""))
                word = MessageState.DELIVERED.value
                if words:
                    word = words.popleft() if len(words) > 1 else words[0]
                receipts.append(Receipt(provider_message_id, STATUSES.get(word), word))
        return Answers(receipts)

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Look into the ledger: there if it was taken, whatever we answered."""
        if self.traits.settles_doubt_after_seconds is None:
            return Sightings(trouble="this stub cannot be asked")
        try:
            await wait_for_pace()
        except PaceUsedUp as later:
            refs = [each.message_ref for each in doubtful]
            return Sightings(retry_after_seconds=later.wait_seconds, unasked=refs)
        taken = {
            line.message.message_ref for line in self.ledger if isinstance(line.outcome, Accepted | InDoubt)
        }
        refs = [each.message_ref for each in doubtful]
        return Sightings(
            [self._sighting(ref) for ref in refs if ref in taken], [ref for ref in refs if ref not in taken]
        )

    @staticmethod
    def _sighting(ref: str) -> Sighting:
        return Sighting(_ID + ref, MessageState.ACCEPTED, MessageState.ACCEPTED.value, message_ref=ref)

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Look into the ledger."""
        await wait_for_pace()
        name = {"id": "message_ref", "phone": "phone", "reference": "message_ref"}[question.by]
        value = question.value.removeprefix(_ID) if question.by == "id" else question.value
        lines = [line for line in reversed(self.ledger) if getattr(line.message, name) == value]
        return [self._sighting(line.message.message_ref) for line in lines[: question.count]]

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """`id`, `state` and `ref` in the query."""
        said = dict(callback.query)
        if "state" not in said or not {"id", "ref"} & said.keys():
            raise CallbackRefused(400, "a callback of the stub names a state, and an id or a ref")
        return [Receipt(said.get("id"), STATUSES.get(said["state"]), said["state"], said.get("ref"))]

    async def probe(self) -> Money:
        """The balance."""
        return self._balance

    async def balance(self) -> Money:
        """What it was made with: nothing is ever spent here."""
        return self._balance

    async def statistics(self, month: str) -> list[DayStatistics]:
        """What a test says of the month."""
        return self.months.get(month, [])
