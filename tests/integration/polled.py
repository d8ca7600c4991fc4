"""Batches handed over and asked about."""

from collections.abc import Awaitable, Callable, Sequence

from campaigns import batching, receipts
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Answers, Receipt, WaitForPace
from campaigns.domain.states import MessageState
from campaigns.store.session import Database
from tests.integration.one_batch import send_one
from tests.integration.rows import make_due, message_rows
from tests.river import phones, submit
from tests.stub import Stub

A, U = MessageState.ACCEPTED, MessageState.UNKNOWN


class Answering(Stub):
    """A provider that answers each poll as told, and remembers what it was asked."""

    def __init__(self, *answers: Answers | Callable[[], Awaitable[Answers]]) -> None:
        super().__init__("main")
        self._answers = list(answers)
        self.asked: list[list[str]] = []

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        self.asked.append(list(provider_message_ids))
        answer = self._answers.pop(0)
        return answer if isinstance(answer, Answers) else await answer()


async def handed_over(database: Database, desk: Desk, count: int = 1) -> list[str]:
    """A batch whose every message is accepted, due to be polled. Gives the provider's ids."""
    await submit(database, phones(count))
    await send_one(database, desk)
    await make_due(database)
    return [row["provider_message_id"] for row in await message_rows(database)]


async def poll_one(database: Database, desk: Desk) -> receipts.Polled:
    (dealt,) = await batching.deal_polling(database, desk)
    return await receipts.poll_batch(database, desk, dealt)


def said(*words: tuple[str, MessageState | str]) -> Answers:
    """An answer: (id, word) ..., where a word that is none of our states means nothing to us."""
    return Answers([Receipt(i, w if isinstance(w, MessageState) else None, str(w)) for i, w in words])
