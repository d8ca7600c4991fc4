"""LightSMS: signature, clock, cutting into requests, every code and every form of answer."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    CampaignTrouble,
    DayStatistics,
    Failed,
    InDoubt,
    Money,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Receipt,
    Rejected,
    StopListEntry,
    Throttled,
)
from campaigns.domain.states import MessageState
from campaigns.providers.lightsms.adapter import LightSms, signature
from campaigns.providers.lightsms.answers import (
    CODES,
    STATUSES,
    Refusal,
    common_code,
    read_answer,
    read_statistics,
    read_statuses,
)
from campaigns.providers.wire import Wire
from tests.contract.providers.member_lightsms import API_KEY, LOGIN, SERVER_MOMENT, LightSmsMember
from tests.contract.providers.members import SENDER, TEXT, messages
from tests.contract.providers.wire_server import Seen, WireServer, answer, answer_when, cut
from tests.waiting import until

PHONES = ["+37061234567", "+37062345678", "+37063456789"]
ID = "4092112510348380960001"
TAKEN = {"error": "0", "id_sms": ID, "cost": "0.0144", "count_sms": "1"}
ACCEPTED = Accepted(ID, Decimal("0.0144"), 1)
TIMESTAMP = "/external/get/timestamp.php"
STATUS = "/external/get/status.php"


class Hands:
    """Two clocks a test moves by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = float(SERVER_MOMENT)

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def make(server: WireServer, wire: Wire, hands: Hands) -> Callable[..., LightSms]:
    def made(**more: Any) -> LightSms:
        given_clocks = {"clock": lambda: hands.wall, "monotonic": lambda: hands.monotonic}
        return LightSmsMember().make(server, wire, **{**given_clocks, **more})

    return made


async def hand_over(provider: LightSms, request: Sequence[OutboundMessage]) -> list[Outcome]:
    return await provider.hand_over(request, SENDER, asyncio.get_running_loop().time() + 5)


async def handed_over(provider: LightSms, count: int = 1) -> list[Outcome]:
    await provider.prepare()
    return await hand_over(provider, messages(count))


async def at_once() -> None:
    """The pace allows it."""


def body_of(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def signed_rightly(seen: Seen) -> bool:
    query = seen.query
    return query.pop("signature") == signature(query, API_KEY)


# --- signature and URL ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {
                "login": "YourLogin",
                "phone": "37061234567",
                "return": "json",
                "sender": "YourSender",
                "text": "Hello!",
                "timestamp": "1732809600",
            },
            "01da2ee50f12c8e622cb096549270ff8",
        ),
        (
            {
                "timestamp": "1732809600",
                "text": "Labas, ačiū! 😀",
                "sendingTime": "2024-05-30 14:06",
                "sender": "YourSender",
                "return": "json",
                "phone": "37061234567,37062345678",
                "login": "YourLogin",
            },
            "683ba571b4f1f1d4427b63eb4233d922",
        ),
        (
            {
                "return": "json",
                "login": "YourLogin",
                "state": "4091297100348873330001,4091297100348880230003",
                "timestamp": "1732809600",
            },
            "5174355d8e299b6c8595d1131e68f8dc",
        ),
    ],
)
def test_signature_vectors(parameters: dict[str, str], expected: str) -> None:
    assert signature(parameters, "your_api_key") == expected


async def test_what_is_signed_is_what_arrives(make: Callable[..., LightSms], server: WireServer) -> None:
    provider = make()
    text = "a+b & c=d #1 100% „ačiū“ \n 😀 ?/"
    server.script.append(answer(b"{}"))
    await provider.prepare()
    await hand_over(provider, messages(3, text))
    (seen,) = server.paid
    assert (seen.method, seen.path) == ("GET", "/external/get/send.php")
    assert seen.query == {
        "login": LOGIN,
        "phone": "37061200001,37061200002,37061200003",
        "text": text,
        "sender": SENDER,
        "return": "json",
        "timestamp": str(SERVER_MOMENT),
        "signature": seen.query["signature"],
    }
    assert signed_rightly(seen)
    assert API_KEY not in seen.target


# --- their clock ------------------------------------------------------------------------------------


async def test_the_timestamp_is_theirs_at_the_last_moment(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    hands.wall -= 5000  # ours is wrong, and stays so
    provider = make()
    await provider.prepare()
    hands.pass_by(120.7)
    server.script.append(answer(b"{}"))
    await hand_over(provider, messages(1))
    assert server.paid[0].query["timestamp"] == str(SERVER_MOMENT + 120)


async def test_the_timestamp_is_never_ahead_of_theirs(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    def slowly(_: Seen) -> bytes:
        hands.pass_by(2.9)  # the answer was made before this
        return f" {SERVER_MOMENT}\n".encode()

    server.free[TIMESTAMP] = slowly
    provider = make()
    await provider.prepare()
    server.script.append(answer(b"{}"))
    await hand_over(provider, messages(1))
    assert server.paid[0].query["timestamp"] == str(SERVER_MOMENT)


async def test_the_clock_is_learned_again_when_old_or_when_ours_was_set(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    provider = make()

    async def questions_after(seconds: float = 0.0, wall_jumps: float = 0.0) -> int:
        hands.pass_by(seconds)
        hands.wall += wall_jumps
        before = len(server.seen)
        await provider.prepare()
        return len(server.seen) - before

    assert await questions_after() == 1
    assert await questions_after(299) == 0
    assert await questions_after(2) == 1
    assert await questions_after(wall_jumps=1.5) == 0
    assert await questions_after(wall_jumps=3600) == 1
    assert await questions_after() == 0


async def test_many_who_prepare_ask_once(make: Callable[..., LightSms], server: WireServer) -> None:
    provider = make()
    await asyncio.gather(*(provider.prepare() for _ in range(20)))
    assert len(server.seen) == 1


async def test_many_who_prepare_fail_at_once(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    provider = make()
    release = asyncio.Event()
    del server.free[TIMESTAMP]
    server.script.append(answer_when(release.is_set, b"<html>"))
    tasks = [asyncio.create_task(provider.prepare()) for _ in range(20)]
    await until(lambda: len(server.seen) == 1)
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["LightSMS's clock cannot be read"] * 20
    assert len(server.seen) == 1
    hands.pass_by(0.1)
    server.free[TIMESTAMP] = str(SERVER_MOMENT).encode()
    await provider.prepare()  # a failure of before is not an answer to who asks now


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (answer(b"soon"), "LightSMS's clock cannot be read"),
        (answer(b""), "LightSMS's clock cannot be read"),
        (answer(b"1732809600", status=500), "LightSMS answered HTTP 500"),
        (answer(b"1" * 5000), "LightSMS did not answer: the answer is larger than 4096 bytes"),
    ],
)
async def test_a_clock_that_cannot_be_learned_is_refused(
    make: Callable[..., LightSms], server: WireServer, act: Any, sentence: str
) -> None:
    provider = make()
    del server.free[TIMESTAMP]
    server.script.append(act)
    with pytest.raises(ProviderRefused) as refused:
        await provider.prepare()
    assert str(refused.value) == sentence
    assert await hand_over(provider, messages(2)) == [NotSent("LightSMS's clock must be learned first")] * 2


async def test_a_clock_learned_too_slowly_is_refused(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    def slowly(_: Seen) -> bytes:
        hands.pass_by(3.1)
        return str(SERVER_MOMENT).encode()

    provider = make()
    server.free[TIMESTAMP] = slowly
    with pytest.raises(ProviderRefused, match="too slowly"):
        await provider.prepare()


@pytest.mark.parametrize("code", ["6", "24"])
async def test_a_refused_signature_is_mended_once_and_then_trouble(
    make: Callable[..., LightSms], server: WireServer, code: str
) -> None:
    provider = make()
    for _ in range(3):
        server.script.append(answer(body_of({"error": code})))
    assert await handed_over(provider, 3) == [NotSent(CODES[code][1], retry_at_once=True)] * 3
    doubted = await hand_over(provider, messages(3))
    assert doubted == [NotSent("LightSMS's clock must be learned first", retry_at_once=True)] * 3
    for _ in range(2):
        trouble = await handed_over(provider, 3)
        assert trouble == [AccountTrouble(code, f"{CODES[code][1]}, also by a clock learned anew")] * 3
    assert [seen.path for seen in server.seen] == [TIMESTAMP, "/external/get/send.php"] * 3

    server.script.extend([answer(body_of({"37061200001": TAKEN})), answer(body_of({"error": code}))])
    assert await handed_over(provider) == [ACCEPTED]
    assert await handed_over(provider) == [NotSent(CODES[code][1], retry_at_once=True)]  # believed since


async def test_a_late_refusal_of_an_old_signature_says_nothing_of_the_new_clock(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    mended = [NotSent(CODES["6"][1], retry_at_once=True)]
    provider = make()
    await provider.prepare()
    release = asyncio.Event()
    server.script.append(answer_when(release.is_set, body_of({"error": 6})))
    late = asyncio.create_task(hand_over(provider, messages(1)))
    await until(lambda: len(server.paid) == 1)
    server.script.extend([answer(body_of({"error": 6})), answer(body_of({"37061200001": TAKEN}))])
    assert await hand_over(provider, messages(1)) == mended
    assert await handed_over(provider) == [ACCEPTED]

    release.set()
    assert await late == mended
    asked = len(server.seen)
    await provider.prepare()
    assert len(server.seen) == asked  # the clock in use is not doubted
    hands.pass_by(301)
    server.script.append(answer(body_of({"error": 6})))
    assert await handed_over(provider) == mended  # nor is the next one, learned because of its age


# --- cutting into requests --------------------------------------------------------------------------


@given(
    given_messages=st.lists(
        st.builds(
            OutboundMessage,
            st.uuids().map(str),
            st.integers(10**7, 10**14).map(lambda number: f"+{number}") | st.sampled_from(PHONES),
            st.sampled_from(["a", "č" * 300, "x" * 3900, "😀" * 900]) | st.text(max_size=5),
        ),
        max_size=150,
    )
)
async def test_requests_hold_one_text_no_phone_twice_and_fit_a_url(
    given_messages: list[OutboundMessage],
) -> None:
    wire = Wire()
    try:
        provider = LightSms(name="main", login=LOGIN, api_key=API_KEY, wire=wire)
        requests = provider.requests(given_messages, SENDER)
        for request in requests:
            phones = [message.phone for message in request]
            assert 0 < len(request) <= 100
            assert len({message.text for message in request}) == 1
            assert len(set(phones)) == len(phones)
            text = request[0].text.encode(errors="replace").decode()
            joined = ",".join(phone[1:] for phone in phones)
            url = provider._url("send.php", provider._send_parameters(joined, text, SENDER), SERVER_MOMENT)
            assert len(request) == 1 or len(url) <= 4000
        handed = [id(message) for request in requests for message in request]
        assert sorted(handed) == sorted(map(id, given_messages))
    finally:
        await wire.close()


async def test_one_text_fills_requests_to_the_brim(make: Callable[..., LightSms]) -> None:
    assert [len(request) for request in make().requests(messages(250), SENDER)] == [100, 100, 50]
    fewer = make(max_recipients_per_request=50).requests(messages(120), SENDER)
    assert [len(request) for request in fewer] == [50, 50, 20]
    long = make().requests(messages(100, "č" * 500), SENDER)  # 3,000 bytes of URL for the text alone
    assert all(len(request) > 50 for request in long[:-1])
    assert len(long) == 2
    # What the sender's name takes of the URL is counted too.
    assert len(make().requests(messages(100), "č" * 500)) == 2


async def test_texts_keep_together_and_in_order(make: Callable[..., LightSms]) -> None:
    one, two, three = messages(3, "a")
    other = messages(1, "b")[0]
    assert make().requests([one, other, two, three], SENDER) == [[one, two, three], [other]]


@pytest.mark.parametrize("document", [{"error": 14}, {"": {"error": "14"}}, {"37061200001": {"error": "14"}}])
async def test_too_many_recipients_are_halved_down_to_one(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    provider = make()
    await provider.prepare()
    sizes = []
    while True:
        request = provider.requests(messages(100), SENDER)[0]
        sizes.append(len(request))
        server.script.append(answer(body_of(document)))
        outcomes = await hand_over(provider, request)
        if len(request) == 1:
            break
        assert outcomes == [NotSent("too many numbers in the request", retry_at_once=True)] * len(request)
    assert sizes == [100, 50, 25, 12, 6, 3, 1]
    assert outcomes == [Rejected("14", "too many numbers in the request")]
    assert len(provider.requests(messages(100), SENDER)) == 100


async def test_two_that_were_too_many_at_once_are_halved_once(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    provider = make()
    await provider.prepare()
    server.script.extend([answer(body_of({"error": 14}))] * 2)
    await asyncio.gather(*(hand_over(provider, messages(100)) for _ in range(2)))
    assert len(provider.requests(messages(100), SENDER)[0]) == 50


@pytest.mark.parametrize("status", [413, 414, 431])
async def test_a_request_too_long_for_the_server_is_halved(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.extend([answer(status=status), answer(status=status)])
    assert await handed_over(provider, 10) == [NotSent("the request is too long", retry_at_once=True)] * 10
    assert len(provider.requests(messages(10), SENDER)[0]) == 5
    assert await handed_over(provider, 1) == [Rejected(f"http_{status}", "the request is too long")]


async def test_what_cannot_go_out_never_touches_the_wire(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    provider = make()
    await provider.prepare()
    asked = len(server.seen)
    long = messages(1, "😀" * 620)
    assert provider.requests(long, SENDER) == [long]
    assert await hand_over(provider, long) == [
        CampaignTrouble("url_too_long", "the text is too long for one URL", "text")
    ]
    torn = messages(1, "half a pair \ud83d")
    assert provider.requests(torn, SENDER) == [torn]
    refused = await hand_over(provider, torn)
    assert refused == [Rejected("not_unicode", "text or sender cannot be written as UTF-8")]
    wrong = NotSent("a request holds one text and no phone twice")
    assert await hand_over(provider, [*messages(1, "a"), messages(2, "b")[1]]) == [wrong] * 2
    assert await hand_over(provider, messages(1) * 2) == [wrong] * 2
    assert (
        await hand_over(provider, messages(2, "😀" * 620))
        == [NotSent("the request is too long for one URL")] * 2
    )
    assert await hand_over(provider, []) == []
    assert len(server.seen) == asked


async def test_a_signature_that_cannot_leave_in_time_does_not_leave(
    server: WireServer, make: Callable[..., LightSms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the lease: a timestamp is good for ten seconds."""
    provider = make()
    await provider.prepare()
    taken: list[float] = []
    hand_over_by_wire = Wire.hand_over

    async def noted(self: Wire, *args: Any, leave_by: float, **more: Any) -> Any:
        taken.append(leave_by)
        return await hand_over_by_wire(self, *args, leave_by=leave_by, **more)

    monkeypatch.setattr(Wire, "hand_over", noted)
    server.script.extend([answer(b"{}"), answer(b"{}")])
    now = asyncio.get_running_loop().time()
    await provider.hand_over(messages(1), SENDER, now + 600)
    await provider.hand_over(messages(1), SENDER, now + 4)
    assert now + 5 <= taken[0] <= now + 6
    assert taken[1] == now + 4


# --- every code -------------------------------------------------------------------------------------

REJECTED = {4, 13, 16, 27, 31, 33, 34}
OPTED_OUT = {13, 34}
CAMPAIGN: dict[int, Literal["sender", "text"]] = {
    3: "text",
    5: "sender",
    8: "sender",
    9: "sender",
    10: "sender",
    11: "text",
}
ACCOUNT = {1, 2, 7, 32, 35}
ELSEWHERE = {0, 6, 14, 24}  # their own tests


def expected(code: int) -> Outcome:
    words = CODES[str(code)][1] if str(code) in CODES else "a code their documents do not hold"
    if code in REJECTED:
        return Rejected(str(code), words, opted_out=code in OPTED_OUT)
    if code in CAMPAIGN:
        return CampaignTrouble(str(code), words, CAMPAIGN[code])
    return AccountTrouble(str(code), words) if code in ACCOUNT else Failed(str(code), words)


@pytest.mark.parametrize("code", [code for code in (*range(40), 40, 999) if code not in ELSEWHERE])
async def test_every_code_in_every_form(make: Callable[..., LightSms], server: WireServer, code: int) -> None:
    provider = make()
    for document in (
        {"error": code},
        {"error": f" {code} "},
        {"": {"error": code}},
        {"": {"error": str(code)}},
        {"37061200001": {"error": code}, "37061200002": {"error": str(code)}},
        str(code).encode(),
        f'"{code}"\n'.encode(),
    ):
        server.script.append(answer(body_of(document)))
        assert await handed_over(provider, 2) == [expected(code)] * 2, document


async def test_refused_with_an_id_it_is_never_sent_again(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    """Where a refused sender holds the campaign the message is sent again: not where it may be theirs."""
    server.script.append(answer(body_of({"37061200001": {"error": "9", "id_sms": "4092112510348380960001"}})))
    assert await handed_over(make(), 1) == [Rejected("9", "sender name not registered")]


@pytest.mark.parametrize("document", [b"000", b"000\r\n", {"error": "000"}, {"": {"error": "000"}}])
async def test_closed_is_not_success(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    provider = make()
    server.script.append(answer(body_of(document), headers={"Retry-After": "5"}))
    assert await handed_over(provider, 2) == [Throttled(5.0, "service unavailable")] * 2
    server.script.append(answer(body_of(document)))
    assert await handed_over(provider, 2) == [Throttled(None, "service unavailable")] * 2


def test_the_tables_hold_every_code_and_name_their_source() -> None:
    assert set(CODES) == {"000", *map(str, range(40))}
    assert all(reason and source for _, reason, source in CODES.values())
    assert all(source for _, source in STATUSES.values())


@pytest.mark.parametrize("status", [400, 402, 406, 408, 409, 422, 451, 301, 500, 501, 502, 504])
async def test_a_status_nobody_documents_is_in_doubt(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.append(answer(body_of({"37061200001": TAKEN}), status=status))
    assert await handed_over(provider) == [InDoubt(f"HTTP {status}")]


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_a_wrong_address_holds_the_account(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.append(answer(b"<html>", status=status))
    (outcome,) = await handed_over(provider)
    assert isinstance(outcome, AccountTrouble)


# --- every form of answer ---------------------------------------------------------------------------

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
        Refusal("32"),
        Refusal("31"),
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
    assert read_answer(body_of(document), PHONES[:2]) == [ACCEPTED, Refusal("16")]


def test_one_message_and_one_entry_belong_together() -> None:
    assert read_answer(body_of({"861234567": TAKEN}), PHONES[:1]) == [ACCEPTED]
    assert read_answer(body_of({"861234567": TAKEN, "note": "x"}), PHONES[:1]) == [ACCEPTED]
    assert read_answer(body_of({"861234567": TAKEN}), PHONES[:2]) == [SILENT] * 2
    assert read_answer(body_of({"861234567": TAKEN, "861234568": TAKEN}), PHONES[:1]) == [SILENT]


@pytest.mark.parametrize("code", ["1", "2", "6", "7", "14", "24"])
def test_what_speaks_of_the_request_speaks_of_all(code: str) -> None:
    for key in ("37061234567", "37061234567,37062345678,37063456789", "0"):
        assert read_answer(body_of({key: {"error": code}}), PHONES) == [Refusal(code)] * 3
    mixed = {"37061234567": {"error": code}, "37062345678": TAKEN}
    assert read_answer(body_of(mixed), PHONES) == [Refusal(code), ACCEPTED, SILENT]
    with_id = {"37061234567": {"error": code, "id_sms": ID}}
    assert read_answer(body_of(with_id), PHONES) == [Refusal(code, True), SILENT, SILENT]


def test_what_speaks_of_a_phone_speaks_of_no_other() -> None:
    assert read_answer(body_of({"37061234567": {"error": 16}}), PHONES) == [Refusal("16"), SILENT, SILENT]


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
        ({"error": "06"}, Refusal("6")),
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
    assert read_answer(body_of(agreed), PHONES[:1]) == [Refusal("16")]
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
    assert read_answer(before + b"16\n", PHONES[:1]) == [Refusal("16")]


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
    assert read_answer(b'[{"error": 32}]', PHONES) == [Refusal("32")] * 3  # an object with the key 0
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


# --- asking -----------------------------------------------------------------------------------------


def ids(count: int) -> list[str]:
    return [f"40921125103483809{at:05}" for at in range(count)]


def statuses_or_18(bad: set[str]) -> Callable[[Seen], bytes]:
    """A server that answers code 18 to any question that holds an id it does not know."""

    def said(seen: Seen) -> bytes:
        assert signed_rightly(seen)
        asked = seen.query["state"].split(",")
        return body_of({"error": 18} if bad.intersection(asked) else dict.fromkeys(asked, "delivered"))

    return said


async def test_ids_are_asked_for_a_hundred_at_a_time_each_on_its_turn(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    turns = 0

    async def wait_for_pace() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            raise PaceUsedUp(4.0)

    server.free[STATUS] = statuses_or_18(set())
    answers = await make().ask(ids(250), wait_for_pace)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids(200)
    assert answers.retry_after_seconds == 4.0
    questions = [seen for seen in server.seen if seen.path == STATUS]
    assert [len(seen.query["state"].split(",")) for seen in questions] == [100, 100]


async def test_the_turn_comes_before_the_timestamp(
    make: Callable[..., LightSms], server: WireServer, hands: Hands
) -> None:
    async def wait_for_pace() -> None:
        hands.pass_by(30)

    server.free[STATUS] = statuses_or_18(set())
    await make().ask(ids(1), wait_for_pace)
    assert server.seen[-1].query["timestamp"] == str(SERVER_MOMENT + 30)


async def test_words_and_objects_are_read_and_the_rest_is_left_out(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    asked = ids(9)
    said = [
        "DELIVERED",
        {"status": "partly_deliver", "time": "2014-10-05 10:00:00"},
        "",
        "weird\n\x1b[31m" + "x" * 100,
        5,
        None,
        {"state": "sent"},
        ["sent"],
    ]
    document = {**dict(zip(asked, said, strict=False)), "7": "delivered"}
    server.free[STATUS] = body_of(document)
    answers = await make().ask([*asked, asked[0], "no,id"], at_once)
    assert answers.receipts == [
        Receipt(asked[0], MessageState.DELIVERED, "DELIVERED"),
        Receipt(asked[1], MessageState.SENT, "partly_deliver"),
        Receipt(asked[2], MessageState.ACCEPTED, ""),
        Receipt(asked[3], None, ("weird[31m" + "x" * 100)[:64]),
        Receipt(asked[4], None, "5"),
    ]
    assert answers.trouble == "LightSMS's answer cannot be read"  # of two of them
    assert server.seen[-1].query["state"] == ",".join(asked)


@pytest.mark.parametrize(
    "document", [{"error": 18}, b"18", {"": {"error": "18"}}, {ids(1)[0]: {"error": 18}}]
)
async def test_an_unknown_id_alone_is_absent(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.free[STATUS] = body_of(document)
    answers = await make().ask(ids(1), at_once)
    assert (list(answers.receipts), answers.trouble) == ([], None)


STATUS_ID = ids(1)[0]


@pytest.mark.parametrize(
    "document",
    [
        {"statuses": {STATUS_ID: "delivered"}},
        {"response": {"statuses": [{"id_sms": STATUS_ID, "status": "delivered"}]}},
        [{"id_sms": STATUS_ID, "status": "delivered"}],
        [STATUS_ID, "delivered"],
        {"7": "delivered"},
        {STATUS_ID: ["delivered"]},
        {STATUS_ID: {"state": "delivered"}},
        {STATUS_ID: True},
        b'"delivered"',
        b"true",
    ],
)
async def test_statuses_in_a_form_nobody_knows_are_trouble_and_not_silence(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.free[STATUS] = body_of(document)
    assert await make().ask([STATUS_ID], at_once) == Answers([], "LightSMS's answer cannot be read")


@pytest.mark.parametrize(
    "document",
    [[], {}, {STATUS_ID: None}, {STATUS_ID: {"status": None, "time": ""}}, {STATUS_ID: {"error": 18}}],
)
async def test_no_word_yet_is_no_trouble(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    """PHP writes an object without entries as []."""
    server.free[STATUS] = body_of(document)
    assert await make().ask([STATUS_ID, ids(2)[1]], at_once) == Answers([])


async def test_errors_said_id_by_id_need_no_halving(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    unknown, known = ids(2)
    server.script.append(answer(body_of({unknown: {"error": 18}, known: {"error": "18"}})))
    assert await make().ask([unknown, known], at_once) == Answers([])
    server.script.append(answer(body_of({unknown: {"error": 18}, known: "sent"})))
    receipts = [Receipt(known, MessageState.SENT, "sent")]
    assert await make().ask([unknown, known], at_once) == Answers(receipts)


async def test_error_0_is_no_error(make: Callable[..., LightSms], server: WireServer) -> None:
    (asked,) = ids(1)
    for document in ({"error": "0", asked: "sent"}, {asked: {"error": 0, "status": "sent"}}):
        server.script.append(answer(body_of(document)))
        receipts = [Receipt(asked, MessageState.SENT, "sent")]
        assert await make().ask([asked], at_once) == Answers(receipts)


async def test_unknown_ids_are_found_by_halving(make: Callable[..., LightSms], server: WireServer) -> None:
    asked = ids(100)
    bad = {asked[3], asked[77]}
    server.free[STATUS] = statuses_or_18(bad)
    answers = await make().ask(asked, at_once)
    assert {receipt.provider_message_id for receipt in answers.receipts} == set(asked) - bad
    assert answers.trouble is None
    assert len(server.seen) < 40


@pytest.mark.parametrize("good", [0, 99])
async def test_halving_has_a_bound_and_reaches_others_the_next_time(
    make: Callable[..., LightSms], server: WireServer, good: int
) -> None:
    asked = ids(100)
    bad = {each for each in asked if each != asked[good]}
    server.free[STATUS] = statuses_or_18(bad)
    provider = make()
    found = False
    for _ in range(60):
        before = len(server.seen)
        answers = await provider.ask(asked, at_once)
        assert answers.trouble
        assert len(server.seen) - before <= 130
        found = found or bool(answers.receipts)
        if found:
            break
    assert found


@pytest.mark.parametrize(
    ("document", "trouble"),
    [
        ({"error": 7}, "LightSMS refused the question: invalid login (code 7)"),
        ({ids(1)[0]: {"error": "7"}}, "LightSMS refused the question: invalid login (code 7)"),
        (b"000", "LightSMS refused the question: service unavailable (code 000)"),
        (b"", "LightSMS's answer cannot be read"),
    ],
)
async def test_other_errors_are_trouble(
    make: Callable[..., LightSms], server: WireServer, document: object, trouble: str
) -> None:
    server.free[STATUS] = body_of(document)
    answers = await make().ask(ids(1), at_once)
    assert (list(answers.receipts), answers.trouble) == ([], trouble)


async def test_what_was_learned_before_the_trouble_is_kept(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    first, second = ids(2)
    server.script.extend([answer(body_of({first: "sent"})), cut(), cut()])
    answers = await make(max_status_ids_per_request=1).ask([first, second], at_once)
    assert answers.receipts == [Receipt(first, MessageState.SENT, "sent")]
    assert answers.trouble == "LightSMS did not answer: connection cut before the answer was whole"


async def test_a_question_is_signed_anew_once(make: Callable[..., LightSms], server: WireServer) -> None:
    (asked,) = ids(1)
    server.script.extend([answer(body_of({"error": "6"})), answer(body_of({asked: "sent"}))])
    provider = make()
    assert (await provider.ask([asked], at_once)).receipts == [Receipt(asked, MessageState.SENT, "sent")]
    assert [seen.path for seen in server.seen] == [TIMESTAMP, STATUS] * 2

    server.script.extend([answer(body_of({"error": "6"}))] * 2)
    answers = await provider.ask([asked], at_once)
    assert answers.trouble == "LightSMS refused the signature, also by a clock learned anew (code 6 or 24)"
    assert len(server.seen) == 7
    server.script.append(answer(body_of({"error": "6"})))
    (outcome,) = await handed_over(provider)
    assert isinstance(outcome, AccountTrouble)  # a question has tried the new clock already


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
