"""LightSMS's balance, statistics and blacklist."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import DayStatistics, Money, StopListEntry
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.lightsms.answers import read_statistics
from campaigns.providers.wire import Wire
from tests.contract.providers.lightsms.documented import signed_rightly
from tests.contract.providers.lightsms.member import API_KEY, LOGIN
from tests.contract.providers.members import TEXT
from tests.contract.providers.wire_server import WireServer, answer, body_of

# --- balance and statistics -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "money"),
    [
        ({"money": "69573.1", "currency": "RUB"}, Money(Decimal("69573.1"), "RUB")),
        ({"money": 4, "currency": "RUB"}, Money(Decimal(4), "RUB")),
        ({"money": "-0.50"}, Money(Decimal("-0.50"), "EUR")),
        ({"money": 0.1, "currency": 5}, Money(Decimal("0.1"), "EUR")),
    ],
)
async def test_balance(
    make: Callable[..., LightSms], server: WireServer, document: object, money: Money
) -> None:
    server.script.append(answer(body_of(document)))
    assert await make(currency="EUR").balance() == money
    assert server.paid[0].path == "/external/get/balance.php"
    assert signed_rightly(server.paid[0])


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"error": 7}, "LightSMS refused the balance: invalid login (code 7)"),
        ({"money": "much"}, "LightSMS's balance cannot be read"),
        ([], "LightSMS's balance cannot be read"),
        (b"<html>", "LightSMS's answer cannot be read"),
    ],
)
async def test_no_balance_is_one_sentence(
    make: Callable[..., LightSms], server: WireServer, document: object, sentence: str
) -> None:
    server.script.append(answer(body_of(document)))
    with pytest.raises(ProviderRefused) as refused:
        await make().balance()
    assert str(refused.value) == sentence


LINES = [
    DayStatistics("2025-01-15", "deliver", Decimal("1738.300"), 3909),
    DayStatistics("2025-01-15", "not_deliver", Decimal("1057.700"), 2380),
    DayStatistics("2025-01-16", "expired", Decimal("357.000"), 714),
]


@pytest.mark.parametrize(
    "document",
    [
        {
            "2025-01-16": {"expired": {"cost": "357.000", "parts": "714"}},
            "2025-01-15": {
                "deliver": {"cost": "1738.300", "parts": "3909"},
                "not_deliver": {"cost": "1057.700", "parts": "2380"},
            },
        },
        [
            {
                "date": "2025-01-15",
                "stats": [
                    {"status": "deliver", "cost": "1738.300", "parts": "3909"},
                    {"status": "not_deliver", "cost": "1057.700", "parts": 2380},
                ],
            },
            {"date": "2025-01-16", "stats": [{"status": "expired", "cost": "357.000", "parts": "714"}]},
        ],
    ],
)
async def test_statistics(make: Callable[..., LightSms], server: WireServer, document: object) -> None:
    server.script.append(answer(body_of(document)))
    assert await make().statistics("2025-01") == LINES
    assert server.paid[0].path == "/external/get/stat_by_month.php"
    assert server.paid[0].query["month"] == "2025-01"
    assert signed_rightly(server.paid[0])


@pytest.mark.parametrize("document", [{"error": 19}, {}, [], b"19", {"2025-01-15": []}])
async def test_a_month_without_messages(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.script.append(answer(body_of(document)))
    assert await make().statistics("2025-01") == []


@pytest.mark.parametrize("month", ["2025-13", "2025-1", "2025", "", "2025-01-01", "٢٠٢٥-01", TEXT])
async def test_a_month_is_written_in_one_way(
    make: Callable[..., LightSms], server: WireServer, month: str
) -> None:
    with pytest.raises(ProviderRefused, match="YYYY-MM"):
        await make().statistics(month)
    assert server.seen == []


@pytest.mark.parametrize(
    "document",
    [
        {"2025-01-15": "much"},
        {"2025-01-15": {"deliver": {"cost": "1"}}},
        {"yesterday": {"deliver": {"cost": "1", "parts": "1"}}},
        [{"date": "2025-01-15"}],
        [{"date": "2025-01-15", "stats": [{"cost": "1", "parts": "1"}]}],
        ["x"],
        "x",
    ],
)
def test_statistics_with_a_line_missing_are_refused(document: object) -> None:
    with pytest.raises(ProviderRefused):
        read_statistics(document)


async def test_without_another_address_it_is_theirs(wire: Wire) -> None:
    provider = LightSms(name="main", login=LOGIN, api_key=API_KEY, wire=wire)
    assert provider._url("send.php", {}, 1).startswith("https://www.lightsms.com/external/get/send.php?")


# --- blacklist --------------------------------------------------------------------------------------


STOP_LIST = "/external/get/find_on_stop.php"
SINCE = "2024-08-29 11:07:43"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"time_in": SINCE, "description": "asked for it"}, StopListEntry(SINCE, "asked for it")),
        ({"time_in": SINCE, "description": ""}, StopListEntry(SINCE, None)),
        ({"4494794": {"time_in": SINCE, "description": "x"}}, StopListEntry(SINCE, "x")),  # INTIS
        ([{"time_in": SINCE}], StopListEntry(SINCE, None)),
        ({"blacklisted": True, "added_at": SINCE}, StopListEntry(SINCE, None)),  # API check-blacklist
        ({"blacklisted": True}, StopListEntry(None, None)),
        ({"blacklisted": False}, None),
        ({}, None),
        ([], None),
        (b"\xef\xbb\xbf[]\n", None),
        ({"error": 19}, None),  # MOBIL
        ({"error": "19"}, None),
        (b"19", None),
    ],
)
async def test_the_blacklist_is_read_in_every_form_seen(
    make: Callable[..., LightSms], server: WireServer, document: object, expected: object
) -> None:
    server.free[STOP_LIST] = body_of(document)
    assert await make().find_on_stop_list("+37061234567") == expected
    seen = server.seen[-1]
    assert signed_rightly(seen)
    assert seen.query["phone"] == "37061234567"


@pytest.mark.parametrize(
    "document", [{"error": 7}, {"error": 16}, b"OK", b"null", {"time_in": None}, {"a": 1}, [[]], {"0": {}}]
)
async def test_a_blacklist_that_cannot_be_read_is_not_a_no(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.free[STOP_LIST] = body_of(document)
    with pytest.raises(ProviderRefused) as refused:
        await make().find_on_stop_list("+37061234567")
    assert "37061234567" not in str(refused.value)
