"""Single messages, by the provider's id, the phone number or our reference."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from campaigns.domain.access import Reach
from campaigns.domain.message_ref import MessageKey, message_ref
from campaigns.domain.states import EVIDENCE, MessageState
from campaigns.domain.timeline import Step, steps
from campaigns.store.law import in_list
from campaigns.store.session import Database


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message as we know it at one moment."""

    campaign_id: UUID
    row: int
    phone: str = field(repr=False)
    account: str
    state: MessageState
    provider_message_id: str | None
    provider_state: str | None
    attempt: int
    cost: Decimal | None
    currency: str | None
    segment_count: int
    reason: str | None
    channel: str | None
    provider_changed_at: datetime | None
    updated_at: datetime
    reference: str  # ours, which the provider may know it by
    steps: Sequence[Step] = ()  # its timeline, the oldest first


# Why a message is in its state: the provider's reason where the provider reported the state, else ours.
SHOWN_REASON = f"""CASE WHEN m.state IN {in_list(EVIDENCE - {MessageState.UNKNOWN})}
    THEN coalesce(m.provider_reason, m.reason) ELSE coalesce(m.reason, m.provider_reason) END"""

COLUMNS = f"""b.campaign_id, b.number, m.position, m.row, m.phone, b.account, m.state::text AS state,
           m.provider_message_id, m.provider_state, m.attempt, m.cost,
           coalesce(m.currency, c.currency) AS currency, m.segment_count, {SHOWN_REASON} AS reason, m.channel,
           m.provider_changed_at, m.updated_at, m.timeline, c.created_at AS submitted_at"""
"""SQL: what `row_of` makes a message of, where `b`, `c` and `m` are its batch, its campaign and itself."""

# Our reference is a key. The provider's id and the number are searched in all messages: people ask seldom,
# and an index on either would slow every message down. Who searches much has numbers indexed (`phone_index`).
_SELECT = f"""
    SELECT {COLUMNS}
    FROM message m JOIN batch b ON b.id = m.batch_id JOIN campaign c ON c.id = b.campaign_id
    WHERE {{condition}} AND ($1::text IS NULL OR b.account = $1)
      AND ($3::text IS NULL OR c.owner = $3) AND ($4::text[] IS NULL OR b.account = ANY($4))
      AND ($5::timestamptz IS NULL OR (m.updated_at, b.campaign_id, b.number, m.position) < ($5, $6, $7, $8))
    ORDER BY m.updated_at DESC, b.campaign_id DESC, b.number DESC, m.position DESC LIMIT $2
"""


def _selected(condition: str) -> str:
    return _SELECT.format(condition=condition)


_BY_PROVIDER_MESSAGE_ID = _selected("m.provider_message_id = $9")
_BY_PHONE = _selected("m.phone = ANY($9)")
_BY_KEY = _selected("b.campaign_id = $9 AND b.number = $10 AND m.position = $11")


Before = tuple[datetime, MessageKey]
"""Where a page ended: when its last message was last changed, and which it was."""


async def by_provider_message_id(
    database: Database,
    provider_message_id: str,
    *,
    account: str | None,
    reach: Reach,
    limit: int,
    before: Before | None = None,
) -> list[MessageRow]:
    """The messages the provider (or one of several) calls so, newest first, from where a page ended."""
    sql = _BY_PROVIDER_MESSAGE_ID
    return await _fetch(database, sql, account, limit, reach, before, provider_message_id)


async def by_phone(
    database: Database,
    phones: Sequence[str],
    *,
    account: str | None,
    reach: Reach,
    limit: int,
    before: Before | None = None,
) -> list[MessageRow]:
    """The messages to a number (E.164, in these forms), newest first, from where a page ended."""
    return await _fetch(database, _BY_PHONE, account, limit, reach, before, phones)


async def by_key(
    database: Database, key: MessageKey, *, account: str | None, reach: Reach
) -> list[MessageRow]:
    """The one message at that position, or none."""
    where = (key.campaign_id, key.number, key.position)
    return await _fetch(database, _BY_KEY, account, 1, reach, None, *where)


async def _fetch(
    database: Database,
    sql: str,
    account: str | None,
    limit: int,
    reach: Reach,
    before: Before | None,
    *wanted: object,
) -> list[MessageRow]:
    # Without a statement timeout: tens of millions of messages are read for a while, and then it is known.
    accounts = None if reach.accounts is None else list(reach.accounts)
    from_there: list[object] = [None] * 4
    if before is not None:
        changed_at, key = before
        from_there = [changed_at, key.campaign_id, key.number, key.position]
    async with database.own_connection() as connection:
        records = await connection.fetch(sql, account, limit, reach.owner, accounts, *from_there, *wanted)
    return [row_of(record) for record in records]


def row_of(record: asyncpg.Record) -> MessageRow:
    """A message out of `COLUMNS`."""
    state = MessageState(record["state"])
    return MessageRow(
        campaign_id=record["campaign_id"],
        row=record["row"],
        phone=record["phone"],
        account=record["account"],
        state=state,
        provider_message_id=record["provider_message_id"],
        provider_state=record["provider_state"],
        attempt=record["attempt"],
        cost=record["cost"],
        currency=record["currency"],
        segment_count=record["segment_count"],
        reason=record["reason"],
        channel=record["channel"],
        provider_changed_at=record["provider_changed_at"],
        updated_at=record["updated_at"],
        reference=message_ref(record["campaign_id"], record["number"], record["position"]),
        steps=steps(
            record["timeline"],
            submitted_at=record["submitted_at"],
            changed_at=record["updated_at"],
            state=state,
            attempt=record["attempt"],
            provider_message_id=record["provider_message_id"],
        ),
    )
