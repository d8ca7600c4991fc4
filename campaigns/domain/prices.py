"""Prices as providers list them."""

from collections.abc import Sequence
from decimal import Decimal

from campaigns.domain.values import value


@value
class QuotedPrice:
    """What a segment to one country costs: from the cheapest of its networks to the dearest."""

    country: str  # + and the country code
    lowest: Decimal
    highest: Decimal


@value
class Quote:
    """What a provider's price list says, in the currency that the account is charged in. A country that it
    says nothing clear of is absent.
    """

    source: str  # as a person is told where a price comes from
    prices: Sequence[QuotedPrice]
