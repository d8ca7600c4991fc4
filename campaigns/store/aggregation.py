"""Campaigns as a whole: their state, their end, and the totals that are kept of them."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from campaigns.domain.errors import no_such_campaign
from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.values import value
from campaigns.store.conditions import IS_CANCELLED, IS_NOT_DONE, IS_OVER
from campaigns.store.grouping import grouped
from campaigns.store.law import quoted
from campaigns.store.moves import lock_to_move
from campaigns.store.progress import KEPT_POINT
from campaigns.store.reasons import REASONS
from campaigns.store.session import Database
from campaigns.store.totals import TOTALS, by_state, sums


async def change_state(
    database: Database, campaign_id: UUID, target: CampaignState
) -> tuple[CampaignState, bool]:
    """Move a campaign, guarded by the laws. Gives (state before, whether it changed): already there is
    no error. Raises NotFound, NotAllowed.
    """
    async with database.transaction() as connection:
        before = await lock_to_move(connection, campaign_id, target)
        if before is target:
            return before, False
        await connection.execute("UPDATE campaign SET state = $2 WHERE id = $1", campaign_id, target)
    return before, True


async def rename(database: Database, campaign_id: UUID, name: str) -> None:
    """Give a campaign another name. Raises NotFound."""
    async with database.connection() as connection:
        changed = await connection.fetchval(
            "UPDATE campaign SET name = $2 WHERE id = $1 RETURNING true", campaign_id, name
        )
    if not changed:
        raise no_such_campaign(campaign_id)


# Failed: not one message ever reached the provider (and some were meant to: where all are suppressed nothing
# went wrong). A message that expired after an attempt did reach the provider. Cancelled stays cancelled, and
# gets its end.
_FINISH = f"""
    UPDATE campaign c SET finished_at = now(), state =
        (CASE WHEN {IS_CANCELLED} THEN {quoted(CampaignState.CANCELLED)}
              WHEN (SELECT sum(failed_count + expired_count) > 0
                           AND bool_and(failed_count + expired_count + suppressed_count = message_count)
                    FROM batch b WHERE b.campaign_id = c.id)
                   AND NOT EXISTS (SELECT 1 FROM batch b JOIN message m ON m.batch_id = b.id
                                   WHERE b.campaign_id = c.id AND b.expired_count > 0
                                     AND m.state = 'expired' AND m.attempt >= 1)
                  THEN {quoted(CampaignState.FAILED)}
              ELSE {quoted(CampaignState.FINISHED)} END)::campaign_state
    WHERE c.finished_at IS NULL AND ($1::text[] IS NULL OR c.id = ANY($1::text[]::uuid[]))
      AND {IS_OVER}
    RETURNING c.id
"""


async def finish_all(database: Database) -> list[UUID]:
    """End the campaigns whose every message is settled. Gives those that ended now."""
    async with database.connection() as connection:
        return [record["id"] for record in await connection.fetch(_FINISH, None)]


@value
class _Over:
    campaign_id: UUID


@grouped(_Over)
async def finish(database: Database, asked: Sequence[_Over]) -> list[bool]:
    """End a campaign if its every message is settled. True where it ended now.

    To be called after the transaction that settled the last message has committed: of two batches that
    end at the same moment, the later commit then sees both.
    """
    async with database.connection() as connection:
        records = await connection.fetch(_FINISH, [str(each) for each in {a.campaign_id for a in asked}])
    ended = {record["id"]: True for record in records}
    # Popped: of several that ask for one campaign, one hears that it ended now.
    return [ended.pop(each.campaign_id, False) for each in asked]


# A batch that is being changed is waited for and summed as it is then; a later change forgets the sums. The
# last point of its progress comes of the same sums. With nothing to sum no batch is read: where most are of
# one campaign, all of them would be.
_SUM_UP = f"""
    WITH over AS (
        SELECT c.id FROM campaign c WHERE c.finished_at IS NOT NULL AND c.totals IS NULL
          AND {IS_OVER}
        ORDER BY c.id LIMIT $1
    ),
    held AS (
        SELECT b.* FROM batch b
        WHERE EXISTS (SELECT FROM over) AND b.campaign_id IN (SELECT id FROM over) ORDER BY b.id FOR SHARE
    ),
    sums AS (
        SELECT b.campaign_id, {sums("b.campaign_id", "held")}
        FROM held b GROUP BY b.campaign_id HAVING NOT bool_or({IS_NOT_DONE})
    ),
    noted AS ({KEPT_POINT})
    UPDATE campaign c
    SET totals = to_jsonb(sums) - 'campaign_id' || jsonb_build_object('reasons', {REASONS})
    FROM sums WHERE c.id = sums.campaign_id
    RETURNING c.id
"""


async def sum_up(database: Database, *, limit: int) -> int:
    """Keep the totals, and the last point, of campaigns that are over and have none kept. Gives how many."""
    async with database.connection() as connection:
        return len(await connection.fetch(_SUM_UP, limit))


async def recount(database: Database, campaign_id: UUID) -> Mapping[MessageState, tuple[int, int]]:
    """By state (what the tallies say, what counting the messages gives): the two must agree.

    Both at the same moment: also true of a campaign that is being worked on.
    """
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        said = await connection.fetchval(
            f"SELECT ({TOTALS})::text FROM campaign c WHERE id = $1", campaign_id
        )
        records = await connection.fetch(
            "SELECT m.state::text AS state, count(*) AS n FROM message m JOIN batch b ON b.id = m.batch_id"
            " WHERE b.campaign_id = $1 GROUP BY m.state",
            campaign_id,
        )
    if said is None:
        raise no_such_campaign(campaign_id)
    counted = {record["state"]: record["n"] for record in records}
    return {state: (count, counted.get(state, 0)) for state, count in by_state(json.loads(said)).items()}
