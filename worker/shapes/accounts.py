"""Accounts, as their providers tell."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, WithJsonSchema

from campaigns.domain.provider import Money, StopListEntry
from campaigns.domain.states import MessageState
from campaigns.store.reading.months import Month
from worker.shapes.base import Amount, Moment, Shape, Text
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
