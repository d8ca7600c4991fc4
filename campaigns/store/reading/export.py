"""The lines of an export: every message of a campaign, or every recipient that was refused."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from campaigns.domain.states import MessageState
from campaigns.store.law import quoted, tally_column
from campaigns.store.reading.messages import SHOWN_REASON
from campaigns.store.session import Database


def _utc(moment: str) -> str:
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


_COLUMNS = {
    "row": "m.row",
    "phone": "m.phone",
    "state": "m.state::text",
    "provider_state": "m.provider_state",
    "provider_message_id": "m.provider_message_id",
    "batch": "b.number",
    "attempt": "m.attempt",
    "segments": "m.segment_count",
    "cost": "m.cost::text",
    "reason": SHOWN_REASON,
    "updated_at": _utc("m.updated_at"),
    "provider_changed_at": _utc("m.provider_changed_at"),
    "currency": "CASE WHEN m.cost IS NOT NULL THEN coalesce(m.currency, c.currency) END",
    "channel": "m.channel",
}

EXPORT_COLUMNS = tuple(_COLUMNS)
"""The columns of a message's line, in their order. `worker.shapes.ExportLine` says what each means."""


async def own_columns(database: Database, campaign_id: UUID) -> list[str]:
    """The recipients' own columns in a campaign, as jsonb orders them: short names first."""
    async with database.own_connection() as connection:
        records = await connection.fetch(
            "SELECT f.name FROM batch b JOIN message m ON m.batch_id = b.id"
            " CROSS JOIN LATERAL jsonb_object_keys(m.fields) WITH ORDINALITY AS f(name, place)"
            " WHERE b.campaign_id = $1 AND m.fields IS NOT NULL"
            " GROUP BY f.name ORDER BY min(f.place), f.name",
            campaign_id,
        )
    return [record["name"] for record in records]


async def export(
    database: Database, campaign_id: UUID, state: MessageState | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Every message of a campaign (in one state) in order of row, streamed: memory stays flat over a million.

    Gives `EXPORT_COLUMNS` as plain values (text, numbers), and `fields`: the recipient's own. All as they
    are at one moment. The reader may take its time (a pager, a slow download): no transaction stays open.
    """
    only = "" if state is None else f"AND b.{tally_column(state)} > 0 AND m.state = {quoted(state)}"
    async with database.own_connection() as connection:
        await connection.execute(
            "DECLARE lines NO SCROLL CURSOR WITH HOLD FOR"
            f" SELECT {', '.join(f'{sql} AS {name}' for name, sql in _COLUMNS.items())},"
            " m.fields::text AS fields"
            " FROM batch b JOIN campaign c ON c.id = b.campaign_id JOIN message m ON m.batch_id = b.id"
            f" WHERE b.campaign_id = '{campaign_id}'::uuid {only} ORDER BY m.row"
        )
        while records := await connection.fetch("FETCH 2000 FROM lines"):
            for record in records:
                line = dict(record)
                line["fields"] = json.loads(line["fields"]) if line["fields"] else {}
                yield line


async def refusals(
    database: Database, campaign_id: UUID, *, limit: int | None = None
) -> list[tuple[int, str, str | None]]:
    """(row, reason, column it is about) of the recipients that were not taken in, in order of row."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT row, reason, column_name FROM refusal WHERE campaign_id = $1 ORDER BY row LIMIT $2",
            campaign_id,
            limit,
        )
    return [(record["row"], record["reason"], record["column_name"]) for record in records]
