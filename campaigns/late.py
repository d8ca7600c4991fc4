"""Answers in hand that could not be written down: the database was away longer than a lease lasts.

An answer is evidence, and evidence needs no lease. It is kept until the database is back and merged then:
what was accepted as a receipt is, by rank; what was refused or not taken only where nobody tried again since.
"""

from collections.abc import Awaitable, Callable, Sequence

from campaigns.domain.late import LateAnswer
from campaigns.domain.message_ref import key_of
from campaigns.domain.said import Details
from campaigns.domain.states import MessageState
from campaigns.store.receipts import incoming as receipts
from campaigns.store.receipts import late as rows
from campaigns.store.receipts.incoming import Incoming
from campaigns.store.session import Database

_MOST_KEPT = 100_000  # answers at once: some ten megabytes
_BUNDLE = 1_000


async def _nowhere(_: Sequence[LateAnswer]) -> None:
    """Write nothing: the answers are lost when the process ends."""


class LateAnswers:
    """What one process keeps. Lives on one event loop.

    Takes `write_ahead`, which has answers on disk when it returns: a process that is killed leaves them
    there. It raises nothing by design.
    """

    def __init__(self, write_ahead: Callable[[Sequence[LateAnswer]], Awaitable[None]] = _nowhere) -> None:
        self._write_ahead = write_ahead
        self._kept: list[LateAnswer] = []
        self.dropped_count = 0  # there was no room for them

    def __len__(self) -> int:
        return len(self._kept)

    async def keep(self, answers: Sequence[LateAnswer]) -> None:
        """Keep answers, as many as there is room for."""
        room = max(_MOST_KEPT - len(self._kept), 0)
        self.dropped_count += len(answers[room:])
        if kept := answers[:room]:
            await self._write_ahead(kept)  # before anybody merges them, and forgets what is on disk
            self._kept += kept

    async def merge(self, database: Database) -> int:
        """Write down every answer that the database takes now, and keep the rest. Gives how many were
        written.

        Safe to repeat. Raises DatabaseUnavailable; then the rest is kept.
        """
        merged_count = 0
        waiting: list[LateAnswer] = []
        try:
            while self._kept:
                bundle = self._kept[:_BUNDLE]
                waiting += await _merge(database, bundle)
                del self._kept[: len(bundle)]
                merged_count += len(bundle)
        finally:
            self._kept += waiting
        return merged_count - len(waiting)


async def _merge(database: Database, answers: Sequence[LateAnswer]) -> list[LateAnswer]:
    accepted = [each for each in answers if each.state is MessageState.ACCEPTED]
    if accepted:
        await receipts.keep(database, [_incoming(each) for each in accepted])
    refused = [each for each in answers if each.state is not MessageState.ACCEPTED]
    return await rows.settle_refused(database, refused) if refused else []


def _incoming(answer: LateAnswer) -> Incoming:
    return Incoming(
        answer.account,
        answer.provider_message_id,
        key_of(answer.message_ref),
        answer.state,
        answer.state.value,
        is_coarse=False,
        details=Details(cost=answer.cost, segment_count=answer.segment_count),
    )
