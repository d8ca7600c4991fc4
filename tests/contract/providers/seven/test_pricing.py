"""seven.io's price list: read as it was recorded, and never read wrong."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.prices import Quote, QuotedPrice
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.pricing import read_prices
from tests.contract.providers.wire_server import WireServer, answer

UNREADABLE = "seven.io's answer cannot be read"


def network(price: object, name: str | None = None) -> dict[str, object]:
    """A line of a country, as it was recorded."""
    told = {"mcc": "262", "mncs": None if name is None else ["02", "04"], "networkName": name}
    return {**told, "features": [], "comment": None, "price": price}


def country(prefix: object, *prices: object) -> dict[str, object]:
    networks = [network(price, None if at == 0 else "Vodafone GmbH") for at, price in enumerate(prices)]
    return {"countryCode": "DE", "countryName": "Germany", "countryPrefix": prefix, "networks": networks}


def listed(*countries: object, **more: object) -> bytes:
    return json.dumps({"countCountries": len(countries), "countries": countries, **more}).encode()


def prices(body: bytes, *countries: str) -> dict[str, tuple[Decimal, Decimal]] | str | None:
    said = read_prices(body, countries)
    return {p.country: (p.lowest, p.highest) for p in said.prices} if isinstance(said, Quote) else said


async def test_one_question_gives_the_range_of_each_country(
    make: Callable[..., Seven], server: WireServer
) -> None:
    shared = listed(
        country("1", 0.075), country("49", 0.075, 0.39), country("1", 0.075, 0.145), country("882")
    )
    server.script.append(answer(shared))

    quote = await make().quote(["+49", "+1", "+882", "+370"])

    ranges = [
        QuotedPrice("+49", Decimal("0.075"), Decimal("0.39")),
        QuotedPrice("+1", Decimal("0.075"), Decimal("0.145")),  # twenty-five countries have that code
    ]
    assert quote == Quote("seven.io's price list", ranges)
    assert [(seen.method, seen.target) for seen in server.seen] == [("GET", "/api/pricing")]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (200, b'"900"', "seven.io refused the question: invalid API key (code 900)"),
        (200, b"<html>", UNREADABLE),
        (200, listed(country("49", 0.075), countCountries=232), UNREADABLE),
        (200, listed(country("49", 0.075))[:-9], UNREADABLE),
        (500, listed(country("49", 0.075)), "seven.io answered HTTP 500"),
        (200, b" " * 5_000_000, "the answer is larger than 4194304 bytes"),
    ],
)
async def test_what_is_not_their_list_is_refused_with_a_reason(
    make: Callable[..., Seven], server: WireServer, status: int, body: bytes, sentence: str
) -> None:
    server.script.append(answer(body, status))
    with pytest.raises(ProviderRefused) as refused:
        await make().quote(["+49"])
    assert sentence in str(refused.value)


NO_PRICE = [None, True, "", "free", "-0.1", 0, -1, 1e7, 1e300, "1e99", "0,075", {}, [0.075], "٠.٥"]


@pytest.mark.parametrize("price", NO_PRICE, ids=repr)
def test_a_price_that_is_none_takes_the_price_from_its_prefix_alone(price: object) -> None:
    body = listed(country("49", 0.075, price), country("370", 0.05))
    assert prices(body, "+49", "+370") == {"+370": (Decimal("0.05"), Decimal("0.05"))}


@pytest.mark.parametrize("networks", [None, {}, "0.075", [None], ["0.075"], [[0.075]], 3], ids=repr)
def test_networks_that_are_none_leave_no_price(networks: object) -> None:
    one = {**country("1", 0.075)}
    assert prices(listed(one, {**country("1"), "networks": networks}), "+1") == {}


@pytest.mark.parametrize(
    "prefix", [None, "", "0", "+", "four", "49 ", "-49", "٤٩", ["49"], "4" * 99], ids=repr
)
def test_an_entry_of_nobody_knows_which_country_takes_the_whole_list(prefix: object) -> None:
    assert prices(listed(country("49", 0.075), country(prefix, 9)), "+49") is None


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"countCountries":1,"countries":[{"countryPrefix":"49","networks":[{"price":NaN}]}]}',
        b'{"countCountries":1,"countries":[{"countryPrefix":"49","networks":[{"price":0.1,"price":0.2}]}]}',
        listed(None),
        listed(country("49", 0.075), countCountries=None),
        listed(country("49", 0.075), countCountries=True),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_hostile_list_gives_no_price(body: bytes) -> None:
    assert not prices(body, "+49")


def test_a_prefix_is_of_the_country_code_it_begins_with() -> None:
    """Were +1684 told apart from +1, a number there would be shown at the others' price."""
    body = listed(country("1", 0.075), country("1684", 0.2), country(49, 0.1))
    assert prices(body, "+1", "+49") == {
        "+1": (Decimal("0.075"), Decimal("0.2")),
        "+49": (Decimal("0.1"), Decimal("0.1")),
    }


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("49"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["countCountries", "countries", "countryPrefix", "networks", "price"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(document=_ANY)
def test_no_document_breaks_it(document: Any) -> None:
    said = read_prices(json.dumps(document).encode(), ["+49"])
    if isinstance(said, Quote):
        assert all(0 < each.lowest <= each.highest <= 10**6 for each in said.prices)
