"""A tick of a database in which all is over reads nothing of what was sent, however much that was."""

from typing import Any

import pytest

from campaigns import aggregation, batching, holding, receipts, rescue, watching
from campaigns.domain.states import CampaignState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk, open_database
from tests.integration.rows import query
from tests.river import phones, submit

_BATCHES = 1_500

# What the sessions that ended have read of rows.
_READ = """
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS count FROM pg_stat_user_tables
    WHERE relname IN ('batch', 'message')
"""


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
    database: Database, database_url: str, make_desk: MakeDesk, statistics: str
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
    fresh = open_database(database_url)
    try:
        await _tick(fresh, make_desk())  # sums up what is over
    finally:
        await fresh.close()
    before = (await query(database, _READ))[0]["count"]

    fresh = open_database(database_url)
    try:
        await _tick(fresh, make_desk())
    finally:
        await fresh.close()

    assert (await query(database, _READ))[0]["count"] - before < _BATCHES / 10
