"""Leases of batches: who may work on one, and until when.

Dealing marks a batch `leased` and raises its fencing number `lease`. The task that carries (batch id, lease)
takes it up once (`leased_by`), so a repeated, late or lost task is harmless. Every write of a task locks the
rows first and checks that the leases are still its own: a worker that was frozen past its lease can neither
hand over nor overwrite.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import asyncpg

from campaigns.domain.states import BatchState
from campaigns.domain.values import value
from campaigns.store.conditions import IS_LEASED_BY_ID
from campaigns.store.database_functions import as_group
from campaigns.store.grouping import TwoHolders
from campaigns.store.session import Connection, Database, numbers


@dataclass(frozen=True, slots=True)
class Dealt:
    """A lease given out, not yet taken up: all a task carries of a batch."""

    batch_id: int
    lease: int


class Lease(Protocol):
    """A batch under a lease that was taken up, whatever for."""

    @property
    def batch_id(self) -> int: ...
    @property
    def lease(self) -> int: ...


class Holder(NamedTuple):
    """Who holds a lease of a batch, or asks for it."""

    batch_id: int
    lease: int
    worker: str


def holder_values(holders: Sequence[Holder]) -> list[str | list[str]]:
    """Who holds which leases: ids, leases and workers, as statements take them. Raises TwoHolders."""
    _check_alone(holders)
    return [
        numbers(who.batch_id for who in holders),
        numbers(who.lease for who in holders),
        [who.worker for who in holders],
    ]


def _check_alone(holders: Sequence[Holder]) -> None:
    if len({who.batch_id for who in holders}) < len(holders):
        raise TwoHolders


def held_group(holders: Sequence[Holder], fields: Iterable[Mapping[str, object]]) -> str:
    """The parameter of a database function that checks leases: each holder's batch, and the other fields that
    the function takes. Raises TwoHolders.
    """
    _check_alone(holders)
    return as_group(
        {"id": who.batch_id, "lease": who.lease, "worker": who.worker, **more}
        for who, more in zip(holders, fields, strict=True)
    )


# Locked in order of id, like everywhere, so that two groups never deadlock. The batch is found by its id: the
# state as text keeps PostgreSQL from using the index of leased batches, which is large before a VACUUM, and
# the ids beside the join (as in `functions/`) from reading all batches.
_TAKE_UP = """
    WITH free AS (
        SELECT b.id, a.worker, a.lease_seconds FROM batch b
        JOIN unnest($1::text::bigint[], $2::text::int[], $3::text[], $4::text::float8[])
            AS a(id, lease, worker, lease_seconds)
            ON a.id = b.id AND a.lease = b.lease
        WHERE b.id = ANY ($1::text::bigint[]) AND {is_leased} AND b.leased_by IS NULL
          AND b.leased_for = '{kind}' AND b.leased_until > now()
        ORDER BY b.id FOR NO KEY UPDATE OF b
    ),
    taken AS (
        UPDATE batch b SET leased_by = f.worker, leased_until = now() + make_interval(secs => f.lease_seconds)
        FROM free f, campaign c
        WHERE b.id = f.id AND b.leased_by IS NULL AND c.id = b.campaign_id
        RETURNING b.id, b.lease, b.campaign_id, b.number, b.retry_count, b.poll_count, b.poll_at,
                  b.asked_positions::text AS asked,
                  b.account, c.sender_id, c.text, c.not_after, c.trace_parent
    )
    SELECT t.*, m.*, now() AS now FROM taken t CROSS JOIN LATERAL ({messages}) m
"""


@value
class TakeUp:
    """A call that takes a dealt lease up."""

    dealt: Dealt
    _: KW_ONLY
    worker: str
    lease_seconds: float

    @property
    def holder(self) -> Holder:
        return Holder(self.dealt.batch_id, self.dealt.lease, self.worker)


async def take_up(database: Database, asked: Sequence[TakeUp], sql: str) -> list[asyncpg.Record | None]:
    """Take dealt leases up for the asking workers, with `sql` of `taking_up`. Gives its columns: `t.*` and
    what `messages` selects. None where the lease is gone: a repeated or late task.
    """
    async with database.connection() as connection:
        records = await connection.fetch(
            sql,
            *holder_values([each.holder for each in asked]),
            numbers(each.lease_seconds for each in asked),
        )
    taken = {record["id"]: record for record in records}
    return [taken.get(each.dealt.batch_id) for each in asked]


def taking_up(kind: str, messages: str) -> str:
    """The statement that takes leases for `kind` up and brings what `messages` selects for batch `t.id`."""
    return _TAKE_UP.format(kind=kind, is_leased=IS_LEASED_BY_ID, messages=messages)


async def hold(connection: Connection, holder: Holder) -> bool:
    """Lock a batch for the rest of the transaction; whether its lease is still the holder's."""
    held: str = await connection.fetchval("SELECT hold_leases($1)", held_group([holder], [{}]))
    return held != "[]"


def states_of(holders: Sequence[Holder], records: Sequence[asyncpg.Record]) -> list[BatchState | None]:
    """The new states of batches as the database's functions give them."""
    states = {record["batch_id"]: BatchState(record["batch_state"]) for record in records}
    return [states.get(who.batch_id) for who in holders]
