"""What is written down of requests, in the form the database's functions take it."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.domain.said import believed_cost, believed_currency
from campaigns.domain.segments import believed_segment_count
from campaigns.domain.states import MessageState
from campaigns.domain.values import value
from campaigns.store.halving import store_each, why
from campaigns.store.session import Connection, arrays, numbers, texts


@value
class Written:
    """What is written down alike for some messages of a batch.

    `provider_message_ids`: one for each of `positions`, in that order; None where they got none. `by_id`:
    callbacks will name them by those ids alone.
    """

    positions: list[int]
    state: MessageState
    provider_message_ids: list[str] | None = None
    provider_state: str | None = None
    cost: Decimal | None = None
    segment_count: int | None = None
    reason: str | None = None
    spends_attempt: bool = True
    by_id: bool = False
    currency: str | None = None  # of `cost`; None: the campaign's


def written_of(
    positions: Sequence[int],
    outcomes: Sequence[Outcome],
    *,
    by_id: bool = False,
    spends_all: bool = False,
) -> list[Written]:
    """How the outcomes of the messages at `positions` are written down; neighbours told alike go together.

    `spends_all`: an attempt is spent also where the fault is the account's or the campaign's.
    """
    found: list[Written] = []
    last: tuple[object, ...] = ()
    positions_so_far: list[int] = []
    ids_so_far: list[str] = []
    for position, outcome in zip(positions, outcomes, strict=True):
        if isinstance(outcome, Accepted):
            told = (Accepted, outcome.cost, outcome.segment_count, outcome.currency)
            if told != last:
                last, positions_so_far, ids_so_far = told, [], []
                found.append(
                    Written(
                        positions_so_far,
                        MessageState.ACCEPTED,
                        ids_so_far,
                        cost=believed_cost(outcome.cost),
                        segment_count=believed_segment_count(outcome.segment_count),
                        by_id=by_id,
                        currency=believed_currency(outcome.currency) if outcome.cost is not None else None,
                    )
                )
            ids_so_far.append(outcome.provider_message_id)
        elif (outcome,) != last:
            last, positions_so_far = (outcome,), []
            found.append(_without_id(positions_so_far, outcome, spends_all=spends_all))
        positions_so_far.append(position)
    return found


def _without_id(
    positions: list[int],
    outcome: Rejected | Failed | Throttled | NotSent | AccountTrouble | CampaignTrouble | InDoubt,
    *,
    spends_all: bool,
) -> Written:
    match outcome:
        case Rejected(code, reason):
            return Written(positions, MessageState.REJECTED, provider_state=code, reason=reason)
        case Failed(code, reason):
            return Written(positions, MessageState.FAILED, provider_state=code, reason=reason)
        case Throttled() | NotSent():
            return Written(positions, MessageState.QUEUED, reason=outcome.why)
        case AccountTrouble(code, reason) | CampaignTrouble(code, reason):
            return Written(
                positions,
                MessageState.QUEUED,
                provider_state=code,
                reason=reason,
                spends_attempt=spends_all,
            )
        case InDoubt(why):
            return Written(positions, MessageState.IN_DOUBT, reason=why)


WRITTEN_TYPES = (
    *("bigint", "text", "text", "text", "text", "numeric", "smallint", "text", "bool", "bool"),
    "text",
)
"""What `written_values` gives, as the database's functions take it."""


def written_values(of_batches: Sequence[tuple[int, Sequence[Written]]]) -> list[str | list[str | None]]:
    """What is written down for batches, by batch id: one array for each of `WRITTEN_TYPES`."""
    rows = [(batch_id, each) for batch_id, written in of_batches for each in written]
    return [
        numbers(batch_id for batch_id, _ in rows),
        [numbers(w.positions) for _, w in rows],
        [_ids_by_position(w) for _, w in rows],
        [w.state for _, w in rows],
        [w.provider_state for _, w in rows],
        numbers(w.cost for _, w in rows),
        numbers(w.segment_count for _, w in rows),
        [w.reason for _, w in rows],
        numbers(w.spends_attempt for _, w in rows),
        numbers(w.by_id for _, w in rows),
        [w.currency for _, w in rows],
    ]


_WRITE = f"SELECT write_messages_v2($1::text::bigint[], {arrays(WRITTEN_TYPES, first=2)})"


async def write_apart(connection: Connection, batch_id: int, written: Sequence[Written]) -> None:
    """Write down each answer by itself where PostgreSQL refuses them together. The caller's transaction holds
    the batch, and counts it anew.

    One that it refuses is written without what is said beside it; where even that is refused, the message is
    in doubt, with that reason. Whatever cannot be written at all stays as it is, for rescue.
    """
    held = numbers([batch_id])

    async def write(parts: Sequence[Written]) -> None:
        await connection.execute(_WRITE, held, *written_values([(batch_id, parts)]))

    refused = await store_each(connection, [one for each in written for one in _one_by_one(each)], write)
    plain = [
        replace(each, provider_state=None, cost=None, currency=None, segment_count=None, reason=None)
        for each, _ in refused
    ]
    refused = await store_each(connection, plain, write)
    doubtful = [
        Written(each.positions, MessageState.IN_DOUBT, reason=f"its answer cannot be stored: {why(error)}")
        for each, error in refused
    ]
    await store_each(connection, doubtful, write)


def _one_by_one(written: Written) -> list[Written]:
    ids = written.provider_message_ids
    return [
        replace(written, positions=[position], provider_message_ids=None if ids is None else [ids[at]])
        for at, position in enumerate(written.positions)
    ]


def _ids_by_position(written: Written) -> str | None:
    if written.provider_message_ids is None:
        return None
    ids: list[str | None] = [None] * (max(written.positions) + 1)
    for position, provider_message_id in zip(written.positions, written.provider_message_ids, strict=True):
        ids[position] = provider_message_id
    return texts(ids)
