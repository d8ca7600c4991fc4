"""A tick of a database in which all is over reads nothing of what was sent, however much that was."""

from typing import Any

import pytest

from campaigns import aggregation, batching, holding, receipts, rescue, watching
from campaigns.domain.states import CampaignState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.rows import query, read_so_far
from tests.river import phones, submit

_BATCHES = 1_500


async def _tick(database: Database, desk: Any) -> None:
    """What `worker.tasks.tick` asks of PostgreSQL."""
    assert (await rescue.rescue(database)).is_quiet
    assert await aggregation.finish(database) == []
    await aggregation.Progress().note(database)
    await aggregation.sum_up(database)
    assert await rescue.resend(database, POLICY) == 0
    assert await holding.deal_probes(database) == []
    await holding.deal_balances(database)
    assert await batching.deal_sending(database, desk) == []
    assert await batching.deal_polling(database, desk) == []
    await watching.ticked(database, beat=None)
    assert not await receipts.are_waiting(database)


@pytest.mark.parametrize("statistics", ["of its middle", "as it is"])
async def test_a_tick_reads_nothing_of_what_is_over(
    database: Database, make_desk: MakeDesk, statistics: str
) -> None:
    taken = await submit(database, phones(_BATCHES), batch_size=1)
    await query(database, "ANALYZE")
    await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    while not (await rescue.rescue(database)).is_quiet:
        continue
    await aggregation.finish(database)
    over = await query(database, "SELECT finished_at IS NOT NULL AS is_over FROM campaign")
    assert over == [{"is_over": True}]
    if statistics == "as it is":
        await query(database, "ANALYZE")
    await _tick(database, make_desk())  # sums up what is over
    before = await _read(database)

    await _tick(database, make_desk())

    assert await _read(database) - before < _BATCHES / 10


async def _read(database: Database) -> int:
    """Rows of batches and messages that were read so far."""
    what = "seq_tup_read + coalesce(idx_tup_fetch, 0)"
    return sum([await read_so_far(database, "table", name, what) for name in ("batch", "message")])
