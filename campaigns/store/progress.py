"""How campaigns went over time: a row of `campaign_progress` whenever totals have changed, thinned so that
each has at most 360 however long it runs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.webhooks import EventType
from campaigns.store.database_functions import TOTALS_BY_STATE
from campaigns.store.law import quoted, tally_column
from campaigns.store.session import Database

MOST_POINTS = 360
"""Of one campaign. When there are so many, every second one is deleted."""

POINT_SECONDS = 10
"""Between two points at first; it doubles as often as a campaign's points were thinned."""

EVENT_SECONDS = 60
"""At least so long between two events `campaign.progress` of one campaign."""

_NOTERS = 7266486  # any number, not that of another lock

# What a point keeps: the states that have any messages.
_COUNTS = "jsonb_strip_nulls(jsonb_build_object({}))".format(
    ", ".join(f"{quoted(state)}, nullif({{0}}{tally_column(state)}{{1}}, 0)" for state in MessageState)
)
_SUMMED = _COUNTS.format("sum(b.", ")")

KEPT_POINT = f"""
    INSERT INTO campaign_progress (campaign_id, at, totals, cost)
    SELECT s.campaign_id, greatest(c.finished_at, (
               SELECT max(p.at) FROM campaign_progress p WHERE p.campaign_id = c.id)),
           {_COUNTS.format("s.", "")}, coalesce(s.cost::numeric, 0)
    FROM sums s JOIN campaign c ON c.id = s.campaign_id
    ON CONFLICT (campaign_id, at) DO UPDATE SET totals = excluded.totals, cost = excluded.cost
"""
"""SQL: the last point of campaigns that are over, from `sums` of their batches. One campaign has one: where a
late receipt changes the totals after all, it is changed.
"""

# Points of one age: after an hour 360 of ten seconds, thinned to 180 of twenty; after two hours again, and so
# on. So the distance is ten seconds, and from an hour on it doubles whenever the time has.
_DISTANCE = f"""make_interval(secs => {POINT_SECONDS} * 2 ^ greatest(0, 1 + floor(
    ln(greatest(1, extract(epoch FROM now() - first.at)) / {MOST_POINTS * POINT_SECONDS}) / ln(2))))"""

# A campaign that has not begun has one point: nothing of it changes. It is locked, so that it does not finish
# meanwhile: no event of its progress comes after that of its end.
_NOTE = f"""
    WITH due AS MATERIALIZED (
        SELECT c.id, last.totals, last.cost, told.totals AS told_totals,
               coalesce(last.at <= now() - {_DISTANCE}, true) AS is_due, hears.is_due AS event_is_due
        FROM campaign c
        LEFT JOIN LATERAL (SELECT p.at FROM campaign_progress p WHERE p.campaign_id = c.id
                           ORDER BY p.at LIMIT 1) first ON true
        LEFT JOIN LATERAL (SELECT p.at, p.totals, p.cost FROM campaign_progress p WHERE p.campaign_id = c.id
                           ORDER BY p.at DESC LIMIT 1) last ON true
        LEFT JOIN LATERAL (SELECT e.at, e.data -> 'totals' AS totals FROM webhook_event e
                           WHERE e.campaign_id = c.id AND e.type = '{EventType.CAMPAIGN_PROGRESS}'
                           ORDER BY e.at DESC LIMIT 1) told ON true
        CROSS JOIN LATERAL (
            SELECT c.state <> {quoted(CampaignState.ACCEPTED)}
                   AND coalesce(told.at <= now() - make_interval(secs => {EVENT_SECONDS}), true)
                   AND EXISTS (SELECT FROM hearing_webhooks(jsonb_build_object(
                       'type', '{EventType.CAMPAIGN_PROGRESS}', 'owner', c.owner))) AS is_due) hears
        WHERE c.finished_at IS NULL AND (last.at IS NULL OR c.state <> {quoted(CampaignState.ACCEPTED)})
          AND (coalesce(last.at <= now() - {_DISTANCE}, true) OR hears.is_due)
        ORDER BY c.id FOR SHARE OF c SKIP LOCKED
    ),
    sums AS (
        SELECT due.*, s.new_totals, s.new_cost, s.all_totals
        FROM due CROSS JOIN LATERAL (
            SELECT {_SUMMED} AS new_totals, coalesce(sum(b.cost), 0) AS new_cost,
                   {TOTALS_BY_STATE} AS all_totals
            FROM batch b WHERE b.campaign_id = due.id) s
    ),
    new AS (
        SELECT * FROM sums
        WHERE is_due AND (new_totals, new_cost) IS DISTINCT FROM (totals, cost)
    ),
    written AS (
        INSERT INTO campaign_progress (campaign_id, at, totals, cost)
        SELECT id, now(), new_totals, new_cost FROM new
        ON CONFLICT DO NOTHING
    ),
    thinned AS (
        DELETE FROM campaign_progress p USING (
            SELECT o.campaign_id, o.at, row_number() OVER (PARTITION BY o.campaign_id ORDER BY o.at) AS n,
                   count(*) OVER (PARTITION BY o.campaign_id) AS point_count
            FROM campaign_progress o WHERE o.campaign_id IN (SELECT id FROM new)
        ) old
        WHERE p.campaign_id = old.campaign_id AND p.at = old.at
          AND old.point_count >= {MOST_POINTS - 1} AND old.n % 2 = 0
    ),
    told AS (
        SELECT write_campaign_event(jsonb_build_object(
            'campaign_id', id, 'type', '{EventType.CAMPAIGN_PROGRESS}'))
        FROM sums WHERE event_is_due AND all_totals IS DISTINCT FROM told_totals
    )
    SELECT (SELECT count(*) FROM new) AS point_count, (SELECT count(*) FROM told) AS event_count
"""


async def note(database: Database) -> int:
    """Give each open campaign whose totals have changed a point, and tell those webhooks of it that hear of
    progress, each not before its time. Gives how many points. Any number may call it at once; the others do
    nothing.
    """
    async with database.transaction() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _NOTERS):
            return 0
        record = await connection.fetchrow(_NOTE)
    assert record is not None  # noqa: S101  a SELECT without FROM gives its row
    count: int = record["point_count"]
    return count


@dataclass(frozen=True, slots=True)
class Point:
    """A campaign's totals at a moment. `totals` has a key for every message state; `cost` is what was charged
    in the campaign's own currency.
    """

    at: datetime
    totals: dict[MessageState, int]
    cost: Decimal


async def points(database: Database, campaign_id: UUID) -> list[Point]:
    """How a campaign went, the oldest first: at most `MOST_POINTS`."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT at, totals::text AS totals, cost FROM campaign_progress WHERE campaign_id = $1"
            " ORDER BY at",
            campaign_id,
        )
    return [_point(record["at"], json.loads(record["totals"]), record["cost"]) for record in records]


def _point(at: datetime, totals: Mapping[str, int], cost: Decimal) -> Point:
    return Point(at, {state: totals.get(state.value, 0) for state in MessageState}, cost)


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing of a campaign was handed over meanwhile: a person had paused it, or its sender or text was
    refused, or its account was on hold. `ends_at` is None where it is so now, or was until its end.
    """

    kind: Literal["paused", "held"]
    begins_at: datetime
    ends_at: datetime | None


_MOST_ACCOUNT_STOPS = 100  # of one campaign, the newest

# A pause ends when the campaign goes on or is cancelled. The audit has an attempt at one that was refused
# too; what was paused already is not paused anew.
_STOPS = f"""
    WITH acts AS (
        SELECT id, at, action = 'campaign.pause' AS is_pause,
               lag(action) OVER (ORDER BY id) IS NOT DISTINCT FROM 'campaign.pause' AS is_after_pause
        FROM audit WHERE subject = 'campaign/' || $1::uuid::text
          AND action IN ('campaign.pause', 'campaign.resume', 'campaign.cancel')
    )
    SELECT 'paused' AS kind, a.at AS begins_at,
           (SELECT min(e.at) FROM acts e WHERE e.id > a.id AND NOT e.is_pause) AS ends_at
    FROM acts a WHERE a.is_pause AND NOT a.is_after_pause
    UNION ALL
    SELECT 'held', held_at, lifted_at FROM campaign_hold WHERE campaign_id = $1
    UNION ALL
    SELECT 'held', greatest(s.held_at, c.created_at), s.lifted_at FROM campaign c CROSS JOIN LATERAL (
        SELECT held_at, lifted_at FROM account_stop
        WHERE account = c.account AND lifted_at > c.created_at AND held_at < coalesce(c.finished_at, now())
        UNION ALL
        SELECT since, NULL FROM account_hold WHERE account = c.account AND c.finished_at IS NULL
        ORDER BY held_at DESC LIMIT {_MOST_ACCOUNT_STOPS}
    ) s WHERE c.id = $1
    ORDER BY begins_at
"""


async def stops(database: Database, campaign_id: UUID) -> list[Stop]:
    """When a campaign was paused or on hold, itself or its account, the oldest first."""
    async with database.connection() as connection:
        records = await connection.fetch(_STOPS, campaign_id)
    return [Stop(**record) for record in records]
