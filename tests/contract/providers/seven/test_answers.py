"""Every form of seven.io's answers to a send."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import Accepted, AccountTrouble, InDoubt, Rejected, Throttled
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import CODES, LOCKED, ErrorCode, Means, read_answer
from tests.contract.providers.members import SENDER
from tests.contract.providers.seven.codes import ACCOUNT, CAMPAIGN, DOCUMENTED, DOUBT, TAKEN
from tests.contract.providers.seven.documented import ACCEPTED, ID, PHONES, hand_over, of_batch
from tests.contract.providers.seven.member import entry, sent
from tests.contract.providers.wire_server import WireServer, answer, body_of

SILENT = InDoubt("the answer says nothing of this phone")
UNREADABLE = InDoubt("the answer cannot be read")
NO_ID = InDoubt("the answer says taken and gives no id")
CONTRADICTION = InDoubt("the answer contradicts itself")


def numbers() -> list[str]:
    return [phone[1:] for phone in PHONES]


def test_the_documented_answer() -> None:
    document = {
        "success": "100",
        "total_price": 0.075,
        "balance": 593.994,
        "debug": "false",
        "sms_type": "direct",
        "messages": [
            {
                "id": ID,
                "sender": "seven.io",
                "recipient": "37061234567",
                "text": "Hi",
                "encoding": "gsm",
                "label": None,
                "parts": 1,
                "udh": None,
                "is_binary": False,
                "price": 0.075,
                "success": True,
                "error": None,
                "error_text": None,
            }
        ],
    }
    assert read_answer(body_of(document), PHONES[:1]) == [ACCEPTED]


@pytest.mark.parametrize("top", ["100", 100, "101", 101, True, None, "900", "false"])
def test_what_an_entry_says_counts_whatever_stands_above(top: object) -> None:
    document = sent(entry("37061234567", ID), success=top)
    assert read_answer(body_of(document), PHONES[:1]) == [ACCEPTED]


def test_older_answers_have_ids_of_numbers() -> None:
    body = b'{"success":100,"messages":[{"id":9007199254740993123,"recipient":37061234567,"success":true,'
    body += b'"price":"0.075000000000000001","parts":"3"}]}'
    assert read_answer(body, PHONES[:1]) == [
        Accepted("9007199254740993123", Decimal("0.075000000000000001"), 3)
    ]


async def test_a_partial_failure_is_read_number_by_number(
    make: Callable[..., Seven], server: WireServer
) -> None:
    def refused(at: int, error: object, message_id: object = None) -> dict[str, object]:
        text = "37061200001 is no number"
        return entry(f"370612{at:05}", "", id=message_id, success=False, error=error, error_text=text)

    server.script.append(
        answer(
            body_of(
                sent(
                    refused(1, "202"),
                    entry("37061200000", ID),
                    refused(2, 402),
                    refused(3, "600"),
                    refused(4, 500),
                    refused(5, "11"),
                    refused(6, None),
                    refused(7, "E-17"),
                    refused(8, "999"),
                    refused(9, "304"),
                    refused(10, "500", "77229130010"),
                    refused(11, "100"),
                    refused(12, "202", "77229130012"),
                    success="101",
                )
            ),
            headers={"Retry-After": "9"},
        )
    )
    provider = make()
    assert await hand_over(provider, of_batch(14)) == [
        ACCEPTED,
        Rejected("202", "invalid recipient"),
        LOCKED,
        InDoubt("code 600, carrier or sending error"),
        AccountTrouble("500", "not enough money"),
        Throttled(9.0, "carrier temporarily unavailable"),
        Rejected("success_false", "refused without a code"),
        Rejected("success_false", "refused without a code"),
        Rejected("999", "a code their documents do not hold"),
        Rejected("304", "message type missing, or no route"),
        InDoubt("refused with code 500, and yet given an id"),
        CONTRADICTION,
        Rejected("202", "invalid recipient"),
        SILENT,
    ]
    assert len(provider.requests(of_batch(3), SENDER)) == 1  # it said which number: no need to go alone


@pytest.mark.parametrize("code", sorted(DOCUMENTED - TAKEN - DOUBT - ACCOUNT - {11, 402}))
def test_a_documented_code_of_one_message_refuses_that_message(code: int) -> None:
    document = sent(entry("37061234567", "", id=None, success=False, error=str(code)), success="101")
    (reading,) = read_answer(body_of(document), PHONES[:1])
    means = {"sender": Means.SENDER, "text": Means.TEXT, None: Means.REJECTED}[CAMPAIGN.get(code)]
    assert reading == ErrorCode(str(code), means, CODES[str(code)][1])


def test_refused_with_an_id_it_is_never_sent_again() -> None:
    """Where a refused sender holds the campaign the message is sent again: not where it may be theirs."""
    document = sent(entry("37061234567", "77229135982", success=False, error="201"), success="101")
    assert read_answer(body_of(document), PHONES[:1]) == [ErrorCode("201", Means.REJECTED, "invalid sender")]


@pytest.mark.parametrize("recipient", ["37061234567", "+37061234567", "0037061234567", " 370 612-34567"])
def test_a_phone_is_known_by_its_digits(recipient: str) -> None:
    document = sent(entry("37062345678", "2"), entry(recipient, ID), entry("37069999999", "9"))
    assert read_answer(body_of(document), PHONES[:1]) == [ACCEPTED]


@pytest.mark.parametrize("recipient", [None, "", "861234567", True, "37069999999"])
def test_else_by_its_place_where_there_are_as_many(recipient: object) -> None:
    rest = [entry(numbers()[2], "3"), entry(numbers()[1], "2")]
    torn = sent(entry("x", ID, recipient=recipient), *rest)
    assert read_answer(body_of(torn), PHONES) == [
        ACCEPTED,
        Accepted("2", Decimal("0.075"), 1),
        Accepted("3", Decimal("0.075"), 1),
    ]
    assert read_answer(body_of(torn), PHONES[:2])[0] == SILENT
    moved = sent(rest[0], entry("x", ID, recipient=recipient), rest[1])
    assert read_answer(body_of(moved), PHONES)[0] == SILENT  # that place is another's


@pytest.mark.parametrize(
    ("more", "reading"),
    [
        ({"id": None}, NO_ID),
        ({"id": ""}, NO_ID),
        ({"id": 0}, NO_ID),
        ({"id": "1,2"}, NO_ID),
        ({"id": "x" * 65}, NO_ID),
        ({"id": [ID]}, NO_ID),
        ({"id": 7.7e21}, NO_ID),  # what a float left of it
        ({"id": "7.7E10"}, NO_ID),
        ({"id": 77149843739.0}, NO_ID),
        ({"id": f" {ID}\n"}, ACCEPTED),
        ({"success": "true"}, UNREADABLE),
        ({"success": 1}, UNREADABLE),
        ({"success": None}, UNREADABLE),
        ({"success": "100"}, UNREADABLE),
        ({"price": "cheap", "parts": "1.5"}, Accepted(ID)),
        ({"price": None, "parts": -1}, Accepted(ID)),
        ({"price": "9" * 40, "parts": True}, Accepted(ID)),
        ({"error": "600"}, ACCEPTED),
    ],
)
def test_what_an_entry_says(more: dict[str, object], reading: object) -> None:
    document = sent(entry("37061234567", ID, **more), entry("37062345678", "2"))
    assert read_answer(body_of(document), PHONES[:2]) == [reading, Accepted("2", Decimal("0.075"), 1)]


def test_one_phone_twice_in_other_clothes() -> None:
    refused = {"id": None, "success": False}
    taken_last = sent(entry("+37061234567", "", **refused, error="202"), entry("37061234567", ID))
    assert read_answer(body_of(taken_last), PHONES[:1]) == [ACCEPTED]
    agreed = sent(*[entry("37061234567", "", **refused, error="202")] * 2)
    assert read_answer(body_of(agreed), PHONES[:1]) == [ErrorCode("202", Means.REJECTED, "invalid recipient")]
    torn = sent(*(entry("37061234567", "", **refused, error=code) for code in ("202", "403")))
    assert read_answer(body_of(torn), PHONES[:1]) == [CONTRADICTION]


def test_one_id_for_two_messages_is_in_doubt() -> None:
    document = sent(*(entry(number, at) for number, at in zip(numbers(), ("1", "2", "1"), strict=True)))
    twice = InDoubt("the answer gives one id to several messages")
    assert read_answer(body_of(document), PHONES) == [twice, Accepted("2", Decimal("0.075"), 1), twice]


@pytest.mark.parametrize(
    "body",
    [
        b"100\n77229135982",
        b"NaN",
        b"[1, 2",
        b"\xff\xfe",
        b'{"code": Infinity}',
        b"[" * 10**5,
        b"1732809600",
        b"1",
        b"090",
        b'{"code": 1000}',
        b'{"code":"900","code":"100"}',
        b'{"success":"100","code":"900"}',
        b'[{"code":"900"}]',
        b'{"messages":{"37061234567":{"success":true}}}',
        '"٩٠٠"'.encode(),
    ],
)
def test_what_cannot_be_read_is_in_doubt(body: bytes) -> None:
    assert read_answer(body, PHONES) == [UNREADABLE] * 3


def test_entries_that_are_none_are_in_doubt() -> None:
    body = body_of({"success": "100", "messages": ["900", None, 5]})
    assert read_answer(body, PHONES) == [UNREADABLE] * 3
    assert read_answer(body, PHONES[:2]) == [SILENT] * 2


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["100", "900", "402", "", ID, "1,2", *(phone[1:] for phone in PHONES)])
    | st.text(max_size=5)
)
ENTRIES = st.dictionaries(
    st.sampled_from(["id", "recipient", "success", "error", "price", "parts", "x"]), VALUES
)


@given(
    top=st.dictionaries(st.sampled_from(["success", "code", "error_code", "error", "x"]), VALUES),
    entries=st.lists(ENTRIES | VALUES, max_size=5),
)
def test_nobody_is_accepted_who_is_not_in_the_answer(top: dict[str, object], entries: list[object]) -> None:
    readings = read_answer(json.dumps({**top, "messages": entries}).encode(), PHONES)
    assert len(readings) == len(PHONES)
    given_ids = [reading.provider_message_id for reading in readings if isinstance(reading, Accepted)]
    taken = [str(e.get("id")) for e in entries if isinstance(e, dict) and e.get("success") is True]
    assert set(given_ids) <= set(taken)
    assert len(set(given_ids)) == len(given_ids)
