"""What is so at this moment, in a few statements over what is not over: for machines that ask every few
seconds, also beside millions of messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from campaigns.domain.states import MessageState
from campaigns.store.conditions import IS_LEASED, IS_READY, may_be_sent
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Connection, Database
from campaigns.store.totals import by_state

BALANCE_FRESH_MINUTES = 30
"""For so long a balance is told: three times the pause between two questions."""

# A balance whose currency is not named pays for all: an account is charged in one.
_IS_CHARGED = "(k.currency IS NULL OR c.currency = k.currency)"

# Whether a campaign may be handed over is asked once for it and its account, and not for each batch.
_ACCOUNTS = f"""
    WITH sums AS MATERIALIZED (
        SELECT b.campaign_id, b.account, {", ".join(f"sum({each}) AS {each}" for each in TALLY_COLUMNS)},
               coalesce(sum(b.queued_count) FILTER (WHERE {IS_READY} AND b.send_at <= now()), 0) AS due_count,
           sum(b.cost) AS cost, sum(b.priced_count) AS priced_count
        FROM campaign c JOIN batch b ON b.campaign_id = c.id
        WHERE c.finished_at IS NULL GROUP BY b.campaign_id, b.account
    )
    SELECT s.account, {", ".join(f"sum(s.{each})::bigint AS {each}" for each in TALLY_COLUMNS)},
           coalesce(sum(s.due_count) FILTER (WHERE {may_be_sent("s.account")}), 0)::bigint AS due_count,
           coalesce(sum(s.queued_count) FILTER (WHERE {_IS_CHARGED}), 0)::bigint AS charged_queued_count,
           coalesce(sum(s.cost) FILTER (WHERE {_IS_CHARGED}), 0) AS cost,
           coalesce(sum(s.priced_count) FILTER (WHERE {_IS_CHARGED}), 0)::bigint AS priced_count
    FROM sums s JOIN campaign c ON c.id = s.campaign_id LEFT JOIN account_currency k ON k.account = s.account
    GROUP BY s.account
"""

# A balance that is older is not told: it would look like one of now.
_BALANCES = f"""
    SELECT k.account, coalesce(k.currency, '') AS currency, k.balance,
           coalesce(d.cost, 0) AS cost, coalesce(d.priced_count, 0)::bigint AS priced_count
    FROM account_currency k CROSS JOIN LATERAL (
        SELECT sum(c.cost) AS cost, sum(c.taken_count - c.unpriced_count) AS priced_count
        FROM account_day c
        WHERE c.account = k.account AND {_IS_CHARGED} AND c.day >= (now() AT TIME ZONE 'UTC')::date - 7
    ) d
    WHERE k.balance_at > now() - interval '{BALANCE_FRESH_MINUTES} min'
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
    """Messages of an account in campaigns that are not over, by state, and how many of them are due. In the
    account's currency: how many are queued, what was charged, for how many messages.
    """

    account: str
    totals: Mapping[MessageState, int]
    due_count: int
    charged_queued_count: int
    cost: Decimal
    priced_count: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left on an account, in a currency ("": not named), and what was charged for how many messages
    in a week, of campaigns that are over.
    """

    account: str
    currency: str
    balance: Decimal
    cost: Decimal
    priced_count: int


@dataclass(frozen=True, slots=True)
class Now:
    """What is so at a moment. `delivery_seconds`: how long the oldest delivery to a webhook waits."""

    accounts: Sequence[AccountNow]
    balances: Sequence[Balance]
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
            AccountNow(
                record["account"],
                by_state(dict(record)),
                record["due_count"],
                record["charged_queued_count"],
                record["cost"],
                record["priced_count"],
            )
            for record in await connection.fetch(_ACCOUNTS)
        ]
        balances = [Balance(**dict(record)) for record in await connection.fetch(_BALANCES)]
        campaigns = await _counts(connection, _CAMPAIGNS)
        recipients = await _counts(connection, _RECIPIENTS)
        rest = await connection.fetchrow(_REST, f"{by_a_person}%")
    assert rest is not None  # noqa: S101  a SELECT without FROM gives its row
    return Now(
        accounts=accounts,
        balances=balances,
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
