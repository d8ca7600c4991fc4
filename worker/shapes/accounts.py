"""Accounts, as their providers tell."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, WithJsonSchema

from campaigns.domain.provider import Money, StopListEntry
from campaigns.domain.reconciliation import Why
from campaigns.domain.states import MessageState
from campaigns.reconciling import Reconciliation as MonthOfBoth
from campaigns.store.reading.months import Month
from worker.shapes.base import Amount, Moment, Shape, Text
from worker.shapes.base import Day as CalendarDay
from worker.shapes.campaigns import Cost


class Balance(Shape):
    """What is left on an account, says its provider."""

    account: str
    amount: Amount
    currency: Text | None

    @classmethod
    def of(cls, account: str, money: Money) -> Self:
        """A balance as it is shown."""
        return cls.like(money, account=account)


class AccountMonth(Shape):
    """What the campaigns of one calendar month in UTC made of an account, as far as the key may see them. A
    campaign belongs to the month in which it was taken in.
    """

    account: str
    begins_at: Moment
    ends_at: Moment = Field(description="The first moment of the next month.")
    campaign_count: int
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    segment_count: int
    costs: list[Cost] = Field(description="What is known to have been charged, a currency each.")
    unpriced_count: int = Field(description="Messages that the provider took and named no cost for.")

    @classmethod
    def of(cls, account: str, month: Month) -> Self:
        """A month as it is shown."""
        costs = [Cost(amount=amount, currency=currency) for currency, amount in month.costs.items()]
        return cls.like(month, account=account, costs=costs)


class Day(Shape):
    """One line of a provider's own statistics."""

    date: Text = Field(description="YYYY-MM-DD")
    provider_state: Text
    cost: Annotated[Decimal, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})] = (
        Field(description="With the decimals that the provider gives.")
    )
    segment_count: int


class DayTotals(Shape):
    """What one side knows of a day."""

    segment_count: int
    cost: Amount


class OwnDayTotals(DayTotals):
    """What we know of a day: of messages that were handed over on it and that the provider took."""

    message_count: int
    unpriced_count: int = Field(description="Messages of them for which the provider named no cost.")
    open_segment_count: int = Field(description="Segments of them without a final status.")
    unsure_segment_count: int = Field(
        description="Segments beside them that are in doubt or unknown: the provider may have them."
    )


class Explanation(Shape):
    """What may explain a difference."""

    why: Why
    count: int | None = Field(description="Of how many segments; of `unpriced`, messages. None: not said.")
    sentence: str


class ReconciledDay(Shape):
    """A day as both have it. Differences are the provider's less ours; None where nothing is compared."""

    day: CalendarDay = Field(description="In UTC; the provider's may begin at another hour.")
    ours: OwnDayTotals
    theirs: DayTotals | None = Field(description="None where the provider tells nothing by day.")
    segment_difference: int | None
    cost_difference: Amount | None
    agrees: bool
    explanations: list[Explanation]


class Reconciliation(Shape):
    """A provider's own month beside ours, by day."""

    account: str
    begins_at: Moment
    ends_at: Moment = Field(description="The first moment of the next month, in UTC.")
    currency: str | None = Field(
        description="Of our costs; None where it is not known, or there are several."
    )
    agrees: bool
    trouble: str | None = Field(description="Why the provider tells no month of its own, in one sentence.")
    days: list[ReconciledDay] = Field(description="Days on which either side has anything.")

    @classmethod
    def of(cls, found: MonthOfBoth) -> Self:
        """A month as it is shown."""
        return cls.like(
            found,
            agrees=found.trouble is None and all(day.agrees for day in found.days),
            days=[
                ReconciledDay.like(
                    day,
                    ours=OwnDayTotals.like(day.ours),
                    theirs=None if day.theirs is None else DayTotals.like(day.theirs),
                    explanations=[Explanation.like(each) for each in day.explanations],
                )
                for day in found.days
            ],
        )


class StopListing(Shape):
    """Whether a number stands on a provider's own stop list; `since` and `reason` only where it does."""

    account: str
    phone: str = Field(description="E.164 with +.")
    is_listed: bool
    since: Text | None = Field(default=None, description="In the provider's own words.")
    reason: Text | None = None

    @classmethod
    def of(cls, account: str, phone: str, entry: StopListEntry | None) -> Self:
        """What the provider said, as it is shown."""
        return cls.like(entry, account=account, phone=phone, is_listed=entry is not None)
