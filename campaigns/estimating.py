"""What messages would cost: by what the account was charged, else by its provider's price list."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from campaigns.adapter_calls import call_adapter
from campaigns.domain.errors import ProviderRefused
from campaigns.domain.limits import AccountTerms
from campaigns.domain.provider import Money, Provider
from campaigns.store import checking as staged_rows
from campaigns.store.checking import Kind
from campaigns.store.session import Database

CHARGED = "average of the last 30 days"
"""The source of a price that is what this account was charged for a segment to the same country."""

_ASKING_SECONDS = 10.0  # for the provider to tell balance and prices
_PRICE_STEP = Decimal("0.000001")  # an estimate is no more exact
_AMOUNT_STEP = Decimal("0.0001")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CountryEstimate:
    """What messages to one country would cost; None where no price is known."""

    country: str  # + and the country code
    message_count: int
    segment_count: int
    price: Decimal | None  # of a segment; of a price list with several for the country: the highest
    lowest_price: Decimal | None  # the same where there is one price
    price_source: str | None
    amount: Decimal | None  # by `price`: where that is a highest one, at most


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the campaign would cost. `amount` covers all segments but `unpriced_segment_count`; None where no
    country has a price. `priced_message_count`: how many messages the account's own prices come from.
    """

    amount: Decimal | None
    currency: str | None
    priced_message_count: int
    unpriced_segment_count: int
    countries: Sequence[CountryEstimate]
    quote_trouble: str | None  # why the provider's price list is not known; None: not needed, or it has none
    balance: Money | None
    balance_trouble: str | None  # why the balance is not known

    @property
    def is_enough(self) -> bool | None:
        """Whether the balance covers it; None where either is not known in full, or in another currency, or
        where that depends on the networks of the numbers.
        """
        if self.amount is None or self.balance is None:
            return None
        if self.balance.currency not in {self.currency, None}:
            return None
        if self.balance.amount >= self.amount:
            return None if self.unpriced_segment_count else True
        least = sum(
            each.lowest_price * each.segment_count for each in self.countries if each.lowest_price is not None
        )
        return False if self.balance.amount < least else None


@dataclass(frozen=True, slots=True)
class _Price:
    """What a segment costs, from and to, and who says so."""

    lowest: Decimal
    highest: Decimal
    source: str


async def estimate(
    database: Database, account: AccountTerms, provider: Provider | None, kinds: Sequence[Kind]
) -> Estimate:
    """What messages of these kinds would cost on an account. Asks `provider`, where there is one, for its
    balance, and for its prices where the account was charged for nothing to some country.
    """
    messages: Counter[str] = Counter()
    segments: Counter[str] = Counter()
    for kind in kinds:
        messages[kind.country] += kind.message_count
        segments[kind.country] += kind.message_count * kind.segment_count
    paid = await staged_rows.paid(database, account.name)
    currency = account.currency or await staged_rows.currency_of(database, account.name)
    until = asyncio.get_running_loop().time() + _ASKING_SECONDS
    balance, balance_trouble = await _balance(provider, until)
    if currency is None and balance is not None:
        currency = balance.currency
    if currency is None and paid and not any(each.currency is None for each in paid):
        currency = max(paid, key=lambda each: each.segment_count).currency
    charged = staged_rows.priced(paid, currency)
    quoted, quote_trouble = await _quoted(provider, segments.keys() - charged.keys(), until)
    prices = dict(quoted)
    for country, each in charged.items():
        average = each.cost / each.segment_count
        prices[country] = _Price(average, average, CHARGED)
    countries = [
        _of_country(country, messages[country], segment_count, prices.get(country))
        for country, segment_count in segments.most_common()
    ]
    amounts = [each.amount for each in countries if each.amount is not None]
    return Estimate(
        amount=sum(amounts, Decimal(0)) if amounts else None,
        currency=currency,
        priced_message_count=sum(
            charged[country].message_count for country in segments if country in charged
        ),
        unpriced_segment_count=sum(each.segment_count for each in countries if each.amount is None),
        countries=countries,
        quote_trouble=quote_trouble,
        balance=balance,
        balance_trouble=balance_trouble,
    )


def _of_country(
    country: str, message_count: int, segment_count: int, price: _Price | None
) -> CountryEstimate:
    if price is None:
        return CountryEstimate(country, message_count, segment_count, None, None, None, None)
    return CountryEstimate(
        country=country,
        message_count=message_count,
        segment_count=segment_count,
        price=price.highest.quantize(_PRICE_STEP),
        lowest_price=price.lowest.quantize(_PRICE_STEP),
        price_source=price.source,
        amount=(price.highest * segment_count).quantize(_AMOUNT_STEP),
    )


async def _balance(provider: Provider | None, until: float) -> tuple[Money | None, str | None]:
    if provider is None:
        return None, "the provider was not asked"
    return await _ask(provider.balance(), until)


async def _quoted(
    provider: Provider | None, countries: Collection[str], until: float
) -> tuple[Mapping[str, _Price], str | None]:
    """The price list's prices of these countries; why it is not known, where it should be."""
    if provider is None or not countries:
        return {}, None
    quote, trouble = await _ask(provider.quote(countries), until)
    if quote is None:
        return {}, trouble
    return {each.country: _Price(each.lowest, each.highest, quote.source) for each in quote.prices}, None


async def _ask(question: Awaitable[_T], until: float) -> tuple[_T | None, str | None]:
    """What the provider answers, or why it did not."""

    async def ask() -> tuple[_T | None, str | None]:
        try:
            return await question, None
        except ProviderRefused as refused:
            return None, str(refused)

    def in_vain(why: str) -> tuple[_T | None, str | None]:
        return None, why

    return await call_adapter(ask(), until, in_vain)
