"""What stands in a database before an upgrade: a campaign with messages in every state there is."""

from typing import Any

import asyncpg


async def fill(database_url: str, campaign_id: str) -> dict[str, str]:
    """Put the messages of a paused campaign (as many as there are states) into one state each, as that
    release's database knows them, so that nobody touches them for days. Gives each phone's state.
    """
    connection: Any = await asyncpg.connect(database_url)
    try:
        states = await connection.fetchval("SELECT enum_range(NULL::message_state)::text[]")
        async with connection.transaction():
            await connection.execute(
                "UPDATE message m SET state = (enum_range(NULL::message_state))[m.position + 1],"
                " attempt = CASE WHEN m.position > 2 THEN 1 ELSE 0 END,"
                " provider_message_id = CASE WHEN m.position > 4 THEN 'id-' || m.position END"
                " FROM batch b WHERE b.id = m.batch_id AND b.campaign_id = $1",
                campaign_id,
            )
            tally = ", ".join(f"{state}_count = 1" for state in states)
            filled = await connection.execute(
                f"UPDATE batch SET {tally}, send_at = now() + interval '9 days',"  # noqa: S608  words of ours
                " poll_at = now() + interval '9 days', give_up_at = now() + interval '9 days'"
                f" WHERE campaign_id = $1 AND message_count = {len(states)}",
                campaign_id,
            )
            assert filled == "UPDATE 1", "as many messages as there are states"
        records = await connection.fetch(
            "SELECT m.phone, m.state::text AS state FROM message m JOIN batch b ON b.id = m.batch_id"
            " WHERE b.campaign_id = $1",
            campaign_id,
        )
        return {record["phone"]: record["state"] for record in records}
    finally:
        await connection.close()
