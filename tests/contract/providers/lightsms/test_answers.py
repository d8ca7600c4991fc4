"""Every form of LightSMS's answers to a send."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import Accepted, AccountTrouble, InDoubt, Money, NotSent, Receipt, Throttled
from campaigns.domain.states import MessageState
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.lightsms.answers import CODES, ErrorCode, common_code, read_answer, read_statuses
from tests.contract.providers.lightsms.documented import (
    ACCEPTED,
    ID,
    PHONES,
    STATUS,
    TAKEN,
    TIMESTAMP,
    handed_over,
    ids,
)
from tests.contract.providers.lightsms.member import SERVER_MOMENT
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import WireServer, answer, body_of

SILENT = InDoubt("the answer says nothing of this phone")
UNREADABLE = InDoubt("the answer's error code cannot be read")
NO_ID = InDoubt("the answer says taken and gives no id")


def test_the_documented_answer() -> None:
    document = {
        phone[1:]: {"error": "0", "id_sms": f"409211251034838096000{at}", "cost": "0.0144", "count_sms": "1"}
        for at, phone in enumerate(PHONES, 1)
    }
    assert read_answer(body_of(document), PHONES) == [
        Accepted(f"409211251034838096000{at}", Decimal("0.0144"), 1) for at in (1, 2, 3)
    ]


def test_numbers_without_quotes_keep_all_their_digits() -> None:
    entry = b'{"error": 0, "id_sms": 4092112510348380960001, "cost": 1.000000000000000001, "count_sms": 3}'
    body = b'{"37061234567": %s}' % entry
    (reading,) = read_answer(body, PHONES[:1])
    assert reading == Accepted("4092112510348380960001", Decimal("1.000000000000000001"), 3)


def test_a_partial_failure_is_read_phone_by_phone() -> None:
    """The fixture of INTIS: mixed, unquoted, with more keys, and only `error` where it failed."""
    document = {
        "37063456789": {"error": 31},
        "37061234567": {**TAKEN, "error": 0, "cost": 1, "sender": "s", "network": "n", "ported": 0},
        "37062345678": {"error": "32"},
        "37069999999": {"error": 0, "id_sms": "1"},
    }
    assert read_answer(body_of(document), PHONES) == [
        Accepted(ID, Decimal(1), 1),
        ErrorCode("32"),
        ErrorCode("31"),
    ]


async def test_trouble_and_retry_in_the_middle_are_of_that_phone_alone(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    provider = make()
    document = {
        "37061200001": TAKEN,
        "37061200002": {"error": 32},
        "37061200003": {"error": 6},
        "37061200004": {"error": 14},
        "37061200005": {"error": "000"},
        "37061200006": {"error": 6, "id_sms": ID},
    }
    server.script.append(answer(body_of(document)))
    assert await handed_over(provider, 7) == [
        ACCEPTED,
        AccountTrouble("32", "not enough money"),
        NotSent(CODES["6"][1], retry_at_once=True),
        NotSent(CODES["14"][1], retry_at_once=True),
        Throttled(None, "service unavailable"),
        InDoubt("refused with code 6, and yet given an id"),
        SILENT,
    ]


@pytest.mark.parametrize("key", ["37061234567", "+37061234567", "0037061234567", " 370 612 34567"])
def test_a_phone_is_known_by_its_digits(key: str) -> None:
    document = {"37062345678": {"error": 16}, key: TAKEN}
    assert read_answer(body_of(document), PHONES[:2]) == [ACCEPTED, ErrorCode("16")]


def test_one_message_and_one_entry_belong_together() -> None:
    assert read_answer(body_of({"861234567": TAKEN}), PHONES[:1]) == [ACCEPTED]
    assert read_answer(body_of({"861234567": TAKEN, "note": "x"}), PHONES[:1]) == [ACCEPTED]
    assert read_answer(body_of({"861234567": TAKEN}), PHONES[:2]) == [SILENT] * 2
    assert read_answer(body_of({"861234567": TAKEN, "861234568": TAKEN}), PHONES[:1]) == [SILENT]


@pytest.mark.parametrize("code", ["1", "2", "6", "7", "14", "24"])
def test_what_speaks_of_the_request_speaks_of_all(code: str) -> None:
    for key in ("37061234567", "37061234567,37062345678,37063456789", "0"):
        assert read_answer(body_of({key: {"error": code}}), PHONES) == [ErrorCode(code)] * 3
    mixed = {"37061234567": {"error": code}, "37062345678": TAKEN}
    assert read_answer(body_of(mixed), PHONES) == [ErrorCode(code), ACCEPTED, SILENT]
    with_id = {"37061234567": {"error": code, "id_sms": ID}}
    assert read_answer(body_of(with_id), PHONES) == [ErrorCode(code, True), SILENT, SILENT]


def test_what_speaks_of_a_phone_speaks_of_no_other() -> None:
    assert read_answer(body_of({"37061234567": {"error": 16}}), PHONES) == [ErrorCode("16"), SILENT, SILENT]


@pytest.mark.parametrize(
    ("entry", "reading"),
    [
        ({"error": "0"}, NO_ID),
        ({"error": 0, "id_sms": ""}, NO_ID),
        ({"error": 0, "id_sms": None}, NO_ID),
        ({"error": 0, "id_sms": 0}, NO_ID),
        ({"error": 0, "id_sms": "1,2"}, NO_ID),
        ({"error": 0, "id_sms": "x" * 65}, NO_ID),
        ({"error": "00", "id_sms": ID}, UNREADABLE),
        ({"error": "0.0", "id_sms": ID}, UNREADABLE),
        ({"error": None, "id_sms": ID}, UNREADABLE),
        ({"error": False, "id_sms": ID}, UNREADABLE),
        ({"error": "OK", "id_sms": ID}, UNREADABLE),
        ({"error": -1}, UNREADABLE),
        ({"error": "٣"}, UNREADABLE),
        ({"error": "06"}, ErrorCode("6")),
        ({"id_sms": ID}, SILENT),
        ("16", SILENT),
        ({"error": 0, "id_sms": ID, "cost": "cheap", "count_sms": "1.5"}, Accepted(ID)),
        ({"error": 0, "id_sms": ID, "cost": "9" * 40, "count_sms": "-1"}, Accepted(ID)),
    ],
)
def test_what_an_entry_says(entry: object, reading: object) -> None:
    document = {"37061234567": entry, "37062345678": {**TAKEN, "id_sms": "5"}}
    assert read_answer(body_of(document), PHONES[:2]) == [reading, replace(ACCEPTED, provider_message_id="5")]


def test_one_phone_twice_in_other_clothes() -> None:
    taken_last = {"+37061234567": {"error": 6}, "37061234567": TAKEN}
    assert read_answer(body_of(taken_last), PHONES[:1]) == [ACCEPTED]
    taken_first = {
        "37061234567": TAKEN,
        "+37061234567": {"error": 6},
        "0037061234567": TAKEN | {"id_sms": "2"},
    }
    assert read_answer(body_of(taken_first), PHONES[:1]) == [ACCEPTED]
    agreed = {"+37061234567": {"error": 16}, "37061234567": {"error": "16"}}
    assert read_answer(body_of(agreed), PHONES[:1]) == [ErrorCode("16")]
    torn = {"+37061234567": {"error": 6}, "37061234567": {"error": 16}}
    assert read_answer(body_of(torn), PHONES[:1]) == [InDoubt("the answer contradicts itself")]
    same_key = b'{"37061234567":{"error":0,"id_sms":"1"},"37061234567":{"error":6}}'
    assert read_answer(same_key, PHONES[:1]) == [InDoubt("the answer cannot be read")]


def test_a_code_is_common_where_every_id_has_it() -> None:
    assert common_code({"1": {"error": "6"}, "2": {"error": "6"}}) == "6"
    assert common_code({"1": {"error": "6"}, "2": {"error": "7"}}) is None
    assert common_code({"1": {"error": "6"}, "2": "delivered"}) is None
    assert common_code({"1": {"error": "18"}}) is None
    assert common_code({}) is common_code([]) is None


@pytest.mark.parametrize("document", [b"0", {"error": 0}, {"error": "0"}, b'"0"'])
def test_success_without_ids_is_in_doubt(document: object) -> None:
    assert read_answer(body_of(document), PHONES) == [InDoubt("the answer says taken and gives no ids")] * 3


def test_entries_win_over_an_error_at_the_top() -> None:
    document = {"error": 6, "37061234567": TAKEN}
    assert read_answer(body_of(document), PHONES[:2]) == [ACCEPTED, SILENT]


@pytest.mark.parametrize(
    "body",
    [b"NaN", b"[1, 2", b"\xff\xfe", b'{"a": Infinity}', b"[" * 10**6, b"1732809600", b'{"error": 1000}'],
)
def test_what_cannot_be_read_is_in_doubt(body: bytes) -> None:
    assert all(isinstance(reading, InDoubt) for reading in read_answer(body, PHONES))


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("before", [BOM, BOM + BOM, b"\n" + BOM + b"\r\n" + BOM])
def test_a_byte_order_mark_is_no_obstacle(before: bytes) -> None:
    """A PHP script writes one for each file it is made of."""
    assert read_answer(before + body_of({"37061234567": TAKEN}), PHONES[:1]) == [ACCEPTED]
    assert read_answer(before + b"16\n", PHONES[:1]) == [ErrorCode("16")]


async def test_a_byte_order_mark_stands_before_any_answer(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    server.free[TIMESTAMP] = BOM + f"{SERVER_MOMENT}\n".encode()
    server.free[STATUS] = BOM + body_of({ids(1)[0]: "delivered"})
    server.free["/external/get/balance.php"] = BOM + body_of({"money": " 4 ", "currency": "EUR"})
    provider = make()
    assert (await provider.ask(ids(1), at_once)).receipts == [
        Receipt(ids(1)[0], MessageState.DELIVERED, "delivered")
    ]
    assert await provider.balance() == Money(Decimal(4), "EUR")


def test_an_answer_as_php_writes_it() -> None:
    entry = b'{"error": 0, "id_sms": " 4092112510348380960001 ", "cost": 1.44e-5, "count_sms": "1 "}'
    assert read_answer(b'{"37061234567": %s}' % entry, PHONES[:1]) == [Accepted(ID, Decimal("0.0000144"), 1)]
    assert read_answer(b'[{"error": 32}]', PHONES) == [ErrorCode("32")] * 3  # an object with the key 0
    assert read_answer(b'[{"error": 16, "phone": "37061234567"}]', PHONES) == [SILENT] * 3
    assert read_answer(b"[]", PHONES) == [SILENT] * 3


@pytest.mark.parametrize(
    "named", [b"4.09e21", b'"4.0921125103484E21"', b'"4.09e+21"', b"4.0", b'"4."', b"1e5", b"true", b"-1"]
)
def test_an_id_that_a_float_destroyed_is_in_doubt(named: bytes) -> None:
    body = b'{"37061234567": {"error": 0, "id_sms": %s}}' % named
    assert read_answer(body, PHONES[:1]) == [NO_ID]


def test_one_id_for_two_phones_is_in_doubt_for_both() -> None:
    same = {"37061234567": TAKEN, "37062345678": {**TAKEN, "cost": 1}, "37063456789": {**TAKEN, "id_sms": 7}}
    assert read_answer(body_of(same), PHONES) == [
        *[InDoubt("the answer gives one id to several phones")] * 2,
        Accepted("7", Decimal("0.0144"), 1),
    ]
    together = {"37061234567,37062345678": TAKEN}
    assert all(isinstance(each, InDoubt) for each in read_answer(body_of(together), PHONES))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["0", "000", "6", "14", "", ID, "1,2"])
    | st.text(max_size=8)
)
ENTRIES = VALUES | st.dictionaries(st.sampled_from(["error", "id_sms", "cost", "count_sms", "x"]), VALUES)
KEYS = st.sampled_from([*(phone[1:] for phone in PHONES), *PHONES, "", "error", "37069999999"]) | st.text(
    max_size=6
)


@given(document=st.dictionaries(KEYS, ENTRIES, max_size=6) | st.lists(ENTRIES, max_size=3) | VALUES)
def test_nobody_is_accepted_who_is_not_in_the_answer(document: object) -> None:
    readings = read_answer(json.dumps(document).encode(), PHONES)
    assert len(readings) == len(PHONES)
    for phone, reading in zip(PHONES, readings, strict=True):
        if isinstance(reading, Accepted):
            assert isinstance(document, dict)
            own = [entry for key, entry in document.items() if phone[1:] in key]
            assert reading.provider_message_id in {
                str(entry.get("id_sms")) for entry in own if isinstance(entry, dict)
            }


@given(body=st.binary(max_size=60), ids=st.lists(st.text(max_size=4), max_size=3))
def test_no_bytes_break_the_readers(body: bytes, ids: list[str]) -> None:
    read_answer(body, PHONES)
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    assert len(read_statuses(document, ids)) <= len(ids)
