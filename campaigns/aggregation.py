"""Totals of a campaign, and whether it is finished.

Each batch keeps a tally of its messages by state, counted in the same transaction that changes them; a
campaign's totals are the sum over its batches. `verify` counts the messages themselves and must agree.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from campaigns.domain.errors import CampaignError, NotFound
from campaigns.domain.message_ref import place_of
from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, is_region, normalise
from campaigns.domain.states import SETTLED, CampaignState, MessageState
from campaigns.domain.unstorable import UNSTORABLE_CHARACTERS
from campaigns.store.reading import messages as message_rows
from campaigns.store.reading import overviews as campaign_rows
from campaigns.store.reading.messages import MessageRow
from campaigns.store.reading.overviews import Cost, Overview
from campaigns.store.reading.status_lag import StatusLag
from campaigns.store.rescue import sweep
from campaigns.store.session import Database

_BATCHES_A_ROUND = 200
_SUMMED_UP_A_ROUND = 10
_LONGEST_ID = 128

By = Literal["id", "phone", "reference"]
"""What a message is looked for by: the provider's id, the number, our reference."""


async def status(database: Database, campaign_id: UUID) -> Overview:
    """One campaign with its totals. Raises NotFound."""
    found = await campaign_rows.overviews(database, campaign_id=campaign_id, limit=1)
    if not found:
        raise NotFound(f"there is no campaign {campaign_id}; see: campaigns list")
    return found[0]


async def newest(database: Database, *, limit: int = 100) -> list[Overview]:
    """The newest campaigns, newest first."""
    return await campaign_rows.overviews(database, limit=limit)


def settled_count(overview: Overview) -> int:
    """How many of its messages are settled."""
    return sum(count for state, count in overview.totals.items() if state in SETTLED)


_NOBODY_REACHED = frozenset(
    {
        MessageState.SUPPRESSED,
        MessageState.CANCELLED,
        MessageState.FAILED,
        MessageState.REJECTED,
        MessageState.EXPIRED,
    }
)


def is_wholly_refused(overview: Overview) -> bool:
    """Whether a campaign is over and not one message was taken, though some were meant to be sent."""
    reached = any(count for state, count in overview.totals.items() if state not in _NOBODY_REACHED)
    return overview.finished_at is not None and bool(overview.reasons) and not reached


def as_json(overview: Overview) -> dict[str, Any]:
    """The public object of `status --json`; other programs rely on it word for word."""
    hold = overview.hold
    return {
        "id": str(overview.id),
        "name": overview.name,
        "account": overview.account,
        "state": overview.state.value,
        "recipient_count": overview.recipient_count,
        "totals": {state.value: overview.totals[state] for state in MessageState},
        "segment_count": overview.segment_count,
        "cost": _money(main_cost(overview)) or {"amount": None, "currency": overview.currency},
        "created_at": overview.created_at.isoformat(),
        "finished_at": overview.finished_at.isoformat() if overview.finished_at else None,
        "refused": dict(overview.refused),
        "noted": dict(overview.noted),
        "held": overview.held,
        "trouble": overview.trouble,
        "send_at": overview.send_at.isoformat() if overview.send_at else None,
        "not_after": overview.not_after.isoformat() if overview.not_after else None,
        "waits_for": "send_at" if overview.is_waiting else None,
        "campaign_held": hold
        and {
            "about": hold.about,
            "code": hold.code,
            "reason": hold.reason,
            "since": hold.since.isoformat(),
        },
        "reasons": [
            {"code": each.code, "reason": each.reason, "count": each.count} for each in overview.reasons
        ],
        "costs": [_money(cost) for cost in costs(overview)],
        "priced_count": sum(cost.message_count for cost in overview.costs),
        "unpriced_count": overview.unpriced_count,
        "status_lag": _lag_as_json(overview.status_lag),
    }


def _lag_as_json(lag: StatusLag | None) -> dict[str, Any] | None:
    if lag is None:
        return None
    return {
        "waiting_count": lag.waiting_count,
        "open_count": lag.open_count,
        "oldest_due_at": lag.oldest_due_at.isoformat(),
    }


def main_cost(overview: Overview) -> Cost | None:
    """What was charged in the campaign's own currency, or, where it has none, in the one its provider names.

    None where that is not known: messages were taken, or may have been, and none has a cost in it. Where
    nothing left, it is nothing.
    """
    own = [cost for cost in overview.costs if cost.currency == overview.currency]
    if not own and overview.currency is None and len(overview.costs) == 1:
        own = [*overview.costs]
    if own or overview.costs or overview.unpriced_count:
        return own[0] if own else None
    may_have_left = (MessageState.SENDING, MessageState.IN_DOUBT, MessageState.UNKNOWN)
    if any(overview.totals[state] for state in may_have_left):
        return None
    return Cost(Decimal(0), overview.currency, 0)


def costs(overview: Overview) -> list[Cost]:
    """What was charged, a currency each, the campaign's own first; none where it is not known."""
    main = main_cost(overview)
    return [*overview.costs] or ([main] if main is not None else [])


def _money(cost: Cost | None) -> dict[str, str | None] | None:
    return None if cost is None else {"amount": amount_text(cost.amount), "currency": cost.currency}


def amount_text(amount: Decimal) -> str:
    """Money as people write it: at least two decimals, no exponent, nothing rounded away."""
    plain = f"{amount:f}"
    whole, _, decimals = plain.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


async def finish(database: Database, campaign_id: UUID | None = None) -> list[UUID]:
    """End the campaign (None: every campaign) whose messages are all settled. Gives those ended now.

    Idempotent. To be called after a batch is done, and on every tick for what a crash left open.
    """
    if campaign_id is None:
        return await campaign_rows.finish_all(database)
    return [campaign_id] if await campaign_rows.finish(database, campaign_id) else []


async def sum_up(database: Database) -> None:
    """Keep the totals of campaigns that are over: `status` of a million then costs what it costs of a few.

    Idempotent; for every tick. What changes late all the same is summed anew.
    """
    await campaign_rows.sum_up(database, limit=_SUMMED_UP_A_ROUND)


async def change_state(database: Database, campaign_id: UUID, target: CampaignState) -> bool:
    """Pause, resume (target running) or cancel. Gives False when it was so already.

    Handing over stops within one batch: the intent of each request is written only while the campaign
    runs. Polling of what was handed over goes on. Raises NotFound, NotAllowed.
    """
    _before, changed = await campaign_rows.change_state(database, campaign_id, target)
    if target is CampaignState.CANCELLED:
        # A million rows in bounded transactions; if we die in the middle, the tick goes on.
        while await sweep.cancel_queued(database, limit=_BATCHES_A_ROUND, campaign_id=campaign_id):
            continue
        await finish(database, campaign_id)
    return changed


async def verify(database: Database, campaign_id: UUID) -> dict[MessageState, tuple[int, int]]:
    """States whose tally and recount differ: state -> (tally, recount). Empty when all adds up.

    Also while the campaign runs: both are taken at the same moment. Raises NotFound.
    """
    counts = await campaign_rows.recount(database, campaign_id)
    return {state: (tally, counted) for state, (tally, counted) in counts.items() if tally != counted}


async def export(
    database: Database, campaign_id: UUID
) -> tuple[list[str], AsyncGenerator[dict[str, Any], None]]:
    """Every message in order of row: the columns, and the lines, streamed.

    A recipient's own column that is called like one of ours gets `recipient_` before its name, as often
    as it takes for the name to be free. Who does not read the lines to their end closes them.
    """
    names = await campaign_rows.own_columns(database, campaign_id)
    own: dict[str, str] = {}
    for name in names:
        shown = name
        while shown in campaign_rows.EXPORT_COLUMNS or (shown != name and shown in names):
            shown = f"recipient_{shown}"
        own[name] = shown

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(campaign_rows.export(database, campaign_id)) as rows:
            async for line in rows:
                fields = line.pop("fields")
                yield line | {own[name]: value for name, value in fields.items()}

    return [*campaign_rows.EXPORT_COLUMNS, *own.values()], lines()


async def refusals(
    database: Database, campaign_id: UUID, *, limit: int | None = None
) -> list[tuple[int, str]]:
    """(row, reason) of recipients that were not taken in."""
    found = await refusals_in_full(database, campaign_id, limit=limit)
    return [(row, reason) for row, reason, _ in found]


async def refusals_in_full(
    database: Database, campaign_id: UUID, *, limit: int | None = None
) -> list[tuple[int, str, str | None]]:
    """The same with the column that the reason is about, None where it is about none."""
    return await campaign_rows.refusals(database, campaign_id, limit=limit)


async def export_refused(
    database: Database, campaign_id: UUID
) -> tuple[list[str], AsyncGenerator[dict[str, Any], None]]:
    """The recipients that were not taken in, in the shape of `export`: row, reason, column."""

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        for row, reason, column in await refusals_in_full(database, campaign_id):
            yield {"row": row, "reason": reason, "column": column or ""}

    return ["row", "reason", "column"], lines()


def wanted(by: By, typed: str, region: str | None = None) -> str:
    """What somebody typed, as messages are looked for by it: an id, a number in E.164, a reference.

    Takes the region where numbers without a country code are at home. Raises CampaignError for what
    cannot be one, with one sentence that does not repeat it.
    """
    value = typed.strip()
    if by == "id":
        if not value or len(value) > _LONGEST_ID or UNSTORABLE_CHARACTERS.search(value):
            raise CampaignError(f"the id cannot be read: it has 1 to {_LONGEST_ID} characters")
        return value
    if by == "reference":
        if place_of(value) is None:
            raise CampaignError("this is no reference of ours: one is the campaign's id and two numbers")
        return value
    if region is not None and not is_region(region):
        raise CampaignError("there is no such region; give a two-letter country code such as LT or DE")
    try:
        return normalise(value, region)
    except InvalidPhone as error:
        raise CampaignError(f"the number cannot be read: {PHONE_REASONS[error.reason]}") from error


async def messages(
    database: Database, *, by: By, value: str, account: str | None = None, limit: int = 100
) -> list[MessageRow]:
    """What we know of single messages, newest first; empty where there is none.

    Takes a value as `wanted` gives it, and the account they went through (None: any).
    """
    if by == "id":
        return await message_rows.by_provider_message_id(database, value, account=account, limit=limit)
    if by == "phone":
        return await message_rows.by_phone(database, value, account=account, limit=limit)
    place = place_of(value)
    return [] if place is None else await message_rows.by_place(database, place, account=account)
