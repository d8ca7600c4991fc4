"""Answers that came after the lease of their batch ended: stored where they still apply."""

from collections.abc import Sequence

from campaigns.domain.late import LateAnswer
from campaigns.domain.message_ref import MessageKey, key_of
from campaigns.domain.timeline import Source
from campaigns.store.conditions import IS_IN_DOUBT, IS_QUEUED, IS_SENDING
from campaigns.store.session import Connection, Database, numbers
from campaigns.store.tally import Release, let_go, recount
from campaigns.store.timeline import noted, step

_BATCHES = """
    SELECT b.id, b.campaign_id, b.number, b.state::text AS state FROM batch b
    JOIN unnest($1::text[]::uuid[], $2::text::int[]) AS l(campaign_id, number)
        ON l.campaign_id = b.campaign_id AND l.number = b.number
    ORDER BY b.id FOR NO KEY UPDATE OF b
"""

# Only for the same attempt, and still in doubt: it was not tried again, and no receipt came. After the answer
# "nothing taken" the message may be handed over again.
_SETTLE = f"""
    UPDATE message m SET state = l.state::message_state, reason = l.reason, updated_at = now(),
        timeline = {noted(step(Source.LATE_ANSWER, "l.state", "l.provider_state"))},
        provider_state = coalesce(l.provider_state, m.provider_state)
    FROM unnest($1::text::bigint[], $2::text::smallint[], $3::text::smallint[], $4::text[], $5::text[],
                $6::text[])
        AS l(batch_id, position, attempt, state, provider_state, reason)
    WHERE m.batch_id = l.batch_id AND m.position = l.position AND {IS_IN_DOUBT}
      AND m.attempt = l.attempt
    RETURNING m.batch_id, {IS_QUEUED} AS is_queued
"""

_STILL_SENDING = f"""
    SELECT m.batch_id, m.position::int AS position FROM message m
    JOIN unnest($1::text::bigint[], $2::text::smallint[], $3::text::smallint[])
        AS l(batch_id, position, attempt)
        ON m.batch_id = l.batch_id AND m.position = l.position AND m.attempt = l.attempt
    WHERE {IS_SENDING}
"""


async def settle_refused(database: Database, answers: Sequence[LateAnswer]) -> list[LateAnswer]:
    """Write down that messages in doubt were rejected, failed, or not taken (these are queued again), where
    the answer is of their last attempt. Idempotent.

    Gives the answers that cannot be used yet: rescue has not been at their batches.
    """
    keys = [(each, key) for each in answers if (key := key_of(each.message_ref)) is not None]
    async with database.transaction() as connection:
        batches = await _lock(connection, [key for _, key in keys])
        known = [
            (batches[key.campaign_id, key.number][0], key.position, each)
            for each, key in keys
            if (key.campaign_id, key.number) in batches
        ]
        if not known:
            return []
        where = (
            numbers(batch_id for batch_id, _, _ in known),
            numbers(position for _, position, _ in known),
            numbers(each.attempt for _, _, each in known),
        )
        records = await connection.fetch(_STILL_SENDING, *where)
        sending = {(record["batch_id"], record["position"]) for record in records}
        changed = await connection.fetch(
            _SETTLE,
            *where,
            [each.state.value for _, _, each in known],
            [each.provider_state for _, _, each in known],
            [each.reason for _, _, each in known],
        )
        queued = {record["batch_id"] for record in changed if record["is_queued"]}
        states = dict(batches.values())
        touched = {record["batch_id"] for record in changed}
        await recount(connection, {each: None for each in touched if states[each] == "leased"})
        await let_go(
            connection,
            {
                each: Release(send_in_seconds=0 if each in queued else None)
                for each in touched
                if states[each] != "leased"
            },
        )
    return [each for batch_id, position, each in known if (batch_id, position) in sending]


async def _lock(
    connection: Connection, keys: Sequence[MessageKey]
) -> dict[tuple[object, int], tuple[int, str]]:
    """Lock the batches of these messages. Gives id and state by campaign and batch number."""
    wanted = {(key.campaign_id, key.number) for key in keys}
    records = await connection.fetch(
        _BATCHES,
        [str(campaign_id) for campaign_id, _ in wanted],
        numbers(number for _, number in wanted),
    )
    return {(each["campaign_id"], each["number"]): (each["id"], each["state"]) for each in records}
