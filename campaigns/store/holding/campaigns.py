"""Campaigns on hold: the provider refuses their sender or their text, so nothing of them is handed over.

A row a hold, open until somebody lifts it, and kept: it says who went on, and with which sender.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from campaigns.domain.errors import NotAllowed
from campaigns.domain.holds import CampaignHold
from campaigns.domain.provider import CampaignTrouble
from campaigns.domain.states import NOT_TAKEN, CampaignState
from campaigns.store.conditions import IS_CANCELLED
from campaigns.store.law import sum_of
from campaigns.store.moves import lock_to_move
from campaigns.store.session import Database

_HOLD = f"""
    WITH seen AS (
        SELECT c.id, c.sender_id,
            EXISTS (SELECT 1 FROM campaign_hold h
                WHERE h.campaign_id = c.id AND h.lifted_at IS NULL) AS is_held,
            c.sender_id <> $5 OR EXISTS (SELECT 1 FROM campaign_hold h WHERE h.campaign_id = c.id
                AND h.lifted_at > now() - make_interval(secs => $6)) AS is_outdated,
            ($7 AND EXISTS (SELECT 1 FROM batch b WHERE b.campaign_id = c.id AND
                b.message_count > {sum_of(NOT_TAKEN, "b")}))
            OR ($8 AND EXISTS (SELECT 1 FROM campaign_hold h WHERE h.campaign_id = c.id
                AND h.about = 'text' AND h.lifted_at IS NOT NULL)) AS is_own
        FROM campaign c WHERE c.id = $1
    ),
    made AS (
        INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)
        SELECT id, $2, $3, $4, sender_id FROM seen WHERE NOT (is_held OR is_outdated OR is_own)
        ON CONFLICT (campaign_id) WHERE lifted_at IS NULL DO UPDATE SET code = campaign_hold.code
        RETURNING xmax = 0 AS is_new
    )
    SELECT CASE WHEN is_held THEN 'before' WHEN is_outdated THEN 'outdated' WHEN is_own THEN 'not'
                WHEN is_new THEN 'now' ELSE 'before' END AS held
    FROM seen LEFT JOIN made ON true
"""


async def hold(
    database: Database,
    campaign_id: UUID,
    trouble: CampaignTrouble,
    *,
    sender_id: str,
    known_for_seconds: float,
    if_nothing_taken: bool,
    if_never_resumed: bool,
) -> Literal["now", "before", "not", "outdated"]:
    """Hold a campaign: says whether this call did it, another one had, or it is not to be held; the first
    reason stays. `outdated`: what was refused says nothing of how it is now.

    Takes the sender id that was used and for how long the caller has known the campaign, for it may have been
    let go on since, or with another sender. `if_nothing_taken`: only where nothing of it was ever taken;
    `if_never_resumed`: only where nobody has let it go on after a refused text.
    """
    async with database.connection() as connection:
        held: Literal["now", "before", "not", "outdated"] = await connection.fetchval(
            _HOLD,
            campaign_id,
            trouble.about,
            trouble.code,
            trouble.reason,
            sender_id,
            known_for_seconds,
            if_nothing_taken,
            if_never_resumed,
        )
    return held


@dataclass(frozen=True, slots=True)
class Resumed:
    """What hindered a campaign until now."""

    was_paused: bool
    was_held: bool


async def resume(
    database: Database,
    campaign_id: UUID,
    *,
    operator: str,
    sender_id: str | None = None,
    approval_above: int | None = None,
) -> Resumed:
    """Let a campaign go on that is paused, on hold, or both; with another sender id where one is given.

    Recorded with who and when. Raises NotFound, NotAllowed: it is over, it is given a sender id and is not on
    hold, or it waits for approval and has more segments than `approval_above`.
    """
    async with database.transaction() as connection:
        before = await lock_to_move(connection, campaign_id, CampaignState.RUNNING)
        is_running = before is CampaignState.RUNNING
        if approval_above is not None and await connection.fetchval(
            "SELECT needs_approval AND segment_count > $2 FROM campaign WHERE id = $1",
            campaign_id,
            approval_above,
        ):
            raise NotAllowed(
                f"campaign {campaign_id} waits for approval: have a key resume it that may submit as many "
                f"without asking, or an operator by: campaigns resume {campaign_id}"
            )
        was_held = bool(
            await connection.fetchval(
                "UPDATE campaign_hold SET lifted_at = now(), lifted_by = $2, new_sender_id = $3"
                " WHERE campaign_id = $1 AND lifted_at IS NULL RETURNING true",
                campaign_id,
                operator,
                sender_id,
            )
        )
        if sender_id is not None and not was_held:
            raise NotAllowed(f"campaign {campaign_id} is not on hold; its sender id is changed only then")
        await connection.execute(
            "UPDATE campaign SET state = $3, sender_id = coalesce($2, sender_id), needs_approval = false"
            " WHERE id = $1",
            campaign_id,
            sender_id,
            CampaignState.RUNNING,
        )
    return Resumed(was_paused=not is_running, was_held=was_held)


async def holds(database: Database) -> list[CampaignHold]:
    """The campaigns on hold in which something may still happen, the longest held first."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT h.campaign_id, h.held_at, h.about, h.code, h.reason FROM campaign_hold h"
            " JOIN campaign c ON c.id = h.campaign_id"
            f" WHERE h.lifted_at IS NULL AND c.finished_at IS NULL AND NOT {IS_CANCELLED}"
            " ORDER BY h.held_at, h.id"
        )
    return [CampaignHold(*record) for record in records]
