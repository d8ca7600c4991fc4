"""A provider's own month beside what we know by day: what differs, and what may explain it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from campaigns.domain.errors import NotOffered
from campaigns.domain.provider import DayStatistics, Provider
from campaigns.domain.reconciliation import Day, Ours, reconcile
from campaigns.domain.states import POLLABLE, MessageState
from campaigns.store import days as rows
from campaigns.store.days import AccountDay
from campaigns.store.session import Database

_NO_FINAL_STATUS = POLLABLE | {MessageState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A month of an account, by day. `trouble`: why its provider tells none, in one sentence."""

    account: str
    begins_at: datetime
    ends_at: datetime
    currency: str | None  # of our costs; None: not known, or several
    days: list[Day]
    trouble: str | None


async def their_month(provider: Provider, month: date) -> list[DayStatistics] | str:
    """What the provider says of the month of a day; the sentence where it has none to tell.

    Raises ProviderRefused where it has one and does not tell it now.
    """
    try:
        return await provider.statistics(f"{month:%Y-%m}")
    except NotOffered as none:
        return str(none)


async def reconciliation(
    database: Database, account: str, month: date, theirs: list[DayStatistics] | str
) -> Reconciliation:
    """The month of a day, in UTC, beside what `their_month` gave. Raises DatabaseUnavailable."""
    begins_at = datetime(month.year, month.month, 1, tzinfo=UTC)
    ends_at = (begins_at + timedelta(days=31)).replace(day=1)
    found = await rows.month(database, account, begins_at, ends_at)
    currencies = {each.currency for each in found if each.cost}
    days = reconcile(_by_day(found), None if isinstance(theirs, str) else theirs)
    return Reconciliation(
        account,
        begins_at,
        ends_at,
        (currencies.pop() or None) if len(currencies) == 1 else None,
        days,
        theirs if isinstance(theirs, str) else None,
    )


def _by_day(found: list[AccountDay]) -> Mapping[date, Ours]:
    ours: dict[date, Ours] = {}
    currencies: dict[date, set[str]] = {}
    for each in found:
        before = ours.get(each.day, Ours())
        if each.cost:
            currencies.setdefault(each.day, set()).add(each.currency)
        is_open = each.state in _NO_FINAL_STATUS
        ours[each.day] = Ours(
            before.message_count + each.taken_count,
            before.segment_count + each.segment_count,
            before.cost + each.cost,
            before.unpriced_count + each.unpriced_count,
            before.open_segment_count + (each.segment_count if is_open else 0),
            before.unsure_segment_count + each.unsure_segment_count,
            len(currencies.get(each.day, ())) <= 1,
        )
    return ours
