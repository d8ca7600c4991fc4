"""An operator's decision on messages in doubt, carried out and recorded in one transaction."""

from typing import Literal
from uuid import UUID

from campaigns.domain.errors import NotAllowed, no_such_campaign
from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.timeline import Source
from campaigns.store.conditions import IS_IN_DOUBT, MAY_STILL_BE_SENT
from campaigns.store.law import quoted
from campaigns.store.session import Database
from campaigns.store.tally import Release, let_go, recount
from campaigns.store.timeline import noted, step

Decision = Literal["resend", "assume_sent"]

_BATCHES_AT_ONCE = 200

_DECIDED = (
    f"CASE WHEN $4 = 'resend' THEN {quoted(MessageState.QUEUED)} ELSE {quoted(MessageState.UNKNOWN)} END"
)

_MOVE = f"""
    UPDATE message m SET updated_at = now(), timeline = {noted(step(Source.PERSON, _DECIDED))},
        state = ({_DECIDED})::message_state,
        reason = CASE WHEN $4 = 'resend' THEN 'to be sent again, says ' ELSE 'assumed sent, says ' END || $3
    WHERE m.batch_id = ANY($1::bigint[]) AND {IS_IN_DOUBT} AND ($2::text IS NULL OR m.phone = $2)
    RETURNING 1
"""
# Queued: the one way back from doubt to the queue, and only by a person's decision. Unknown: settled
# without an answer of the provider; a late receipt may still raise it.


async def resolve(
    database: Database,
    campaign_id: UUID,
    decision: Decision,
    *,
    phone: str | None,
    operator: str,
    give_up_seconds: float,
) -> int:
    """Carry an operator's decision out on the campaign's messages in doubt (or the one number's), and record
    it. Gives how many messages it moved. Raises NotFound, NotAllowed.
    """
    moved_count, after = 0, 0
    while True:
        async with database.transaction() as connection:
            found = await connection.fetchrow(
                f"SELECT c.state::text AS state, {MAY_STILL_BE_SENT} AS may_be_sent FROM campaign c"
                " WHERE c.id = $1",
                campaign_id,
            )
            if found is None:
                raise no_such_campaign(campaign_id)
            if decision == "resend" and not found["may_be_sent"]:
                is_cancelled = found["state"] == CampaignState.CANCELLED
                why = "cancelled" if is_cancelled else "past its not_after"
                raise NotAllowed(f"campaign {campaign_id} is {why}; nothing of it is sent again")
            batches = await connection.fetch(
                "SELECT id, state::text AS state FROM batch WHERE campaign_id = $1 AND in_doubt_count > 0"
                " AND id > $2 ORDER BY id LIMIT $3 FOR NO KEY UPDATE",
                campaign_id,
                after,
                _BATCHES_AT_ONCE,
            )
            ids = [batch["id"] for batch in batches]
            moved = await connection.fetch(_MOVE, ids, phone, operator, decision)
            # A batch under a lease keeps it: its worker sets the state at the end.
            leased = [batch["id"] for batch in batches if batch["state"] == "leased"]
            free = [batch["id"] for batch in batches if batch["state"] != "leased"]
            give_up_in = give_up_seconds if decision == "resend" else None
            if leased:
                await recount(connection, dict.fromkeys(leased, give_up_in))
            if free:
                send_in = 0.0 if decision == "resend" else None
                how = Release(send_in_seconds=send_in, give_up_in_seconds=give_up_in)
                await let_go(connection, dict.fromkeys(free, how))
            if moved:
                await connection.execute(
                    "INSERT INTO resolution (campaign_id, word, operator, message_count)"
                    " VALUES ($1, $2, $3, $4)",
                    campaign_id,
                    decision,
                    operator,
                    len(moved),
                )
        moved_count += len(moved)
        if len(ids) < _BATCHES_AT_ONCE:
            return moved_count
        after = ids[-1]
