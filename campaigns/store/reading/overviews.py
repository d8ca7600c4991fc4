"""Campaigns: read one or many, change their state, follow their totals, export their messages."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from campaigns.domain.errors import NotAllowed, NotFound
from campaigns.domain.schedule import Schedule, check_schedule
from campaigns.domain.states import CAMPAIGN_MOVES, OPEN, CampaignState, MessageState
from campaigns.domain.values import value
from campaigns.store.conditions import IS_CANCELLED, IS_NOT_DONE, IS_OVER
from campaigns.store.grouping import grouped
from campaigns.store.holding.campaigns import CampaignHold
from campaigns.store.law import TALLY_COLUMNS, quoted, sum_of, tally_column
from campaigns.store.reading.messages import SHOWN_REASON
from campaigns.store.reading.reasons import REASONS, Reason, reasons_of
from campaigns.store.reading.status_lag import LAG, StatusLag, lag_of
from campaigns.store.session import CHANNEL, Database


@dataclass(frozen=True, slots=True)
class Cost:
    """What is known to have been charged in one currency (None: not named), and for how many messages."""

    amount: Decimal
    currency: str | None
    message_count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A campaign and its totals at one moment. `totals` has a key for every message state.

    `costs` holds what is known to have been charged, a currency each, the campaign's own first: none where
    no message has a known cost. `unpriced_count` messages were taken by the provider and have none.
    """

    id: UUID
    name: str
    account: str
    state: CampaignState
    recipient_count: int
    totals: Mapping[MessageState, int]
    segment_count: int
    costs: Sequence[Cost]
    unpriced_count: int
    currency: str | None
    created_at: datetime
    finished_at: datetime | None
    refused: Mapping[str, int]
    noted: Mapping[str, int]  # rows that were taken in and are worth a look
    held: str | None  # why its account is on hold, None when it is not
    trouble: str | None  # what its batches last ran into, None when nothing
    send_at: datetime | None = None  # nothing of it is handed over before
    not_after: datetime | None = None  # nor after
    is_waiting: bool = False  # for `send_at`
    hold: CampaignHold | None = None  # why it is on hold itself
    reasons: Sequence[Reason] = ()  # why messages reached nobody, the commonest first
    status_lag: StatusLag | None = None  # None where statuses come as they should


def _sums(campaign_id: str, batches: str) -> str:
    """The sums over a campaign's batches. Costs in other currencies than its own are looked at where there
    are any: then `batches` of `campaign_id` are read once more.
    """
    others = (
        "CASE WHEN count(other_costs) > 0 THEN (SELECT jsonb_object_agg(o.currency, jsonb_build_object("
        "'amount', o.amount::text, 'count', o.n)) FROM (SELECT e.key AS currency,"
        " sum((e.value->>'amount')::numeric) AS amount, sum((e.value->>'count')::int) AS n"
        f" FROM {batches} x CROSS JOIN LATERAL jsonb_each(x.other_costs) e"
        f" WHERE x.campaign_id = {campaign_id} GROUP BY e.key) o) END AS other_costs"
    )
    return ", ".join(
        (
            *(f"sum({column})::int AS {column}" for column in TALLY_COLUMNS),
            "sum(segment_count)::int AS segment_count",
            "sum(cost)::text AS cost",  # as text: JSON's numbers keep no trailing zero
            "sum(priced_count)::int AS priced_count",
            "sum(unpriced_count)::int AS unpriced_count",
            others,
            "max(trouble) AS trouble",
        )
    )


# The totals are the sum over the batches' tallies: a hundred times fewer rows than messages. Of what is over
# they are kept.
_TOTALS = f"""
    coalesce(c.totals, (SELECT to_jsonb(t) FROM (
        SELECT {_sums("c.id", "batch")} FROM batch b WHERE b.campaign_id = c.id) t))
"""
_OVERVIEW = f"""
    SELECT c.id, c.name, c.account, c.state::text AS state, c.recipient_count, c.currency, c.created_at,
           c.finished_at, c.send_at, c.not_after, c.refused::text AS refused, c.noted::text AS noted,
           c.send_at > now() AND c.finished_at IS NULL AND NOT {IS_CANCELLED} AS is_waiting,
           ({_TOTALS})::text AS totals, h.reason AS held,
           o.held_at, o.about, o.code, o.reason, l.waiting_count, l.open_count, l.oldest_due_at,
           (CASE WHEN c.totals ? 'reasons' THEN c.totals -> 'reasons' ELSE {REASONS} END)::text AS reasons
    FROM (SELECT * FROM campaign WHERE $1::uuid IS NULL OR id = $1
          ORDER BY created_at DESC, id DESC LIMIT $2) c
    LEFT JOIN account_hold h ON h.account = c.account AND c.finished_at IS NULL
    LEFT JOIN campaign_hold o ON o.campaign_id = c.id AND o.lifted_at IS NULL AND c.finished_at IS NULL
    LEFT JOIN LATERAL ({LAG}) l ON c.finished_at IS NULL
    ORDER BY c.created_at DESC, c.id DESC
"""


async def overviews(
    database: Database, *, campaign_id: UUID | None = None, limit: int = 100
) -> list[Overview]:
    """The newest campaigns with their totals, newest first; or the one asked for (or none)."""
    async with database.connection() as connection:
        records = await connection.fetch(_OVERVIEW, campaign_id, limit)
    return [_overview(record, json.loads(record["totals"])) for record in records]


def _overview(record: asyncpg.Record, totals: Mapping[str, Any]) -> Overview:
    return Overview(
        id=record["id"],
        name=record["name"],
        account=record["account"],
        state=CampaignState(record["state"]),
        recipient_count=record["recipient_count"],
        totals=_by_state(totals),
        segment_count=totals.get("segment_count") or 0,
        costs=_costs(totals, record["currency"]),
        unpriced_count=totals.get("unpriced_count") or 0,
        currency=record["currency"],
        created_at=record["created_at"],
        finished_at=record["finished_at"],
        refused=json.loads(record["refused"]),
        noted=json.loads(record["noted"]),
        held=record["held"],
        trouble=totals.get("trouble"),
        send_at=record["send_at"],
        not_after=record["not_after"],
        is_waiting=bool(record["is_waiting"]),
        reasons=reasons_of(record["reasons"]),
        hold=CampaignHold(record["id"], record["held_at"], record["about"], record["code"], record["reason"])
        if record["held_at"]
        else None,
        status_lag=lag_of(record),
    )


def _by_state(totals: Mapping[str, Any]) -> dict[MessageState, int]:
    # Totals kept by an older version do not name a state that came later: it had none of these.
    return {state: totals.get(tally_column(state)) or 0 for state in MessageState}


def _costs(totals: Mapping[str, Any], currency: str | None) -> list[Cost]:
    # Totals kept by an older version hold no counts; they are summed anew with the next tick.
    found: dict[str | None, Cost] = {}
    if count := totals.get("priced_count"):
        found[currency] = Cost(Decimal(totals["cost"]), currency, count)
    for named, said in sorted((totals.get("other_costs") or {}).items()):
        known = found.get(named, Cost(Decimal(0), named, 0))
        amount = known.amount + Decimal(said["amount"])
        found[named] = Cost(amount, named, known.message_count + said["count"])
    return [*found.values()]


async def change_state(
    database: Database, campaign_id: UUID, target: CampaignState
) -> tuple[CampaignState, bool]:
    """Move a campaign, guarded by the laws. Gives (state before, whether it changed): already there is
    no error. Raises NotFound, NotAllowed.
    """
    async with database.transaction() as connection:
        found = await connection.fetchval(
            "SELECT state::text FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id
        )
        if found is None:
            raise NotFound(f"there is no campaign {campaign_id}; see: campaigns list")
        before = CampaignState(found)
        if before is target:
            return before, False
        if target not in CAMPAIGN_MOVES.get(before, frozenset()):
            raise NotAllowed(f"campaign {campaign_id} is {before}; it cannot become {target}")
        await connection.execute("UPDATE campaign SET state = $2 WHERE id = $1", campaign_id, target)
    return before, True


# What is being handed over at this moment, under a lease, is not held back. A batch of which the provider has
# something keeps its deadline where that is later.
_RESCHEDULE = f"""
    UPDATE batch b SET send_at = n.at, give_up_at = CASE
        WHEN {sum_of(OPEN, "b")} = 0
        THEN n.at + make_interval(secs => $3)
        ELSE greatest(b.give_up_at, n.at + make_interval(secs => $3)) END
    FROM (SELECT greatest($2::timestamptz, now()) AS at) n
    WHERE b.id IN (SELECT id FROM batch WHERE campaign_id = $1 AND state = 'ready'
                   ORDER BY id FOR NO KEY UPDATE)
    RETURNING b.queued_count
"""


async def reschedule(
    database: Database, campaign_id: UUID, wanted: Schedule, *, give_up_seconds: float
) -> int:
    """Have what is still queued wait until `send_at`; its deadline is counted from there. A `not_after` of
    None keeps what the campaign has. Gives how many messages wait, in one transaction.

    Raises NotFound, NotAllowed for a campaign that is over, and ScheduleError.
    """
    async with database.transaction() as connection:
        found = await connection.fetchrow(
            "SELECT state::text AS state, not_after, now() AS now FROM campaign WHERE id = $1"
            " FOR NO KEY UPDATE",
            campaign_id,
        )
        if found is None:
            raise NotFound(f"there is no campaign {campaign_id}; see: campaigns list")
        if CampaignState(found["state"]) not in CAMPAIGN_MOVES:
            raise NotAllowed(f"campaign {campaign_id} is {found['state']}; it cannot be rescheduled")
        schedule = Schedule(wanted.send_at, wanted.not_after or found["not_after"])
        check_schedule(schedule, found["now"])
        await connection.execute(
            "UPDATE campaign SET send_at = $2, not_after = $3 WHERE id = $1",
            campaign_id,
            schedule.send_at,
            schedule.not_after,
        )
        records = await connection.fetch(_RESCHEDULE, campaign_id, schedule.send_at, give_up_seconds)
        await connection.execute(f"NOTIFY {CHANNEL}")  # it may be due at once
    return sum(record["queued_count"] for record in records)


# Failed: not one message ever reached the provider (and some were meant to: where all are suppressed
# nothing went wrong). What expired with an attempt was the provider's word. Cancelled stays cancelled, and
# gets its end.
_FINISH = f"""
    UPDATE campaign c SET finished_at = now(), state =
        (CASE WHEN {IS_CANCELLED} THEN {quoted(CampaignState.CANCELLED)}
              WHEN (SELECT sum(failed_count + expired_count) > 0
                           AND bool_and(failed_count + expired_count + suppressed_count = message_count)
                    FROM batch b WHERE b.campaign_id = c.id)
                   AND NOT EXISTS (SELECT 1 FROM batch b JOIN message m ON m.batch_id = b.id
                                   WHERE b.campaign_id = c.id AND b.expired_count > 0
                                     AND m.state = 'expired' AND m.attempt >= 1)
                  THEN {quoted(CampaignState.FAILED)}
              ELSE {quoted(CampaignState.FINISHED)} END)::campaign_state
    WHERE c.finished_at IS NULL AND ($1::text[] IS NULL OR c.id = ANY($1::text[]::uuid[]))
      AND {IS_OVER}
    RETURNING c.id
"""


async def finish_all(database: Database) -> list[UUID]:
    """End the campaigns whose every message is settled. Gives those that ended now."""
    async with database.connection() as connection:
        return [record["id"] for record in await connection.fetch(_FINISH, None)]


@value
class _Over:
    campaign_id: UUID


@grouped(_Over)
async def finish(database: Database, asked: Sequence[_Over]) -> list[bool]:
    """End a campaign if its every message is settled. True where it ended now.

    To be called after the transaction that settled the last message has committed: of two batches that
    end at the same moment, the later commit then sees both.
    """
    async with database.connection() as connection:
        records = await connection.fetch(_FINISH, [str(each) for each in {a.campaign_id for a in asked}])
    ended = {record["id"]: True for record in records}
    # Popped: of several that ask for one campaign, one hears that it ended now.
    return [ended.pop(each.campaign_id, False) for each in asked]


# A batch that is being changed is waited for and summed as it is then; a later change forgets the sums.
_SUM_UP = f"""
    WITH over AS (
        SELECT c.id FROM campaign c WHERE c.finished_at IS NOT NULL AND c.totals IS NULL
          AND {IS_OVER}
        ORDER BY c.id LIMIT $1
    ),
    held AS (
        SELECT b.* FROM batch b WHERE b.campaign_id IN (SELECT id FROM over) ORDER BY b.id FOR SHARE
    ),
    sums AS (
        SELECT b.campaign_id, {_sums("b.campaign_id", "held")}
        FROM held b GROUP BY b.campaign_id HAVING NOT bool_or({IS_NOT_DONE})
    )
    UPDATE campaign c
    SET totals = to_jsonb(sums) - 'campaign_id' || jsonb_build_object('reasons', {REASONS})
    FROM sums WHERE c.id = sums.campaign_id
    RETURNING c.id
"""


async def sum_up(database: Database, *, limit: int) -> int:
    """Keep the totals of campaigns that are over and have none kept. Gives of how many."""
    async with database.connection() as connection:
        return len(await connection.fetch(_SUM_UP, limit))


async def recount(database: Database, campaign_id: UUID) -> Mapping[MessageState, tuple[int, int]]:
    """By state (what the tallies say, what counting the messages gives): the two must agree.

    Both at the same moment: also true of a campaign that is being worked on.
    """
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        said = await connection.fetchval(
            f"SELECT ({_TOTALS})::text FROM campaign c WHERE id = $1", campaign_id
        )
        records = await connection.fetch(
            "SELECT m.state::text AS state, count(*) AS n FROM message m JOIN batch b ON b.id = m.batch_id"
            " WHERE b.campaign_id = $1 GROUP BY m.state",
            campaign_id,
        )
    if said is None:
        raise NotFound(f"there is no campaign {campaign_id}; see: campaigns list")
    counted = {record["state"]: record["n"] for record in records}
    return {state: (count, counted.get(state, 0)) for state, count in _by_state(json.loads(said)).items()}


def _utc(moment: str) -> str:
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


EXPORT_COLUMNS = (
    "row",
    "phone",
    "state",
    "provider_state",
    "provider_message_id",
    "batch",
    "attempt",
    "segments",
    "cost",
    "reason",
    "updated_at",
    "provider_changed_at",
    "currency",
    "channel",
)


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


async def export(database: Database, campaign_id: UUID) -> AsyncGenerator[dict[str, Any], None]:
    """Every message of a campaign in order of row, streamed: memory stays flat over a million.

    Gives `EXPORT_COLUMNS` as plain values (text, numbers), and `fields`: the recipient's own. All as they
    are at one moment. The reader may take its time (a pager, a slow download): no transaction stays open.
    """
    async with database.own_connection() as connection:
        await connection.execute(
            "DECLARE lines NO SCROLL CURSOR WITH HOLD FOR"
            " SELECT m.row, m.phone, m.state::text AS state, m.provider_state, m.provider_message_id,"
            " b.number AS batch, m.attempt, m.segment_count AS segments, m.cost::text AS cost,"
            f" {SHOWN_REASON} AS reason,"
            f" {_utc('m.updated_at')} AS updated_at, {_utc('m.provider_changed_at')} AS provider_changed_at,"
            " CASE WHEN m.cost IS NOT NULL THEN coalesce(m.currency, c.currency) END AS currency, m.channel,"
            " m.fields::text AS fields"
            " FROM batch b JOIN campaign c ON c.id = b.campaign_id JOIN message m ON m.batch_id = b.id"
            f" WHERE b.campaign_id = '{campaign_id}'::uuid ORDER BY m.row"
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
