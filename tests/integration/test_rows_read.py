"""Handing over, asking and merging read the batches they work on, and not all there are: also before
PostgreSQL has statistics of them, as beside a first campaign.
"""

from collections.abc import Awaitable, Callable

import pytest

from campaigns import aggregation, batching, receipts, sending
from campaigns.domain.message_ref import message_ref
from campaigns.domain.provider import Receipt
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import make_due, query, read_so_far
from tests.river import phones, submit

_WORKED_ON = 20
_MOST_READ = 60 * _WORKED_ON  # by all statements together; one that reads all reads hundreds for each

# Rows of the table, entries of its indexes.
_READ = "seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'batch')"


@pytest.mark.parametrize("batch_count", [700, 1_000])  # fewer may as well be read whole
@pytest.mark.parametrize("has_statistics", [False, True])
async def test_a_few_batches_are_worked_on_without_reading_all(
    database: Database, make_desk: MakeDesk, has_statistics: bool, batch_count: int
) -> None:
    taken = await submit(database, phones(batch_count), batch_size=1)
    if has_statistics:
        await query(database, "ANALYZE")
    desk = make_desk()

    async def hand_over() -> None:
        dealt = await batching.deal_sending(database, desk, most=_WORKED_ON)
        assert len(dealt) == _WORKED_ON
        for each in dealt:
            assert (await sending.send_batch(database, desk, each)).state is BatchState.TRACKING

    async def ask() -> None:
        dealt = await batching.deal_polling(database, desk)
        assert len(dealt) == _WORKED_ON
        for each in dealt:
            await receipts.poll_batch(database, desk, each)
            await aggregation.finish(database, taken.id)

    async def merge() -> None:
        assert (await receipts.merge_waiting(database, desk)).receipt_count == _WORKED_ON

    assert await _read_by(hand_over, database) < _MOST_READ
    handed_over = await query(database, "SELECT number FROM batch WHERE state = 'tracking'")
    refs = [message_ref(taken.id, record["number"], 0) for record in handed_over]
    called = [Receipt(None, MessageState.SENT, "SENT", message_ref=ref) for ref in refs]
    await receipts.take_in_many(database, [("main", each) for each in called])
    assert await _read_by(merge, database) < _MOST_READ
    await make_due(database)
    assert await _read_by(ask, database) < _MOST_READ


async def _read_by(work: Callable[[], Awaitable[None]], database: Database) -> int:
    before = await read_so_far(database, "table", "batch", _READ)
    await work()
    return await read_so_far(database, "table", "batch", _READ) - before
