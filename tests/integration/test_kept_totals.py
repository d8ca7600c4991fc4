"""Totals that an older release kept: it knew fewer states than this one, and they can still be read."""

import io
import json
from collections import Counter
from collections.abc import Collection, Iterable
from uuid import UUID

import pytest
from rich.console import Console, RenderableType

from campaigns import aggregation, reading
from campaigns.domain.states import SETTLED, CampaignState, MessageState, is_move
from campaigns.store import schema
from campaigns.store.law import tally_column
from campaigns.store.session import Database
from campaigns.store.tally import Release, let_go
from tests.integration.rows import query
from tests.river import lines, phones, submit
from worker import shapes
from worker.cli import display


async def bring_to(database: Database, campaign_id: UUID, states: Iterable[MessageState]) -> None:
    """Have its messages, taken in and queued, in these states, and its batch where they belong."""
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM batch FOR NO KEY UPDATE")
        (batch_id,) = await connection.fetchrow("SELECT id FROM batch WHERE campaign_id = $1", campaign_id)
        for position, state in enumerate(states):
            if state.rank >= MessageState.SENDING.rank and not is_move(MessageState.QUEUED, state):
                await connection.execute(
                    "UPDATE message SET state = 'sending', attempt = 1 WHERE batch_id = $1 AND position = $2",
                    batch_id,
                    position,
                )
            await connection.execute(
                "UPDATE message SET state = $3, attempt = greatest(attempt, CASE WHEN $3 = 'sending' THEN 1"
                " ELSE 0 END) WHERE batch_id = $1 AND position = $2 AND state <> $3",
                batch_id,
                position,
                state,
            )
        await let_go(connection, {batch_id: Release()})


@pytest.fixture
async def campaigns(database: Database) -> dict[CampaignState, UUID]:
    """Campaigns with messages in every state there is, by their own state."""
    found = {}
    ends: dict[CampaignState, Collection[MessageState]] = {
        CampaignState.RUNNING: list(MessageState),
        CampaignState.FINISHED: [state for state in MessageState if state in SETTLED],
        CampaignState.FAILED: [MessageState.FAILED, MessageState.SUPPRESSED, MessageState.EXPIRED],
    }
    for end, states in ends.items():
        taken = await submit(database, phones(len(states)))
        await query(database, "UPDATE campaign SET state = 'running' WHERE id = $1", taken.id)
        await bring_to(database, taken.id, states)
        found[end] = taken.id
    await aggregation.finish(database)
    await aggregation.sum_up(database)
    assert await states_of(database) == {each: end for end, each in found.items()}
    return found


async def states_of(database: Database) -> dict[UUID, CampaignState]:
    return {row["id"]: CampaignState(row["state"]) for row in await query(database, "SELECT * FROM campaign")}


def shown(what: RenderableType) -> str:
    written = io.StringIO()
    Console(width=200, file=written).print(what)
    return written.getvalue()


@pytest.mark.parametrize("kept", ["totals - 'expired_count'", "'{}'::jsonb"])
async def test_what_older_totals_do_not_name_counts_as_none(
    database: Database, campaigns: dict[CampaignState, UUID], kept: str
) -> None:
    """They are listed, shown, exported and verified, whichever states and sums came later than they did."""
    sql = f"UPDATE campaign SET totals = {kept} WHERE totals IS NOT NULL RETURNING totals::text"  # noqa: S608  the words above
    older = [json.loads(row["totals"]) for row in await query(database, sql)]
    assert len(older) == 2
    assert await schema.migrate(database) == schema.head()

    listed = {each.id: each for each in await reading.newest(database)}
    for end, campaign_id in campaigns.items():
        overview = await reading.status(database, campaign_id)
        assert listed[campaign_id] == overview
        exported = Counter(row["state"] for row in await lines(database, campaign_id))
        unnamed = {
            state
            for state in MessageState
            if end is not CampaignState.RUNNING and tally_column(state) not in older[0]
        }
        for state in MessageState:
            assert overview.totals[state] == (0 if state in unnamed else exported[state])
            assert shapes.Campaign.of(overview).public()["totals"][state.value] == overview.totals[state]
        assert str(campaign_id) in shown(display.campaign(overview))
        assert str(campaign_id) in shown(display.campaigns([overview]))
        assert (await aggregation.verify(database, campaign_id)).keys() <= unnamed
