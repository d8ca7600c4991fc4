"""Receipts that were set aside: counted, listed, tried again, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from campaigns.domain.message_ref import message_ref
from campaigns.store.session import Connection, Database

_MOST_OF_ACCOUNT = 1_000  # receipts of one account that are kept aside


@dataclass(frozen=True, slots=True)
class AsideReceipt:
    """A receipt nobody looks at until a person says what becomes of it."""

    id: int
    account: str
    received_at: datetime
    set_aside_at: datetime
    reason: str
    provider_message_id: str | None
    message_ref: str | None
    evidence: str | None
    provider_state: str


async def listed(database: Database, *, limit: int) -> list[AsideReceipt]:
    """What is set aside, oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT id, account, received_at, set_aside_at, set_aside_reason, provider_message_id,"
            " campaign_id, number, position, evidence::text AS evidence, provider_state"
            " FROM waiting_receipt WHERE set_aside_at IS NOT NULL ORDER BY id LIMIT $1",
            limit,
        )
    return [
        AsideReceipt(
            id=record["id"],
            account=record["account"],
            received_at=record["received_at"],
            set_aside_at=record["set_aside_at"],
            reason=record["set_aside_reason"],
            provider_message_id=record["provider_message_id"],
            message_ref=(
                None
                if record["campaign_id"] is None
                else message_ref(record["campaign_id"], record["number"], record["position"])
            ),
            evidence=record["evidence"],
            provider_state=record["provider_state"],
        )
        for record in records
    ]


async def put(connection: Connection, ids: Sequence[int], reason: str) -> int:
    """Set receipts aside, with the reason. The caller's transaction holds them.

    Of an account at most so many are kept (`_MOST_OF_ACCOUNT`), the first: nobody reads more, and a provider
    that goes wrong does so for each of a million. Gives how many were dropped for that.
    """
    await connection.execute(
        "UPDATE waiting_receipt SET set_aside_at = now(), set_aside_reason = $2, is_coarse = false"
        " WHERE id = ANY($1::bigint[])",
        ids,
        reason,
    )
    dropped = await connection.fetch(
        "DELETE FROM waiting_receipt w USING ("
        " SELECT id, row_number() OVER (PARTITION BY account ORDER BY id) AS nth FROM waiting_receipt"
        " WHERE set_aside_at IS NOT NULL) o"
        " WHERE w.id = o.id AND w.id = ANY($1::bigint[]) AND o.nth > $2 RETURNING 1",
        ids,
        _MOST_OF_ACCOUNT,
    )
    return len(dropped)


async def retry(database: Database, ids: Sequence[int]) -> list[int]:
    """Have these merged now. Gives those that were set aside."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "UPDATE waiting_receipt SET set_aside_at = NULL, set_aside_reason = NULL, look_at = now(),"
            " look_count = 0 WHERE id = ANY($1::bigint[]) AND set_aside_at IS NOT NULL RETURNING id",
            ids,
        )
    return [record["id"] for record in records]


async def drop(database: Database, ids: Sequence[int]) -> list[int]:
    """Delete these for good. Gives those that were set aside."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "DELETE FROM waiting_receipt WHERE id = ANY($1::bigint[]) AND set_aside_at IS NOT NULL"
            " RETURNING id",
            ids,
        )
    return [record["id"] for record in records]
