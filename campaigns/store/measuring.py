"""What is so at this moment, in a few statements over what is not over: for machines that ask every few
seconds, also beside millions of messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns.domain.states import MessageState
from campaigns.store.conditions import IS_LEASED, IS_READY, may_be_sent
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Connection, Database
from campaigns.store.totals import by_state

# Whether a campaign may be handed over is asked once for it and its account, and not for each batch.
_ACCOUNTS = f"""
    WITH sums AS MATERIALIZED (
        SELECT b.campaign_id, b.account, {", ".join(f"sum({each}) AS {each}" for each in TALLY_COLUMNS)},
               coalesce(sum(b.queued_count) FILTER (WHERE {IS_READY} AND b.send_at <= now()), 0) AS due_count
        FROM campaign c JOIN batch b ON b.campaign_id = c.id
        WHERE c.finished_at IS NULL GROUP BY b.campaign_id, b.account
    )
    SELECT s.account, {", ".join(f"sum(s.{each})::bigint AS {each}" for each in TALLY_COLUMNS)},
           coalesce(sum(s.due_count) FILTER (WHERE {may_be_sent("s.account")}), 0)::bigint AS due_count
    FROM sums s JOIN campaign c ON c.id = s.campaign_id GROUP BY s.account
"""

_CAMPAIGNS = """
    SELECT state::text AS name, count(*)::int AS count FROM campaign WHERE finished_at IS NULL GROUP BY state
"""

_RECIPIENTS = """
    SELECT account AS name, sum(recipient_count)::bigint AS count FROM campaign
    WHERE created_at > now() - interval '1 hour' GROUP BY account
"""

_REST = f"""
    SELECT (SELECT array_agg(account) FROM account_hold) AS held,
           (SELECT count(DISTINCT campaign_id) FROM campaign_hold WHERE lifted_at IS NULL) AS campaign_count,
           (SELECT count(*) FROM batch b WHERE {IS_LEASED}) AS lease_count,
           (SELECT count(*) FROM waiting_receipt
            WHERE set_aside_at IS NULL AND look_at <= now()) AS receipt_count,
           (SELECT count(*) FROM waiting_receipt WHERE set_aside_at IS NOT NULL) AS aside_count,
           (SELECT count(*) FROM webhook WHERE disabled_at IS NOT NULL
            AND disabled_reason NOT LIKE $1) AS disabled_count,
           (SELECT max(extract(epoch FROM now() - d.created_at))::float8 FROM webhook w
            CROSS JOIN LATERAL (SELECT created_at FROM webhook_delivery
                                WHERE webhook_id = w.id AND state = 'waiting'
                                ORDER BY event_id LIMIT 1) d
            WHERE w.disabled_at IS NULL) AS delivery_seconds
"""


@dataclass(frozen=True, slots=True)
class AccountNow:
    """Messages of an account in campaigns that are not over, by state, and how many of them are due."""

    account: str
    totals: Mapping[MessageState, int]
    due_count: int


@dataclass(frozen=True, slots=True)
class Now:
    """What is so at a moment. `delivery_seconds`: how long the oldest delivery to a webhook waits."""

    accounts: Sequence[AccountNow]
    campaigns: Mapping[str, int]
    recipients: Mapping[str, int]
    held: frozenset[str]
    held_campaign_count: int
    lease_count: int
    receipt_count: int
    aside_count: int
    disabled_webhook_count: int
    delivery_seconds: float


async def now(database: Database, *, by_a_person: str) -> Now:
    """What is so now. Webhooks that people disabled, whose reason begins with `by_a_person`, do not count.

    Raises DatabaseUnavailable.
    """
    async with database.connection() as connection:
        accounts = [
            AccountNow(record["account"], by_state(dict(record)), record["due_count"])
            for record in await connection.fetch(_ACCOUNTS)
        ]
        campaigns = await _counts(connection, _CAMPAIGNS)
        recipients = await _counts(connection, _RECIPIENTS)
        rest = await connection.fetchrow(_REST, f"{by_a_person}%")
    assert rest is not None  # noqa: S101  a SELECT without FROM gives its row
    return Now(
        accounts=accounts,
        campaigns=campaigns,
        recipients=recipients,
        held=frozenset(rest["held"] or ()),
        held_campaign_count=rest["campaign_count"],
        lease_count=rest["lease_count"],
        receipt_count=rest["receipt_count"],
        aside_count=rest["aside_count"],
        disabled_webhook_count=rest["disabled_count"],
        delivery_seconds=rest["delivery_seconds"] or 0.0,
    )


async def _counts(connection: Connection, query: str) -> dict[str, int]:
    return {record["name"]: record["count"] for record in await connection.fetch(query)}
