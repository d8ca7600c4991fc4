"""seven.io at hand-over: the request's bytes, the cutting into requests, every code in every form."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import CODES, LOCKED, STATUSES, Means, Refusal, read_answer
from campaigns.providers.seven.journal import shared_part
from campaigns.providers.wire import Wire
from tests.contract.providers.member_seven import API_KEY, SEND, SIGNING_KEY, SevenMember, entry, sent
from tests.contract.providers.members import SENDER, TEXT, messages
from tests.contract.providers.wire_server import WireServer, answer

PHONES = ["+37061234567", "+37062345678", "+37063456789"]
BATCH = "0123456789abcdef0123456789abcdef-7"
ID = "77229135982"
ACCEPTED = Accepted(ID, Decimal("0.075"), 1)
ALONE = "of a request with several"


class Hands:
    """A clock a test moves by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def make(server: WireServer, wire: Wire, hands: Hands) -> Callable[..., Seven]:
    def made(**more: Any) -> Seven:
        return SevenMember().make(server, wire, **{"monotonic": lambda: hands.monotonic, **more})

    return made


async def hand_over(provider: Seven, request: Sequence[OutboundMessage]) -> list[Outcome]:
    return await provider.hand_over(request, SENDER, asyncio.get_running_loop().time() + 5)


def of_batch(count: int, text: str = TEXT) -> list[OutboundMessage]:
    return [OutboundMessage(f"{BATCH}-{at}", f"+370612{at:05}", text) for at in range(count)]


def body_of(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


# --- what goes out ----------------------------------------------------------------------------------


async def test_a_request_is_the_documented_form(make: Callable[..., Seven], server: WireServer) -> None:
    text = "a+b & c=d #1 100% „ačiū“ \n 😀 ?/,"
    server.script.append(answer(b"{}"))
    await hand_over(make(), of_batch(2, text))
    (seen,) = server.paid
    assert (seen.method, seen.target) == ("POST", SEND)
    assert seen.headers["x-api-key"] == API_KEY
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in seen.headers
    assert seen.body.startswith(b"to=37061200000,37061200001&text=a%2Bb+%26+c%3Dd+%231+100%25+")
    assert dict(parse_qsl(seen.body.decode(), keep_blank_values=True, strict_parsing=True)) == {
        "to": "37061200000,37061200001",
        "text": text,
        "from": SENDER,
        "foreign_id": BATCH,
    }


@pytest.mark.parametrize(
    ("span", "minutes"),
    [(timedelta(hours=1), "60"), (timedelta(seconds=10), "1"), (timedelta(days=2), None)],
)
async def test_a_validity_below_their_own_is_passed_on(
    make: Callable[..., Seven], server: WireServer, span: timedelta, minutes: str | None
) -> None:
    """In whole minutes, 48 hours where nothing is said (DOCS sms)."""
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    server.script.append(answer(b"{}"))
    messages = [replace(message, valid_until=now + span) for message in of_batch(2)]
    await hand_over(make(clock=now.timestamp), messages)
    assert dict(parse_qsl(server.paid[0].body.decode())).get("ttl") == minutes


async def test_a_message_alone_bears_its_whole_reference(
    make: Callable[..., Seven], server: WireServer
) -> None:
    server.script.append(answer(b"{}"))
    await hand_over(make(), of_batch(1))
    assert dict(parse_qsl(server.paid[0].body.decode()))["foreign_id"] == f"{BATCH}-0"


@given(
    given_messages=st.lists(
        st.builds(
            OutboundMessage,
            st.tuples(st.sampled_from(["a" * 32 + "-1", "b" * 32 + "-2"]), st.integers(0, 99)).map(
                lambda place: f"{place[0]}-{place[1]}"
            ),
            st.integers(10**7, 10**14).map(lambda number: f"+{number}") | st.sampled_from(PHONES),
            st.sampled_from(["a", "č" * 300]) | st.text(max_size=2),
        ),
        max_size=60,
    ),
    most=st.integers(1, 7),
)
async def test_requests_hold_one_text_one_batch_and_no_phone_twice(
    given_messages: list[OutboundMessage], most: int
) -> None:
    wire = Wire()
    try:
        provider = Seven(name="main", api_key=API_KEY, wire=wire, max_recipients_per_request=most)
        requests = provider.requests(given_messages, SENDER)
        for request in requests:
            assert 0 < len(request) <= most
            assert len({(m.text, shared_part(m.message_ref)) for m in request}) == 1
            assert len({message.phone for message in request}) == len(request)
        handed = [id(message) for request in requests for message in request]
        assert sorted(handed) == sorted(map(id, given_messages))
    finally:
        await wire.close()


async def test_texts_keep_together_and_in_order(make: Callable[..., Seven]) -> None:
    one, two, three = of_batch(3, "a")
    other = of_batch(1, "b")[0]
    assert make().requests([one, other, two, three], SENDER) == [[one, two, three], [other]]
    assert [len(request) for request in make().requests(messages(250), SENDER)] == [100, 100, 50]


async def test_what_cannot_go_out_never_touches_the_wire(
    make: Callable[..., Seven], server: WireServer
) -> None:
    provider = make()
    assert await hand_over(provider, []) == []
    too_long = CampaignTrouble("text_too_long", "the text is longer than 1520 characters", "text")
    assert await hand_over(provider, of_batch(2, "x" * 1521)) == [too_long] * 2
    torn = Rejected("not_unicode", "text or sender cannot be written as UTF-8")
    assert await hand_over(provider, of_batch(2, "half a pair \ud83d")) == [torn] * 2
    wrong = NotSent("a request holds one text, one batch and no phone twice")
    assert await hand_over(provider, [of_batch(1, "a")[0], of_batch(2, "b")[1]]) == [wrong] * 2
    assert await hand_over(provider, of_batch(1) * 2) == [wrong] * 2
    of_two_batches = [*of_batch(1), OutboundMessage("f" * 32 + "-1-1", PHONES[0], TEXT)]
    assert await hand_over(provider, of_two_batches) == [wrong] * 2
    for ref in ("x" * 65, "a b", "ačiū", "", "a\n"):
        unknown = await hand_over(provider, [OutboundMessage(ref, PHONES[0], TEXT)])
        assert unknown == [Rejected("foreign_id", "seven.io does not take this message's reference")]
    assert not server.seen


async def test_the_longest_text_goes_out_and_its_answer_comes_back(
    make: Callable[..., Seven], server: WireServer
) -> None:
    request = of_batch(100, "😀" * 1520)
    entries = [entry(m.phone[1:], f"7722913{at:04}", text=m.text) for at, m in enumerate(request)]
    body = json.dumps(sent(*entries)).encode()
    assert len(body) > 1_800_000  # JSON in escapes, as PHP writes it
    server.script.append(answer(body))
    outcomes = await hand_over(make(), request)
    assert [o.provider_message_id for o in outcomes if isinstance(o, Accepted)] == [e["id"] for e in entries]


@pytest.mark.parametrize(
    "wrong", [{"api_key": ""}, {"api_key": "a b"}, {"api_key": "raktas ž"}, {"api_key": "a\r\nb: c"}]
)
async def test_a_key_that_no_header_carries_is_refused(make: Callable[..., Seven], wrong: Any) -> None:
    with pytest.raises(ValueError, match="api_key must be printable ASCII"):
        make(**wrong)
    with pytest.raises(ValueError, match="not blank"):
        make(signing_key=" \n")


async def test_what_an_account_says_of_itself(make: Callable[..., Seven]) -> None:
    provider = make(concurrency=4, timeout_seconds=7.5)
    assert (provider.name, provider.traits.concurrency, provider.traits.timeout_seconds) == ("main", 4, 7.5)
    assert provider.traits.settles_doubt_after_seconds == 120
    assert repr(provider) == "Seven(name='main')"
    assert make().traits.concurrency == 1
    with pytest.raises(ProviderRefused, match="no statistics by day and state"):
        await provider.statistics("2025-01")
    assert SIGNING_KEY not in repr(vars(provider)["_questions"])


# --- every code -------------------------------------------------------------------------------------

CAMPAIGN: dict[int, Literal["sender", "text"]] = {
    **dict.fromkeys((201, 306), "sender"),
    **dict.fromkeys((302, 303, 305, 401), "text"),
}
ACCOUNT = {300, 301, 308, 400, 500, 802, 900, 901, 902, 903}
FAILED = {304, 307, 801, 803}
ONE_NUMBER = {202, 403}
DOUBT = {600, 700}
TAKEN = {100, 101}
ALL = set(CAMPAIGN) | ACCOUNT | FAILED | ONE_NUMBER | DOUBT | TAKEN | {11, 402}
DOCUMENTED = {11, 100, 101, 201, 202, *range(300, 309), 400, 401, 402, 403, 500, 600, 700}
DOCUMENTED |= {801, 802, 803, 900, 901, 902, 903}


def expected(code: int, count: int = 1) -> Outcome:
    """What a code that stands for a whole request comes to."""
    word, words = str(code), CODES[str(code)][1] if str(code) in CODES else ""
    one = Rejected(word, words) if count == 1 else NotSent(f"{words}, {ALONE}", retry_at_once=True)
    each: dict[int, Outcome] = {
        **dict.fromkeys(TAKEN, InDoubt("the answer says taken and gives no ids")),
        **dict.fromkeys(ONE_NUMBER, one),
        **{each: CampaignTrouble(word, words, about) for each, about in CAMPAIGN.items()},
        **dict.fromkeys(ACCOUNT, AccountTrouble(word, words)),
        **dict.fromkeys(FAILED, Failed(word, words)),
        **dict.fromkeys(DOUBT, InDoubt(f"code {word}, {words}")),
        11: Throttled(None, words),
        402: LOCKED,
    }
    return each.get(code, InDoubt(f"code {word}, which their documents do not hold"))


def test_the_tables_hold_every_code_and_name_their_source() -> None:
    assert set(CODES) == {str(code) for code in DOCUMENTED}
    assert ALL == DOCUMENTED
    assert all(reason and source for _, reason, source in CODES.values())
    assert all(source for _, source in STATUSES.values())
    assert set(STATUSES) == {
        "DELIVERED",
        "NOTDELIVERED",
        "BUFFERED",
        "TRANSMITTED",
        "ACCEPTED",
        "EXPIRED",
        "REJECTED",
        "FAILED",
        "UNKNOWN",
    }
    assert STATUSES["UNKNOWN"][0] is None


@pytest.mark.parametrize("code", [*sorted(DOCUMENTED), 12, 999])
async def test_every_code_in_every_form(make: Callable[..., Seven], server: WireServer, code: int) -> None:
    for count in (1, 2):
        for document in (
            f'"{code}"'.encode(),
            str(code).encode(),
            f"\xef\xbb\xbf{code}\r\n".encode("latin-1"),
            {"code": code},
            {"code": str(code)},
            {"error_code": code},
            {"success": False, "error": str(code)},
            {"success": str(code), "messages": []},
            {"success": f" {code} ", "code": code, "messages": None},
        ):
            server.script.append(answer(body_of(document)))
            assert await hand_over(make(), of_batch(count)) == [expected(code, count)] * count, document


async def test_closed_says_when_to_come_back(make: Callable[..., Seven], server: WireServer) -> None:
    server.script.append(answer(b'"11"', headers={"Retry-After": "5"}))
    assert await hand_over(make(), of_batch(2)) == [Throttled(5.0, "carrier temporarily unavailable")] * 2


@pytest.mark.parametrize("status", [400, 402, 406, 409, 422, 451, 301, 500, 501, 502, 504])
async def test_a_status_nobody_documents_is_in_doubt(
    make: Callable[..., Seven], server: WireServer, status: int
) -> None:
    server.script.append(answer(body_of(sent(entry("37061200000", ID))), status=status))
    assert await hand_over(make(), of_batch(1)) == [InDoubt(f"HTTP {status}")]


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
async def test_a_wrong_address_holds_the_account(
    make: Callable[..., Seven], server: WireServer, status: int
) -> None:
    server.script.append(answer(b"<html>", status=status))
    assert await hand_over(make(), of_batch(1)) == [
        AccountTrouble(f"http_{status}", "the address or the access is wrong")
    ]


@pytest.mark.parametrize("act", [answer(b'"202"'), answer(b'{"code":403}'), answer(b"", status=413)])
async def test_a_request_refused_for_one_number_is_cut_to_single_messages_for_a_minute(
    make: Callable[..., Seven], server: WireServer, hands: Hands, act: Any
) -> None:
    provider = make()
    request = of_batch(3)
    server.script.append(act)
    outcomes = await hand_over(provider, request)
    assert all(isinstance(outcome, NotSent) and outcome.retry_at_once for outcome in outcomes)
    assert provider.requests(request, SENDER) == [[message] for message in request]

    server.script.append(act)
    (alone,) = await hand_over(provider, request[:1])
    assert isinstance(alone, Rejected)
    hands.monotonic += 59
    assert len(provider.requests(request, SENDER)) == 3
    hands.monotonic += 2
    assert provider.requests(request, SENDER) == [request]


# --- every form of answer ---------------------------------------------------------------------------

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
    assert reading == Refusal(str(code), means, CODES[str(code)][1])


def test_refused_with_an_id_it_is_never_sent_again() -> None:
    """Where a refused sender holds the campaign the message is sent again: not where it may be theirs."""
    document = sent(entry("37061234567", "77229135982", success=False, error="201"), success="101")
    assert read_answer(body_of(document), PHONES[:1]) == [Refusal("201", Means.REJECTED, "invalid sender")]


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
    assert read_answer(body_of(agreed), PHONES[:1]) == [Refusal("202", Means.REJECTED, "invalid recipient")]
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
