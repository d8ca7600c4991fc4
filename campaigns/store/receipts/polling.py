"""Batches taken up for polling: which of their messages to ask about, and what was learned."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from campaigns.domain.policy import MOST_ATTEMPTS
from campaigns.domain.said import NO_DETAILS, Details
from campaigns.domain.states import POLLABLE, BatchState, MessageState
from campaigns.domain.values import value
from campaigns.domain.witness import LEFT_BEFORE
from campaigns.store.conditions import IS_IN_DOUBT
from campaigns.store.database_functions import as_group
from campaigns.store.grouping import grouped
from campaigns.store.halving import store_each, why
from campaigns.store.law import in_list
from campaigns.store.leases import Holder, TakeUp, held_group, hold, states_of, take_up, taking_up
from campaigns.store.session import Connection, Database
from campaigns.store.tally import Release, release_fields


@value
class InDoubtMessage:
    """A message whose answer was not seen."""

    position: int
    phone: str = field(repr=False)
    since: datetime  # when its intent was written, or when the answer was given up
    left_after: datetime | None = None  # where it may have left long before that


@dataclass(frozen=True, slots=True)
class PollingWork:
    """A batch taken up for asking; `ids` are the provider's, unsettled messages only."""

    batch_id: int
    lease: int
    campaign_id: UUID
    number: int  # of the batch in its campaign
    account: str
    poll_count: int
    now: datetime  # by the database's clock
    ids: dict[str, int]  # provider_message_id -> position
    in_doubt: Sequence[InDoubtMessage]
    due_at: datetime | None = None  # since when it wants to be polled
    asked: frozenset[int] = frozenset()  # positions that were asked in this cycle
    shared_id_count: int = 0  # messages whose id another one bears too: nobody can say whose its status is
    trace_parent: str | None = None  # of its campaign


@value
class Evidence:
    """What a provider says of one message of a batch. Its id: only where it was in doubt."""

    position: int
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None = None
    details: Details = NO_DETAILS


_TAKE_UP = taking_up(
    "polling",
    "SELECT array_agg(q.position::text) FILTER (WHERE NOT q.is_in_doubt) AS positions,"
    " array_agg(q.provider_message_id) FILTER (WHERE NOT q.is_in_doubt) AS ids,"
    " (json_agg(json_build_array(q.position, q.phone, q.updated_at, q.left_after))"
    " FILTER (WHERE q.is_in_doubt))::text AS in_doubt"
    f" FROM (SELECT m.position, m.phone, m.provider_message_id, m.updated_at, {IS_IN_DOUBT} AS is_in_doubt,"
    f" CASE WHEN m.reason LIKE '{LEFT_BEFORE}'"
    " THEN (SELECT created_at FROM campaign WHERE id = t.campaign_id) END AS left_after"
    f" FROM message m WHERE m.batch_id = t.id AND ({IS_IN_DOUBT}"
    f" OR (m.provider_message_id IS NOT NULL AND m.state IN {in_list(POLLABLE)}))"
    " ORDER BY m.position) q",
)


@grouped(TakeUp)
async def take_up_polling(database: Database, asked: Sequence[TakeUp]) -> list[PollingWork | None]:
    """Like `take_up_sending`, with what is to be asked instead."""
    records = await take_up(database, asked, _TAKE_UP)
    return [None if record is None else _polling_work(record) for record in records]


def _polling_work(record: asyncpg.Record) -> PollingWork:
    times = Counter(record["ids"] or ())
    named = zip(record["ids"] or (), map(int, record["positions"] or ()), strict=True)
    return PollingWork(
        record["id"],
        record["lease"],
        record["campaign_id"],
        record["number"],
        record["account"],
        record["poll_count"],
        record["now"],
        {provider_id: position for provider_id, position in named if times[provider_id] == 1},
        [
            InDoubtMessage(
                position,
                phone,
                datetime.fromisoformat(since),
                datetime.fromisoformat(left_after) if left_after else None,
            )
            for position, phone, since, left_after in json.loads(record["in_doubt"] or "[]")
        ],
        record["poll_at"],
        frozenset(map(int, record["asked"].strip("{}").split(","))) if record["asked"] else frozenset(),
        sum(count for count in times.values() if count > 1),
        record["trace_parent"],
    )


@value
class _Learned:
    """What one poll brought."""

    work: PollingWork
    evidence: Sequence[Evidence]
    how: Release
    _: KW_ONLY
    worker: str
    absent: Sequence[int] = ()
    by_id: bool = False
    asked: Sequence[int] = ()

    @property
    def holder(self) -> Holder:
        return Holder(self.work.batch_id, self.work.lease, self.worker)

    @property
    def has_asked(self) -> bool:
        """Whether other positions were asked in this cycle than the batch says."""
        return frozenset(self.asked) != self.work.asked


async def _merge_apart(database: Database, learned: _Learned) -> BatchState | None:
    """Merge each answer of one poll by itself: PostgreSQL refused one of them."""
    async with database.transaction() as connection:

        async def merge(evidence: Sequence[Evidence]) -> None:
            said = _evidence_fields(evidence, by_id=learned.by_id)
            group = as_group([{"id": learned.work.batch_id, "lease": learned.work.lease, "evidence": said}])
            await connection.execute("SELECT merge_evidence($1)", group)

        if not await hold(connection, learned.holder):
            return None
        refused = await store_each(connection, learned.evidence, merge)
        plain = [replace(each, details=NO_DETAILS) for each, _ in refused]
        refused = await store_each(connection, plain, merge)
        how = learned.how
        if refused:
            _, error = refused[0]
            how = replace(how, trouble=f"{len(refused)} answer(s) cannot be stored: {why(error)}")
        (state,) = await _merge_on(connection, [replace(learned, evidence=(), how=how)])
    return state


@grouped(_Learned, alone=_merge_apart)
async def merge_polled(database: Database, asked: Sequence[_Learned]) -> list[BatchState | None]:
    """Merge what a poll brought by rank and give the lease back. Only rows that change are written.

    The status word that is kept belongs to the state: one of a lower state came late and is dropped, one
    that we do not know is kept. `absent` are positions in doubt that the provider certainly does not have:
    they are queued again. `by_id`: callbacks name messages by the provider's ids alone, also those that were
    found just now. `asked` are positions that are not to be asked again in this cycle; none: it is over.
    None: the lease is not ours any more, and nothing was written. One answer that PostgreSQL
    refuses stops no other: it is stored without its other fields, or left to the next poll, and the batch's
    trouble says so.
    """
    async with database.connection() as connection:
        return await _merge_on(connection, asked)


_Said: TypeAlias = tuple[MessageState | None, str, str | None, Details]


def _evidence_fields(evidence: Sequence[Evidence], *, by_id: bool) -> list[dict[str, object]]:
    """What was said of a batch's messages, as `merge_evidence` takes it."""
    # What is told alike goes together: of a hundred messages a poll mostly says one and the same.
    alike: dict[_Said, list[int]] = {}
    last: _Said | None = None
    positions: list[int] = []
    for e in evidence:
        said = (e.state, e.provider_state, e.provider_message_id, e.details)
        if said != last:  # compared by identity first, where a hash looks at all fields
            last, positions = said, alike.setdefault(said, [])
        positions.append(e.position)
    return [
        {
            "positions": positions,
            "state": state,
            "provider_state": provider_state,
            "provider_message_id": provider_message_id,
            "by_id": by_id,
            "reason": details.reason,
            "changed_at": details.changed_at,
            "cost": details.cost,
            "currency": details.currency,
            "segment_count": details.segment_count,
            "channel": details.channel,
        }
        for (state, provider_state, provider_message_id, details), positions in alike.items()
    ]


async def _merge_on(connection: Connection, asked: Sequence[_Learned]) -> list[BatchState | None]:
    holders = [learned.holder for learned in asked]
    group = held_group(
        holders,
        [
            {
                "evidence": _evidence_fields(learned.evidence, by_id=learned.by_id),
                "absent": learned.absent,
                "most_attempts": MOST_ATTEMPTS,
                "asked_positions": sorted(learned.asked) if learned.has_asked else None,
                **release_fields(replace(learned.how, crash_count=0)),
            }
            for learned in asked
        ],
    )
    records = await connection.fetch("SELECT * FROM merge_polled($1)", group)
    return states_of(holders, records)
