"""Outcomes of requests as they are stored: one row for neighbouring messages with the same outcome."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby

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
from campaigns.store.database_functions import as_group
from campaigns.store.halving import store_each, why
from campaigns.store.session import Connection


@value
class OutcomeRow:
    """What is stored alike for some messages of a batch.

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


def rows_of(
    positions: Sequence[int],
    outcomes: Sequence[Outcome],
    *,
    by_id: bool = False,
    spends_all: bool = False,
) -> list[OutcomeRow]:
    """The outcomes of the messages at `positions` as rows; neighbours with the same outcome share one.

    `spends_all`: an attempt is spent also where the fault is the account's or the campaign's.
    """
    told = zip(positions, outcomes, strict=True)
    return [
        _row(*zip(*alike, strict=True), by_id=by_id, spends_all=spends_all)
        for _, alike in groupby(told, key=_alike)
    ]


def _alike(told: tuple[int, Outcome]) -> object:
    _, outcome = told
    if isinstance(outcome, Accepted):  # but for the id, which is each message's own
        return Accepted, outcome.cost, outcome.segment_count, outcome.currency
    return outcome


def _row(
    positions: tuple[int, ...], outcomes: tuple[Outcome, ...], *, by_id: bool, spends_all: bool
) -> OutcomeRow:
    first = outcomes[0]
    if not isinstance(first, Accepted):
        return _without_id(list(positions), first, spends_all=spends_all)
    return OutcomeRow(
        list(positions),
        MessageState.ACCEPTED,
        [each.provider_message_id for each in outcomes if isinstance(each, Accepted)],
        cost=believed_cost(first.cost),
        segment_count=believed_segment_count(first.segment_count),
        by_id=by_id,
        currency=believed_currency(first.currency) if first.cost is not None else None,
    )


def _without_id(
    positions: list[int],
    outcome: Rejected | Failed | Throttled | NotSent | AccountTrouble | CampaignTrouble | InDoubt,
    *,
    spends_all: bool,
) -> OutcomeRow:
    match outcome:
        case Rejected(code, reason):
            return OutcomeRow(positions, MessageState.REJECTED, provider_state=code, reason=reason)
        case Failed(code, reason):
            return OutcomeRow(positions, MessageState.FAILED, provider_state=code, reason=reason)
        case Throttled(why=why):
            return OutcomeRow(positions, MessageState.QUEUED, reason=why)
        case NotSent(why, spends_attempt=spends):
            return OutcomeRow(positions, MessageState.QUEUED, reason=why, spends_attempt=spends)
        case AccountTrouble(code, reason) | CampaignTrouble(code, reason):
            return OutcomeRow(
                positions, MessageState.QUEUED, provider_state=code, reason=reason, spends_attempt=spends_all
            )
        case InDoubt(why):
            return OutcomeRow(positions, MessageState.IN_DOUBT, reason=why)


def answer_fields(row: OutcomeRow) -> dict[str, object]:
    """A row as `write_messages` takes it."""
    return {
        "positions": row.positions,
        "state": row.state,
        "provider_message_ids": row.provider_message_ids,
        "by_id": row.by_id,
        "provider_state": row.provider_state,
        "reason": row.reason,
        "cost": row.cost,
        "currency": row.currency,
        "segment_count": row.segment_count,
        "spends_attempt": row.spends_attempt,
    }


async def write_apart(connection: Connection, batch_id: int, rows: Sequence[OutcomeRow]) -> None:
    """Write each answer by itself where PostgreSQL refuses them together. The caller's transaction holds the
    batch and counts it again.

    An answer that is refused is written without its other fields; where even that is refused, the message is
    in doubt, with that reason. What cannot be written at all stays as it is, for rescue.
    """

    async def write(parts: Sequence[OutcomeRow]) -> None:
        answers = [answer_fields(each) for each in parts]
        await connection.execute(
            "SELECT write_messages($1)", as_group([{"id": batch_id, "answers": answers}])
        )

    refused = await store_each(connection, [one for each in rows for one in _one_by_one(each)], write)
    plain = [
        replace(each, provider_state=None, cost=None, currency=None, segment_count=None, reason=None)
        for each, _ in refused
    ]
    refused = await store_each(connection, plain, write)
    doubtful = [
        OutcomeRow(each.positions, MessageState.IN_DOUBT, reason=f"its answer cannot be stored: {why(error)}")
        for each, error in refused
    ]
    await store_each(connection, doubtful, write)


def _one_by_one(row: OutcomeRow) -> list[OutcomeRow]:
    ids = row.provider_message_ids
    return [
        replace(row, positions=[position], provider_message_ids=None if ids is None else [ids[at]])
        for at, position in enumerate(row.positions)
    ]
