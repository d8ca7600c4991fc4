"""seven.io's price list, read: the answer of GET /pricing. Pure.

Source: OPENAPI `/pricing`, PHP Resource/Pricing, JS resources/pricing; an answer that was recorded by their
Elixir client (fixture/vcr_cassettes/pricing_json_all.json: 232 countries, 2,140 networks, 300 kB).
It names no currency: prices are in that of the account. Its own filter takes one ISO code, while 25 countries
share +1, and two each +7, +262 and +599; so the whole list is asked for, and read by prefix.

A wrong price is worse than none: an entry that cannot be read takes the price from its prefix, and one whose
prefix cannot be read takes the whole list, for nobody knows whose price it would have changed.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from campaigns.domain.phone import country_code
from campaigns.domain.prices import Quote, QuotedPrice
from campaigns.providers.documents import amount_of, count_of, field_of
from campaigns.providers.seven.answers import load, top_code

_SOURCE = "seven.io's price list"
_PREFIX = re.compile(r"[1-9][0-9]{0,6}")
_MOST_PRICE = 10**6  # of a segment, in any currency: what is above it is no price


def read_prices(body: bytes, countries: Iterable[str]) -> Quote | str | None:
    """What the list says of `countries` (+ and the country code): the range of its networks' prices.

    Gives a code where the answer is one, None where it cannot be read. A country that is not in the list, has
    no networks there, or one whose price cannot be read, is left out. Never raises.
    """
    document = load(body)
    listed = field_of(document, "countries")
    if not isinstance(listed, list):
        return top_code(document)
    if count_of(field_of(document, "countCountries")) != len(listed):
        return None  # what is missing could have been dearer
    prices: dict[str, list[Decimal | None]] = {}
    for each in listed:
        prefix = field_of(each, "countryPrefix")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            return None
        prices.setdefault(country_code(f"+{prefix}"), []).extend(_prices(field_of(each, "networks")))
    quoted = []
    for country in countries:
        known = [price for price in prices.get(country, ()) if price is not None]
        if known and len(known) == len(prices[country]):
            quoted.append(QuotedPrice(country, min(known), max(known)))
    return Quote(_SOURCE, quoted)


def _prices(networks: object) -> Iterator[Decimal | None]:
    """The price of each network, None where it is none."""
    if not isinstance(networks, list):
        yield None
        return
    for network in networks:
        price = amount_of(field_of(network, "price"))
        yield price if price is not None and 0 < price <= _MOST_PRICE else None
