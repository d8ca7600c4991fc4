"""Everything that is asked and changes nothing: campaigns, messages, exports, what is on hold.

Everything that shows something reads it here: the commands, later an API and a dashboard.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from campaigns.domain.access import EVERYTHING, Reach
from campaigns.domain.errors import CampaignError, no_such_campaign
from campaigns.domain.states import SETTLED, MessageState
from campaigns.lazy_imports import lazy_imports
from campaigns.store import progress as progress_rows
from campaigns.store.reading import contents, pages
from campaigns.store.reading import overviews as overview_rows
from campaigns.store.reading.overviews import ANY, Cost, Header, Overview, Wanted
from campaigns.store.session import Database

with lazy_imports(__name__):  # `campaigns status` needs none of them
    from campaigns.domain import message_ref, phone, said
    from campaigns.store.reading import export as export_rows
    from campaigns.store.reading import lately, months
    from campaigns.store.reading import messages as message_rows

if TYPE_CHECKING:
    from campaigns.store.reading.lately import Day
    from campaigns.store.reading.messages import Before, MessageRow
    from campaigns.store.reading.months import Month

_REFUSED_AT_ONCE = 5_000  # rows of an export that are held

By = Literal["id", "phone", "reference"]
"""What a message is looked for by: the provider's id, the number, our reference."""


async def status(database: Database, campaign_id: UUID, *, reach: Reach = EVERYTHING) -> Overview:
    """One campaign with its totals. Raises NotFound, also where it is out of reach."""
    found = await overview_rows.overviews(database, Wanted(campaign_id), reach=reach, limit=1)
    if not found:
        raise no_such_campaign(campaign_id)
    return found[0]


async def header(database: Database, campaign_id: UUID, *, reach: Reach = EVERYTHING) -> Header:
    """What a campaign is without its totals: it costs the same whatever its size. Raises NotFound, also where
    it is out of reach.
    """
    found = await overview_rows.header(database, campaign_id, reach)
    if found is None:
        raise no_such_campaign(campaign_id)
    return found


async def newest(
    database: Database, wanted: Wanted = ANY, *, reach: Reach = EVERYTHING, limit: int = 100
) -> list[Overview]:
    """The newest campaigns within reach that are wanted, newest first."""
    return await overview_rows.overviews(database, wanted, reach=reach, limit=limit)


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


async def month(
    database: Database, account: str, of: date | None = None, *, reach: Reach = EVERYTHING
) -> "Month":
    """What went through an account in the calendar month, in UTC, of a day (None: today)."""
    day = of or datetime.now(UTC).date()
    begins_at = datetime(day.year, day.month, 1, tzinfo=UTC)
    ends_at = (begins_at + timedelta(days=31)).replace(day=1)
    return await months.month(database, account, begins_at, ends_at, reach=reach)


async def days(database: Database, count: int, *, reach: Reach = EVERYTHING) -> list["Day"]:
    """What was taken in on each of so many last days in UTC, of which today is one, and what became of it. A
    day has a row for each currency, and none where nothing was taken in.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return await lately.days(database, today - timedelta(days=count - 1), reach=reach)


async def export(
    database: Database, campaign_id: UUID, *, state: MessageState | None = None
) -> tuple[list[str], AsyncGenerator[dict[str, Any], None]]:
    """Every message (of one state) in order of row: the columns, and the lines, streamed.

    A recipient's own column that is called like one of ours gets `recipient_` before its name, as often
    as it takes for the name to be free. A caller that does not read the lines to their end closes them.
    """
    names = await export_rows.own_columns(database, campaign_id)
    own: dict[str, str] = {}
    for name in names:
        shown = name
        while shown in export_rows.EXPORT_COLUMNS or (shown != name and shown in names):
            shown = f"recipient_{shown}"
        own[name] = shown

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(export_rows.export(database, campaign_id, state)) as rows:
            async for line in rows:
                fields = line.pop("fields")
                yield line | {own[name]: value for name, value in fields.items()}

    return [*export_rows.EXPORT_COLUMNS, *own.values()], lines()


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
    return await export_rows.refusals(database, campaign_id, limit=limit)


async def export_refused(
    database: Database, campaign_id: UUID
) -> tuple[list[str], AsyncGenerator[dict[str, Any], None]]:
    """The recipients that were not taken in, in the shape of `export`: row, reason, column."""

    async def lines() -> AsyncGenerator[dict[str, Any], None]:
        after = -1
        while page := await refusal_page(database, campaign_id, limit=_REFUSED_AT_ONCE, after=after):
            for each in page:
                yield {"row": each.row, "reason": each.reason, "column": each.column or ""}
            after = page[-1].row

    return ["row", "reason", "column"], lines()


def sought(by: By, typed: str, region: str | None = None) -> str:
    """What somebody typed, in the form by which messages are found: an id, a number in E.164, a reference.

    Takes the region of numbers without a country code. Raises CampaignError, with one sentence that does not
    repeat what was typed.
    """
    value = typed.strip()
    if by == "id":
        if said.believed_id(value) is None:
            raise CampaignError(f"the id cannot be read: it has 1 to {said.LONGEST_PROVIDER_ID} characters")
        return value
    if by == "reference":
        if message_ref.key_of(value) is None:
            raise CampaignError("this is no reference of ours: one is the campaign's id and two numbers")
        return value
    if region is not None and not phone.is_region(region):
        raise CampaignError("there is no such region; give a two-letter country code such as LT or DE")
    try:
        return phone.normalise(value, region)
    except phone.InvalidPhone as error:
        raise CampaignError(f"the number cannot be read: {phone.PHONE_REASONS[error.reason]}") from error


async def messages(
    database: Database,
    *,
    by: By,
    value: str,
    account: str | None = None,
    reach: Reach = EVERYTHING,
    limit: int = 100,
    before: "Before | None" = None,
) -> list["MessageRow"]:
    """What we know of single messages, newest first; empty where there is none.

    Takes a value as `sought` gives it, and the account they went through (None: any). `before`: those that
    come after the message that was last changed then and has this key.
    """
    if by == "id":
        return await message_rows.by_provider_message_id(
            database, value, account=account, reach=reach, limit=limit, before=before
        )
    if by == "phone":
        return await message_rows.by_phone(
            database, phone.forms_of(value), account=account, reach=reach, limit=limit, before=before
        )
    key = message_ref.key_of(value)
    return [] if key is None else await message_rows.by_key(database, key, account=account, reach=reach)


# What belongs to one campaign, in pages that go on where the one before ended, or whole. Look first, with
# `header`, whether it is within reach.
message_page = pages.messages
batch_page = pages.batches
progress = progress_rows.points
stops = progress_rows.stops
content = contents.content
refusal_page = pages.refusals
