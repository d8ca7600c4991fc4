"""Batches dealt, and what is in flight."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from campaigns import reading
from campaigns.domain.states import CampaignState
from campaigns.store import batching as dealing
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.integration.rows import query
from tests.river import phones, submit

FREE = 1000


async def campaign_of(database: Database, count: int, **more: Any) -> UUID:
    """A campaign of so many batches of one message."""
    return (await submit(database, phones(count), batch_size=1, **more)).id


async def deal(
    database: Database, *, in_flight: int = FREE, of_account: dict[str, int] | None = None
) -> list[Dealt]:
    return await dealing.deal_sending(
        database, in_flight=in_flight, of_account=of_account or {"main": FREE}, lease_seconds=60
    )


async def whose(database: Database, dealt: Sequence[Dealt]) -> list[UUID]:
    """The campaign of each dealt batch."""
    rows = await query(
        database,
        "SELECT id, campaign_id FROM batch WHERE id = ANY($1::bigint[])",
        [one.batch_id for one in dealt],
    )
    campaigns = {row["id"]: row["campaign_id"] for row in rows}
    return [campaigns[one.batch_id] for one in dealt]


async def end(database: Database, dealt: Sequence[Dealt]) -> None:
    """These batches are done: delivered, as far as their tallies say."""
    await change(
        database,
        "state = 'done', leased_until = NULL, leased_for = NULL, leased_by = NULL,"
        " delivered_count = delivered_count + queued_count, queued_count = 0",
        dealt,
    )


async def change(database: Database, setting: str, dealt: Sequence[Dealt] | None = None) -> None:
    """Change some batches, or all, by hand."""
    await query(
        database,
        f"UPDATE batch SET {setting} WHERE $1::bigint[] IS NULL OR id = ANY($1)",  # noqa: S608  the test's own
        None if dealt is None else [one.batch_id for one in dealt],
    )


async def in_flight(database: Database) -> dict[str, int]:
    """How many batches are under lease, by account."""
    rows = await query(
        database,
        "SELECT c.account, count(*) AS n FROM batch b JOIN campaign c ON c.id = b.campaign_id"
        " WHERE b.state = 'leased' GROUP BY c.account",
    )
    return {row["account"]: row["n"] for row in rows}


async def state(database: Database, campaign_id: UUID) -> CampaignState:
    return (await reading.status(database, campaign_id)).state
