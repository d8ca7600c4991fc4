"""Batches taken up for asking: which of their messages, and what was learned of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from campaigns.domain.policy import MOST_ATTEMPTS
from campaigns.domain.states import BatchState, MessageState
from campaigns.domain.values import value
from campaigns.store.batch import HOLDER_TYPES, Dealt, Holder, holder_values, states_of, take_up, taking_up
from campaigns.store.session import Database, Round, arrays, numbers
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


@value
class Evidence:
    """A provider's word on one message of a batch. The fields after it: only where it was in doubt."""

    position: int
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None = None
    segment_count: int | None = None
    cost: Decimal | None = None


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
    return PollingWork(
        record["id"],
        record["lease"],
        record["campaign_id"],
        record["number"],
        record["account"],
        record["poll_count"],
        record["now"],
        dict(zip(record["ids"] or (), map(int, record["positions"] or ()), strict=True)),
        [
            InDoubtMessage(position, phone, datetime.fromisoformat(since))
            for position, phone, since in json.loads(record["in_doubt"] or "[]")
        ],
        record["poll_at"],
        frozenset(map(int, record["asked"].strip("{}").split(","))) if record["asked"] else frozenset(),
    )


_Word = tuple[MessageState | None, str, str | None, int | None, Decimal | None]
_EVIDENCE_TYPES = ("bigint", "text", "text", "text", "text", "smallint", "numeric", "bool")
_ABSENT_TYPES = ("bigint", "smallint")
_BEFORE = (*HOLDER_TYPES, *_EVIDENCE_TYPES, *_ABSENT_TYPES)
_MERGE = (
    f"SELECT * FROM merge_polled({arrays(_BEFORE)}, {MOST_ATTEMPTS},"
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
    None: the lease is not ours any more, and nothing was written.
    """
    holder = Holder(work.batch_id, work.lease, worker)
    noted = None if frozenset(asked) == work.asked else sorted(asked)
    learned = _Learned(evidence, absent, replace(how, crash_count=0), by_id, noted)
    return await database.together(_merge_polled, (holder, learned))


async def _merge_polled(
    database: Database, asked: Sequence[tuple[Holder, _Learned]]
) -> list[BatchState | None]:
    # What is told alike goes together: of a hundred messages a poll mostly says one and the same.
    alike: dict[tuple[int, _Word], list[int]] = {}
    for who, learned in asked:
        for e in learned.evidence:
            word = (e.state, e.provider_state, e.provider_message_id, e.segment_count, e.cost)
            alike.setdefault((who.batch_id, word), []).append(e.position)
    absent = [(who.batch_id, position) for who, learned in asked for position in learned.absent]
    by_id = {who.batch_id for who, learned in asked if learned.by_id}
    noted = [(who, learned.asked) for who, learned in asked if learned.asked is not None]
    # One statement needs no transaction of ours. A batch that one question tells all of has nothing to note.
    async with database.transaction() if noted else database.connection() as connection:
        if noted:
            await connection.execute(
                _NOTE_ASKED,
                *holder_values([who for who, _ in noted]),
                [numbers(positions) if positions else None for _, positions in noted],
            )
        records = await connection.fetch(
            _MERGE,
            *holder_values([who for who, _ in asked]),
            numbers(batch_id for batch_id, _ in alike),
            [numbers(positions) for positions in alike.values()],
            [state for _, (state, _, _, _, _) in alike],
            [provider_state for _, (_, provider_state, _, _, _) in alike],
            [provider_message_id for _, (_, _, provider_message_id, _, _) in alike],
            numbers(segment_count for _, (_, _, _, segment_count, _) in alike),
            numbers(cost for _, (_, _, _, _, cost) in alike),
            numbers(batch_id in by_id for batch_id, _ in alike),
            numbers(batch_id for batch_id, _ in absent),
            numbers(position for _, position in absent),
            *how_values({who.batch_id: learned.how for who, learned in asked}),
        )
    return states_of([who for who, _ in asked], records)


ROUNDS: tuple[Round, ...] = (_take_up_polling, _merge_polled)
"""What is asked of the database together with others here."""
