"""Campaigns with their totals, one or the newest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from campaigns.domain.access import EVERYTHING, Reach
from campaigns.domain.holds import CampaignHold
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.conditions import IS_CANCELLED
from campaigns.store.reading.status_lag import LAG, StatusLag, lag_of
from campaigns.store.reasons import REASONS, Reason, reasons_of
from campaigns.store.session import Database
from campaigns.store.totals import by_state, sums
from campaigns.store.where import Where


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
    owner: str = ""  # '': the operators' and the tasks'
    follow_up_of: UUID | None = None  # the campaign to whose recipients it sends again
    needs_approval: bool = False  # before anything of it is handed over


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a campaign without its batches."""

    state: CampaignState
    account: str
    currency: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which campaigns are asked for; None: whichever. `name` is a part of it, in any case. `after` is where
    the page before ended: the moment a campaign was made and its id.
    """

    campaign_id: UUID | None = None
    state: CampaignState | None = None
    account: str | None = None
    owner: str | None = None
    name: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    after: tuple[datetime, UUID] | None = None
    is_open: bool | None = None  # whether something may still happen in it


ANY = Wanted()

_OVERVIEW = f"""
    SELECT c.id, c.name, c.account, c.state::text AS state, c.recipient_count, c.currency, c.created_at,
           c.owner, c.follow_up_of, c.needs_approval, c.finished_at, c.send_at, c.not_after,
           c.refused::text AS refused, c.noted::text AS noted,
           c.send_at > now() AND c.finished_at IS NULL AND NOT {IS_CANCELLED} AS is_waiting,
           coalesce(c.totals, to_jsonb(t))::text AS totals, h.reason AS held,
           o.held_at, o.about, o.code, o.reason, t.waiting_count, t.open_count, t.oldest_due_at,
           (CASE WHEN c.totals ? 'reasons' THEN c.totals -> 'reasons' ELSE {REASONS} END)::text AS reasons
    FROM (SELECT * FROM campaign WHERE {{where}} ORDER BY created_at DESC, id DESC LIMIT {{limit}}) c
    LEFT JOIN account_hold h ON h.account = c.account AND c.finished_at IS NULL
    LEFT JOIN campaign_hold o ON o.campaign_id = c.id AND o.lifted_at IS NULL AND c.finished_at IS NULL
    CROSS JOIN LATERAL (SELECT {sums("c.id", "batch")}, {LAG}
                        FROM batch b WHERE b.campaign_id = c.id AND c.totals IS NULL) t
    ORDER BY c.created_at DESC, c.id DESC
"""


async def overviews(
    database: Database, wanted: Wanted = ANY, *, reach: Reach = EVERYTHING, limit: int = 100
) -> list[Overview]:
    """The newest campaigns within reach that are wanted, with their totals, newest first."""
    where = _where(wanted, reach)
    sql = _OVERVIEW.format(where=where, limit=where.put(limit))
    async with database.connection() as connection:
        records = await connection.fetch(sql, *where.values)
    return [_overview(record, json.loads(record["totals"])) for record in records]


async def header(database: Database, campaign_id: UUID, reach: Reach) -> Header | None:
    """What a campaign is, for those who see no further than `reach`; None: there is none. Its batches are not
    read.
    """
    where = _where(Wanted(campaign_id), reach)
    sql = f"SELECT state::text AS state, account, currency FROM campaign WHERE {where}"
    async with database.connection() as connection:
        record = await connection.fetchrow(sql, *where.values)
    if record is None:
        return None
    return Header(CampaignState(record["state"]), record["account"], record["currency"])


def _where(wanted: Wanted, reach: Reach) -> Where:
    where = Where()
    where.add("id = {}", wanted.campaign_id)
    where.add("owner = {}", reach.owner)
    where.add("account = ANY ({}::text[])", None if reach.accounts is None else list(reach.accounts))
    where.add("state::text = {}", wanted.state)
    where.add("account = {}", wanted.account)
    where.add("owner = {}", wanted.owner)
    where.add("position(lower({}) IN lower(name)) > 0", wanted.name)
    where.add("created_at >= {}", wanted.created_after)
    where.add("created_at < {}", wanted.created_before)
    if wanted.after is not None:
        where.add("(created_at, id) < ({}, {})", *wanted.after)
    if wanted.is_open is not None:
        where.add(f"finished_at IS {'' if wanted.is_open else 'NOT '}NULL")
    return where


def _overview(record: asyncpg.Record, totals: Mapping[str, Any]) -> Overview:
    return Overview(
        id=record["id"],
        name=record["name"],
        account=record["account"],
        state=CampaignState(record["state"]),
        recipient_count=record["recipient_count"],
        totals=by_state(totals),
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
        owner=record["owner"],
        follow_up_of=record["follow_up_of"],
        needs_approval=record["needs_approval"] and record["state"] == CampaignState.PAUSED,
    )


def _costs(totals: Mapping[str, Any], currency: str | None) -> list[Cost]:
    # Totals kept by an older version hold no counts; the next tick sums them again.
    found: dict[str | None, Cost] = {}
    if count := totals.get("priced_count"):
        found[currency] = Cost(Decimal(totals["cost"]), currency, count)
    for named, said in sorted((totals.get("other_costs") or {}).items()):
        known = found.get(named, Cost(Decimal(0), named, 0))
        amount = known.amount + Decimal(said["amount"])
        found[named] = Cost(amount, named, known.message_count + said["count"])
    return [*found.values()]
