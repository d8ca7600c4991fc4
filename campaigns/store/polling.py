"""Batches taken up for asking: which of their messages, and what was learned of them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from campaigns.domain.policy import MOST_ATTEMPTS
from campaigns.domain.said import NOTHING_TOLD, Told
from campaigns.domain.states import BatchState, MessageState
from campaigns.domain.values import value
from campaigns.store.batch import (
    HOLDER_TYPES,
    Dealt,
    Holder,
    hold,
    holder_values,
    states_of,
    take_up,
    taking_up,
)
from campaigns.store.evidence import EVIDENCE_TYPES, MERGE_EVIDENCE, Saying, evidence_values
from campaigns.store.halving import store_each, why
from campaigns.store.session import UNSTORABLE, Connection, Database, Round, arrays, numbers
from campaigns.store.tally import HOW_TYPES, Release, how_values


@value
class InDoubtMessage:
    """A message whose answer was not seen."""

    position: int
    phone: str = field(repr=False)
    since: datetime  # when its intent was written, or when the answer was given up


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


@value
class Evidence:
    """A provider's word on one message of a batch. Its id: only where it was in doubt."""

    position: int
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None = None
    told: Told = NOTHING_TOLD


_TAKE_UP = taking_up(
    "polling",
    "SELECT array_agg(q.position::text) FILTER (WHERE NOT q.is_in_doubt) AS positions,"
    " array_agg(q.provider_message_id) FILTER (WHERE NOT q.is_in_doubt) AS ids,"
    " (json_agg(json_build_array(q.position, q.phone, q.updated_at)) FILTER (WHERE q.is_in_doubt))::text"
    " AS in_doubt"
    " FROM (SELECT position, phone, provider_message_id, updated_at, state = 'in_doubt' AS is_in_doubt"
    " FROM message WHERE batch_id = t.id AND (state = 'in_doubt'"
    " OR (provider_message_id IS NOT NULL AND state IN ('accepted', 'sent', 'buffered')))"
    " ORDER BY position) q",
)


async def take_up_polling(
    database: Database, dealt: Dealt, *, worker: str, lease_seconds: float
) -> PollingWork | None:
    """Like `take_up_sending`, with what is to be asked instead."""
    holder = Holder(dealt.batch_id, dealt.lease, worker)
    return await database.together(_take_up_polling, (holder, lease_seconds))


async def _take_up_polling(
    database: Database, asked: Sequence[tuple[Holder, float]]
) -> list[PollingWork | None]:
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
            InDoubtMessage(position, phone, datetime.fromisoformat(since))
            for position, phone, since in json.loads(record["in_doubt"] or "[]")
        ],
        record["poll_at"],
        frozenset(map(int, record["asked"].strip("{}").split(","))) if record["asked"] else frozenset(),
        sum(count for count in times.values() if count > 1),
    )


_ABSENT_TYPES = ("bigint", "smallint")
_BEFORE = (*HOLDER_TYPES, *EVIDENCE_TYPES, *_ABSENT_TYPES)
_MERGE = (
    f"SELECT * FROM merge_polled_v2({arrays(_BEFORE)}, {MOST_ATTEMPTS},"
    f" {arrays(HOW_TYPES, first=len(_BEFORE) + 1)})"
)


# `hold_leases` locks in order of id, like everywhere.
_NOTE_ASKED = f"""
    UPDATE batch b SET asked_positions = n.positions::smallint[]
    FROM unnest(hold_leases({arrays(HOLDER_TYPES)})) AS h(id)
    JOIN unnest($1::text::bigint[], $4::text[]) AS n(id, positions) ON n.id = h.id
    WHERE b.id = h.id
"""


@dataclass(frozen=True, slots=True)
class _Learned:
    """What one poll brought."""

    evidence: Sequence[Evidence]
    absent: Sequence[int]
    how: Release
    by_id: bool
    asked: Sequence[int] | None  # None: as it was


async def merge_polled(  # noqa: PLR0913  what was learned, all by name
    database: Database,
    work: PollingWork,
    evidence: Sequence[Evidence],
    how: Release,
    *,
    worker: str,
    absent: Sequence[int] = (),
    by_id: bool = False,
    asked: Sequence[int] = (),
) -> BatchState | None:
    """Merge what a poll brought by rank and give the lease back. Only rows that change are written.

    The provider's word beside a state is the word for it: a lower one comes late and is not kept, one
    that says nothing to us is. `absent` are positions in doubt that the provider certainly does not have:
    they are queued again. `by_id`: callbacks name messages by the provider's ids alone, also those that were
    found just now. `asked` are positions that are not to be asked again in this cycle; none: it is over.
    None: the lease is not ours any more, and nothing was written. What PostgreSQL refuses of one message
    stops none beside it: its word is kept without what came beside it, or left to the next poll, and the
    batch's trouble says so.
    """
    holder = Holder(work.batch_id, work.lease, worker)
    noted = None if frozenset(asked) == work.asked else sorted(asked)
    learned = _Learned(evidence, absent, replace(how, crash_count=0), by_id, noted)
    try:
        return await database.together(_merge_polled, (holder, learned))
    except UNSTORABLE:
        return await _merge_apart(database, holder, learned)


async def _merge_apart(database: Database, holder: Holder, learned: _Learned) -> BatchState | None:
    """One poll's words, each by itself where PostgreSQL refuses them together."""
    held = numbers([holder.batch_id])
    async with database.transaction() as connection:

        async def merge(evidence: Sequence[Evidence]) -> None:
            said = _sayings(holder.batch_id, evidence, by_id=learned.by_id)
            await connection.execute(MERGE_EVIDENCE, held, *evidence_values(said))

        if not await hold(connection, holder):
            return None
        refused = await store_each(connection, learned.evidence, merge)
        plain = [replace(each, told=NOTHING_TOLD) for each, _ in refused]
        refused = await store_each(connection, plain, merge)
        how = learned.how
        if refused:
            _, error = refused[0]
            how = replace(how, trouble=f"{len(refused)} answer(s) cannot be stored: {why(error)}")
        (state,) = await _merge_on(connection, [(holder, replace(learned, evidence=(), how=how))])
    return state


def _sayings(batch_id: int, evidence: Sequence[Evidence], *, by_id: bool) -> list[Saying]:
    # What is told alike goes together: of a hundred messages a poll mostly says one and the same.
    alike: dict[tuple[MessageState | None, str, str | None, Told], list[int]] = {}
    for e in evidence:
        word = (e.state, e.provider_state, e.provider_message_id, e.told)
        alike.setdefault(word, []).append(e.position)
    return [
        Saying(batch_id, positions, state, provider_state, provider_message_id, by_id, told)
        for (state, provider_state, provider_message_id, told), positions in alike.items()
    ]


async def _merge_polled(
    database: Database, asked: Sequence[tuple[Holder, _Learned]]
) -> list[BatchState | None]:
    notes = any(learned.asked is not None for _, learned in asked)
    # One statement needs no transaction of ours. A batch that one question tells all of has nothing to note.
    async with database.transaction() if notes else database.connection() as connection:
        return await _merge_on(connection, asked)


async def _merge_on(
    connection: Connection, asked: Sequence[tuple[Holder, _Learned]]
) -> list[BatchState | None]:
    noted = [(who, learned.asked) for who, learned in asked if learned.asked is not None]
    if noted:
        await connection.execute(
            _NOTE_ASKED,
            *holder_values([who for who, _ in noted]),
            [numbers(positions) if positions else None for _, positions in noted],
        )
    said = [
        each
        for who, learned in asked
        for each in _sayings(who.batch_id, learned.evidence, by_id=learned.by_id)
    ]
    absent = [(who.batch_id, position) for who, learned in asked for position in learned.absent]
    records = await connection.fetch(
        _MERGE,
        *holder_values([who for who, _ in asked]),
        *evidence_values(said),
        numbers(batch_id for batch_id, _ in absent),
        numbers(position for _, position in absent),
        *how_values({who.batch_id: learned.how for who, learned in asked}),
    )
    return states_of([who for who, _ in asked], records)


ROUNDS: tuple[Round, ...] = (_take_up_polling, _merge_polled)
"""What is asked of the database together with others here."""
