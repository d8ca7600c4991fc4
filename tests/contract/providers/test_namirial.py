"""Namirial: what goes out, every code and word, doubt looked up, lists in pages, callbacks, the probe."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    Doubtful,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    Throttled,
)
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.namirial.answers import (
    CODES,
    STATUSES,
    Means,
    moment,
    newest_first,
    read_list,
    read_refusal,
    read_taken,
)
from campaigns.providers.wire import Wire
from tests.contract.providers import member_namirial as at_namirial
from tests.contract.providers.member_namirial import NamirialMember, id_of, status_object
from tests.contract.providers.members import SENDER, TEXT, messages, words_of
from tests.contract.providers.wire_server import (
    Act,
    WireServer,
    answer,
    answer_when,
    cut,
    drip,
    reset,
)
from tests.waiting import until

ID = "7b8ef313-f1f2-4c4f-bffa-438c287ba9d8"
TAKEN = {"message": "0: Accepted for delivery", "provider": "PROVIDER1", "id": ID}
NOW = datetime(2026, 2, 12, 15, 0, tzinfo=UTC)


class Hand:
    """A clock a test moves by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def make(server: WireServer, wire: Wire, hand: Hand) -> Callable[..., Namirial]:
    def made(**more: Any) -> Namirial:
        return NamirialMember().make(server, wire, **{"monotonic": lambda: hand.monotonic, **more})

    return made


async def at_once() -> None:
    """The pace allows it."""


async def hand_over(provider: Namirial, request: Sequence[OutboundMessage] | None = None) -> Outcome:
    given = messages(1) if request is None else request
    (outcome,) = await provider.hand_over(given, SENDER, asyncio.get_running_loop().time() + 5)
    return outcome


def says(document: object, status: int = 200, **headers: str) -> Act:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return answer(
        body, status=status, headers={name.replace("_", "-"): said for name, said in headers.items()}
    )


def listed(*objects: dict[str, object]) -> Act:
    return says({"messages": [{"message": each} for each in objects]})


def doubtful(*refs: str) -> list[Doubtful]:
    return [Doubtful(ref, "+37061200001", NOW, NOW) for ref in refs]


# --- what goes out ----------------------------------------------------------------------------------


async def test_one_message_goes_out_as_documented(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says(TAKEN))
    assert await hand_over(provider) == Accepted(ID)
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/api/Services/send")
    assert seen.headers["accept"] == seen.headers["content-type"] == "application/json"
    scheme, _, credentials = seen.headers["authorization"].partition(" ")
    assert (scheme, b64decode(credentials)) == ("Basic", b"secret-user:secret-password")
    assert "x-api-key" not in seen.headers
    assert json.loads(seen.body) == {
        "destination": "+37061200001",
        "text": TEXT,
        "reference": {"service": "MARKETING", "action": "CAMPAIGN", "key": "ref-1"},
        "detailed": True,
    }
    assert SENDER.encode() not in seen.body  # their request has no place for it


async def test_a_callback_is_asked_for_only_where_there_is_an_address(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(reference_action=None, username="ėglė", password="p:ą ß")
    url = "https://hooks.example.test/callbacks/main?token=abc%2F"
    server.script.append(says(TAKEN))
    await hand_over(provider, [OutboundMessage("a/b+c", "+37061200001", "labas", url)])
    (seen,) = server.seen
    assert b64decode(seen.headers["authorization"].split()[1]).decode() == "ėglė:p:ą ß"
    said = json.loads(seen.body)
    assert said["webhook"] == {"url": url, "authentication": {"type": "NONE"}}
    assert said["reference"] == {"service": "MARKETING", "key": "a/b+c"}


async def test_an_address_may_end_with_a_slash(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make(send_url=server.url + "/", status_url=server.url + "/")
    server.script.extend([says(TAKEN), says(b"", 404)])
    await hand_over(provider)
    await provider.ask([ID], at_once)
    assert [seen.target for seen in server.seen] == ["/api/Services/send", f"/api/messagestatus/{ID}"]


def test_a_request_is_one_message(make: Callable[..., Namirial]) -> None:
    given = messages(3)
    assert make().requests(given, SENDER) == [[each] for each in given]
    assert make(concurrency=7).traits.concurrency == 7
    assert make().traits.settles_doubt_after_seconds == 60
    assert make(settles_doubt_after_seconds=300).traits.settles_doubt_after_seconds == 300
    assert make(timeout_seconds=90).traits.settles_doubt_after_seconds == 90


@pytest.mark.parametrize("count", [0, 2])
async def test_a_request_that_is_not_one_message_does_not_leave(
    server: WireServer, make: Callable[..., Namirial], count: int
) -> None:
    outcomes = await make().hand_over(messages(count), SENDER, asyncio.get_running_loop().time() + 5)
    assert outcomes == [NotSent("a request holds one message")] * count
    assert server.seen == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 1600, None),
        ("😀" * 1600, None),
        ("a" * 1601, CampaignTrouble("text_too_long", "the text is longer than 1600 characters", "text")),
        ("half a pair \ud83d", Rejected("not_unicode", "the text cannot be written as UTF-8")),
    ],
)
async def test_a_text_they_cannot_take_does_not_leave(
    server: WireServer, make: Callable[..., Namirial], text: str, expected: Outcome | None
) -> None:
    server.script.append(says(TAKEN))
    outcome = await hand_over(make(), messages(1, text))
    assert outcome == (expected or Accepted(ID))
    assert [json.loads(seen.body)["text"] for seen in server.seen] == ([] if expected else [text])


@pytest.mark.parametrize("wrong", [{"username": "a:b"}, {"concurrency": 0}])
def test_settings_that_cannot_work_are_refused(make: Callable[..., Namirial], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"colon|concurrency"):
        make(**wrong)


# --- what a send is answered with -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (TAKEN, Accepted(ID)),
        ({"id": ID}, Accepted(ID)),
        ({**TAKEN, "id": ID.upper()}, Accepted(ID.upper())),
        ({**TAKEN, "id": "01JKZ.other_form"}, Accepted("01JKZ.other_form")),
        ({**TAKEN, "message": " 0 : taken"}, Accepted(ID)),
        ({"message": "0: Accepted for delivery"}, InDoubt("the answer says taken and gives no id")),
        ({**TAKEN, "id": None}, InDoubt("the answer says taken and gives no id")),
        ({**TAKEN, "id": ""}, InDoubt("the answer says taken and gives no id")),
        ({"message": "8: Wrong number"}, Failed("8", "wrong number")),
        ({"message": "12: whatever", "id": None}, Failed("12", "a code their documents do not hold")),
        ({"message": "00: whatever"}, InDoubt("the answer cannot be read")),
        ({"message": "Accepted"}, InDoubt("the answer cannot be read")),
        ({"code": 8, "message": "Wrong number"}, InDoubt("the answer cannot be read")),
        ({**TAKEN, "message": "8: Wrong number"}, InDoubt("the answer gives an id and does not say taken")),
        ({**TAKEN, "message": 0}, InDoubt("the answer gives an id and does not say taken")),
        ({"id": "17"}, InDoubt("the answer gives an id and does not say taken")),
        ({**TAKEN, "id": 17.5}, Accepted("17.5")),  # a number that is an id is text, as it was written
        ({**TAKEN, "id": ["x"]}, InDoubt("the answer's id cannot be read")),
        ({**TAKEN, "id": "a/b"}, InDoubt("the answer's id cannot be read")),
        ({**TAKEN, "id": ".."}, InDoubt("the answer's id cannot be read")),
        ({**TAKEN, "id": f" {ID}"}, InDoubt("the answer's id cannot be read")),
        ({**TAKEN, "id": "a" * 129}, InDoubt("the answer's id cannot be read")),
        (b'{"message":"0: ok","id":"1","id":"2"}', InDoubt("the answer cannot be read")),
        ([TAKEN], InDoubt("the answer cannot be read")),
        (b"\xff", InDoubt("the answer cannot be read")),
    ],
)
def test_the_answer_to_a_send_is_read(document: object, expected: Outcome) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    assert read_taken(body) == expected


EXPECTED: dict[str, Outcome] = {
    "8": Rejected("8", "wrong number"),
    "56": Rejected("56", "invalid number"),
    "59": AccountTrouble("59", "the reference service is none of those Namirial allows"),
    "60": Throttled(60.0, "blocked by anti-flooding"),
    "61": Rejected("61", "the number is on a watchlist"),
    "63": AccountTrouble("63", "user name or password is wrong"),
    "64": InDoubt("the provider behind Namirial is unavailable (code 64)"),
    "66": CampaignTrouble("66", "the text is empty", "text"),
    "74": CampaignTrouble("74", "a text with a URL is not allowed", "text"),
}


@pytest.mark.parametrize("code", EXPECTED)
@pytest.mark.parametrize("status", [500, 400, 422, 200, 202])
@pytest.mark.parametrize("as_text", [False, True])
async def test_every_documented_code_is_an_outcome(
    server: WireServer, make: Callable[..., Namirial], code: str, status: int, as_text: bool
) -> None:
    said = {"code": code if as_text else int(code), "message": "told nobody", "details": None}
    server.script.append(says(said, status))
    assert await hand_over(make()) == EXPECTED[code]


def test_no_code_and_no_meaning_is_left_out() -> None:
    assert CODES.keys() == EXPECTED.keys()
    assert {means for means, _, _ in CODES.values()} == set(Means)
    assert all(reason and source for _, reason, source in CODES.values())
    assert {word: state for word, (state, _) in STATUSES.items()} == {
        "PROVIDER_ACCEPTANCE": MessageState.ACCEPTED,
        "SENT": MessageState.SENT,
        "DELIVERED": MessageState.DELIVERED,
        "REJECTED": MessageState.REJECTED,
        "UNDELIVERED": MessageState.UNDELIVERED,
        "READ": MessageState.READ,
    }


@pytest.mark.parametrize(
    "document",
    [
        {"code": 9, "message": "?"},
        {"code": 0, "message": "?"},
        {"code": True},
        {"code": None},
        {"code": 8.0},
        {"code": -8},
        {"code": "08"},
        {"code": 8, "message": "0: Accepted for delivery", "id": "a/b"},
        {"code": 8, "id": ID},  # an id: then nobody can say that it was not taken
        {"error": {"code": 8}},
        [{"code": 8}],
        b'{"code":8,"code":9}',
        b"8",
        b"<html>8</html>",
    ],
)
async def test_a_refusal_that_does_not_say_why_is_in_doubt(
    server: WireServer, make: Callable[..., Namirial], document: object
) -> None:
    for status in (500, 200):
        server.script.append(says(document, status))
        assert isinstance(await hand_over(make()), InDoubt)


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.text(max_size=5), st.integers()).map(json.dumps).map(str.encode)
)
def test_no_bytes_break_the_reading_of_a_refusal(body: bytes) -> None:
    code = read_refusal(body)
    assert code is None or (code.isdecimal() and len(code) <= 4)


async def test_a_code_of_another_status_than_documented_does_not_count(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make()
    for status, expected in {
        302: InDoubt("HTTP 302"),
        401: AccountTrouble("http_401", "user name or password is refused"),
        403: AccountTrouble("http_403", "user name or password is refused"),
        404: AccountTrouble("http_404", "nothing takes messages at this address"),
        405: AccountTrouble("http_405", "nothing takes messages at this address"),
        410: AccountTrouble("http_410", "nothing takes messages at this address"),
        429: Throttled(None, "HTTP 429"),
        501: InDoubt("HTTP 501"),
        502: InDoubt("HTTP 502"),
        503: Throttled(None, "HTTP 503"),
        504: InDoubt("HTTP 504"),
    }.items():
        server.script.append(says({"code": 8, "message": "Wrong number"}, status))
        assert await hand_over(provider) == expected


async def test_a_flooded_number_waits_a_minute_or_longer(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make()
    for said, seconds in {"7": 60.0, "600": 600.0}.items():
        server.script.append(says({"code": 60}, 500, Retry_After=said))
        assert await hand_over(provider) == Throttled(seconds, "blocked by anti-flooding")


# --- asking what became of them ---------------------------------------------------------------------


async def test_each_id_is_asked_for_with_the_key_of_the_status_host(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    server.script.append(says({"message": status_object(reference={})}))
    answers = await make().ask([id_of("ref-1")], at_once)
    assert answers == Answers(
        [
            Receipt(
                id_of("ref-1"),
                MessageState.DELIVERED,
                "DELIVERED",
                changed_at=datetime(2026, 2, 4, 6, 54, 55, tzinfo=UTC),
                segment_count=1,
                channel="SMS",
            )
        ]
    )
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("GET", f"/api/messagestatus/{id_of('ref-1')}")
    assert seen.headers["x-api-key"] == at_namirial.API_KEY
    assert "authorization" not in seen.headers
    assert seen.body == b""


async def test_an_id_nobody_knows_is_absent_and_no_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    refs = ["ref-1", "ref-2", "ref-3"]
    for ref in ("ref-1", "ref-3"):
        said = {"message": status_object(ref, "SENT")}
        server.free[f"/api/messagestatus/{id_of(ref)}"] = json.dumps(said).encode()
    server.script.append(says({"title": "Not Found"}, 404))
    answers = await make(concurrency=1).ask([id_of(ref) for ref in refs], at_once)
    assert (answers.trouble, answers.retry_after_seconds) == (None, None)
    assert words_of(answers.receipts) == [
        Receipt(id_of(ref), MessageState.SENT, "SENT", ref) for ref in ("ref-1", "ref-3")
    ]


async def test_ids_are_asked_for_once_and_never_what_is_none(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(word="SENT")
    wrong = ["", ".", "..", "a/b", "a" * 129, "ą", "a b", "\ud83d"]
    answers = await provider.ask([*wrong, id_of("ref-2"), id_of("ref-1"), id_of("ref-2")], at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == [id_of("ref-2"), id_of("ref-1")]
    assert answers.trouble is None
    assert len(server.seen) == 2


async def test_several_are_asked_for_at_once_but_never_more(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider, open_at_once = make(concurrency=3), 0
    asked = [f"ref-{at}" for at in range(1, 8)]

    def in_flight() -> bool:
        nonlocal open_at_once
        open_at_once = max(open_at_once, server.open_connections)
        return len(server.seen) >= 3

    # Nobody is answered before three wait: with fewer at once this would never end.
    server.script.extend(answer_when(in_flight, json.dumps({"message": None}).encode()) for _ in asked)
    async with asyncio.timeout(10):
        answers = await provider.ask([id_of(ref) for ref in asked], at_once)
    assert answers.trouble
    assert open_at_once == 3


async def test_each_question_waits_for_its_turn_and_what_was_learned_is_given(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider, turns = make(word="SENT", concurrency=1), 0

    async def twice() -> None:
        nonlocal turns
        turns += 1
        if turns > 2:
            raise PaceUsedUp(1.5)

    answers = await provider.ask([id_of(f"ref-{at}") for at in range(1, 6)], twice)
    assert (turns, len(server.seen), len(answers.receipts)) == (3, 2, 2)
    assert (answers.trouble, answers.retry_after_seconds) == (None, 1.5)


@pytest.mark.parametrize(
    ("act", "trouble", "seconds"),
    [
        (says(b"", 429, Retry_After="9"), "Namirial answered HTTP 429", 9.0),
        (says(b"", 503, Retry_After="30"), "Namirial answered HTTP 503", 30.0),
        (says({"code": 64}, 500), "Namirial answered HTTP 500", None),
        (says(b"", 403), "Namirial refused the API key (HTTP 403)", None),
        (says(b"", 401), "Namirial refused the API key (HTTP 401)", None),
        (says(b"", 302, Location="/again"), "Namirial answered HTTP 302", None),
        (cut(), "Namirial did not answer: connection cut before the answer was whole", None),
        (reset(), "Namirial did not answer: connection cut before the answer was whole", None),
    ],
)
async def test_trouble_ends_the_round(
    server: WireServer, make: Callable[..., Namirial], act: Act, trouble: str, seconds: float | None
) -> None:
    provider = make(word="SENT", concurrency=1)
    server.script.extend([act, act])  # aiohttp asks a cut question once more, which costs nothing
    unknown = [f"unknown-{at}" for at in range(9)]
    answers = await provider.ask(unknown, at_once)
    assert answers == Answers([], trouble, seconds)
    assert len({seen.target for seen in server.seen}) == 1
    server.script.clear()


def lines() -> int:
    """How many lines of questions are at work."""
    return sum("ask_each.<locals>.line" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_what_waits_for_its_turn_does_not_ask_after_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    turns = 0

    async def wait_for_pace() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:  # until the first line has ended, with trouble
            await until(lambda: lines() == 1)

    server.script.append(says(b"", 500))
    answers = await make(concurrency=2).ask([id_of(f"ref-{at}") for at in range(1, 9)], wait_for_pace)
    assert answers == Answers([], "Namirial answered HTTP 500")
    assert (turns, len(server.seen)) == (2, 1)


async def test_one_answer_that_cannot_be_read_does_not_hold_up_the_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(word="SENT", concurrency=1)
    ids = [id_of(f"ref-{at}") for at in range(1, 8)]
    server.free[f"/api/messagestatus/{ids[3]}"] = b"{}"
    server.free[f"/api/messagestatus/{ids[5]}"] = json.dumps({"message": status_object("other")}).encode()
    answers = await provider.ask(ids, at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == [*ids[:3], ids[4], ids[6]]
    assert answers.trouble == "Namirial's answer cannot be read"
    # ... but when nothing can be read it is no use asking on.
    server.free = {f"/api/messagestatus/{each}": b"<html>Back soon</html>" for each in ids}
    server.seen.clear()
    assert (await provider.ask(ids, at_once)).receipts == []
    assert len(server.seen) == 3


async def test_one_that_always_fails_does_not_starve_the_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """An HTTP 500 ends a round; asked in the same order each time, what stands behind it would never be."""
    provider, learned = make(word="SENT", concurrency=1), set[str | None]()
    ids = [id_of(f"ref-{at}") for at in range(1, 7)]
    del server.free[f"/api/messagestatus/{ids[0]}"]
    async with asyncio.timeout(30):
        while learned != set(ids[1:]):
            server.script.append(says(b"", 500))
            answers = await provider.ask(ids, at_once)
            learned |= {receipt.provider_message_id for receipt in answers.receipts}
    server.script.clear()


async def test_a_round_gives_what_it_has_when_it_takes_long(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """Else the caller's patience would end first, and all that was learned be lost, each time."""
    provider, loop = make(word="SENT", concurrency=1, timeout_seconds=0.2), asyncio.get_running_loop()
    begun = loop.time()

    async def slow() -> None:
        await until(lambda: loop.time() > begun + 0.2)

    answers = await provider.ask([id_of(f"ref-{at}") for at in range(1, 6)], slow)
    assert (len(answers.receipts), len(server.seen)) == (1, 1)
    assert (answers.trouble, answers.retry_after_seconds) == (None, None)


async def test_a_turn_that_breaks_ends_everything(server: WireServer, make: Callable[..., Namirial]) -> None:
    """Also what is being asked by then and would hang for a minute."""
    turns = 0

    async def broken() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            await until(lambda: len(server.seen) == 1)
            raise RuntimeError("Redis is away")

    server.script.append(drip(b" " * 1_000_000))
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="Redis"):
            await make(timeout_seconds=60).ask([id_of("ref-1"), id_of("ref-2")], broken)
    assert (turns, len(server.seen), lines()) == (2, 1, 0)


async def test_a_cancelled_round_leaves_nothing_behind(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    server.script.extend(drip(b" " * 1_000_000) for _ in range(4))
    task = asyncio.create_task(make(concurrency=4).ask([id_of(f"ref-{at}") for at in range(9)], at_once))
    await until(lambda: len(server.seen) == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections == 0)
    assert lines() == 0


# --- looking doubt up -------------------------------------------------------------------------------


async def test_doubt_is_looked_up_by_our_reference(server: WireServer, make: Callable[..., Namirial]) -> None:
    ref = "0f/a+b %2F-17"
    server.script.append(listed(status_object(ref, "PROVIDER_ACCEPTANCE")))
    sightings = await make().look_up(doubtful(ref), at_once)
    assert sightings == Sightings(
        [
            Sighting(
                id_of(ref),
                MessageState.ACCEPTED,
                "PROVIDER_ACCEPTANCE",
                message_ref=ref,
                segment_count=1,
                accepted_at=datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC),
                changed_at=datetime(2026, 2, 4, 6, 54, 55, tzinfo=UTC),
                channel="SMS",
                service=at_namirial.SERVICE,
                action=at_namirial.ACTION,
            )
        ],
        [],
    )
    (seen,) = server.seen
    assert seen.target == "/api/messagestatus/reference/0f%2Fa%2Bb%20%252F-17?count=100"
    assert seen.headers["x-api-key"] == at_namirial.API_KEY
    assert seen.headers["content-type"] == "application/json"


async def test_only_an_empty_list_is_absence(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says({"messages": []}))
    assert await provider.look_up(doubtful("ref-1"), at_once) == Sightings([], ["ref-1"])
    for act in (
        says(b"", 404),  # a wrong address, not a message they do not have
        says(b"", 403),
        says(b"", 500),
        says(b"", 302),
        says(b""),
        says({}),
        says([]),
        says({"messages": None}),
        says({"messages": {}}),
        says({"messages": [None]}),
        says({"messages": [{}]}),
        says({"messages": [status_object()]}),  # not wrapped
        says({"messages": [{"message": {**status_object(), "id": None}}]}),
        says({"messages": [{"message": status_object("another")}]}),
        says({"messages": [{"message": status_object("REF-1")}]}),
        says({"messages": [{"message": status_object(reference={})}]}),
        says(b'{"messages":[],"messages":[]}'),
        says(b"[" * 100_000),
    ):
        server.script.append(act)
        sightings = await provider.look_up(doubtful("ref-1"), at_once)
        assert (list(sightings.seen), list(sightings.absent)) == ([], [])
        assert sightings.trouble


async def test_a_list_with_one_of_ours_among_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """Several of ours are not to be expected; then the one that came furthest counts, else the newest."""
    provider = make()
    sent = status_object("ref-1", "SENT", id=ID, statusChangedAt="2026-02-05T00:00:00Z")
    server.script.append(
        listed(status_object("another"), sent, status_object("ref-1"), status_object("REF-1"))
    )
    (seen,) = (await provider.look_up(doubtful("ref-1"), at_once)).seen
    assert (seen.provider_message_id, seen.evidence) == (id_of("ref-1"), MessageState.DELIVERED)
    server.script.append(
        listed(status_object("ref-1", "SENT"), sent, status_object("ref-1", "ODD", id="odd"))
    )
    (seen,) = (await provider.look_up(doubtful("ref-1"), at_once)).seen
    assert seen.provider_message_id == ID


async def test_many_are_looked_up_and_each_has_its_own_answer(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(concurrency=3)
    root = "/api/messagestatus/reference/"
    for at in range(1, 10):
        there = [{"message": status_object(f"ref-{at}", "SENT")}] if at % 3 else []
        server.free[f"{root}ref-{at}"] = json.dumps({"messages": there}).encode()
    server.free[f"{root}ref-5"] = b"{}"
    refs = [f"ref-{at}" for at in range(1, 10)]
    sightings = await provider.look_up(doubtful(*refs, "ref-1"), at_once)
    assert [seen.message_ref for seen in sightings.seen] == ["ref-1", "ref-2", "ref-4", "ref-7", "ref-8"]
    assert list(sightings.absent) == ["ref-3", "ref-6", "ref-9"]
    assert sightings.trouble == "Namirial's answer cannot be read"
    assert len(server.seen) == 9


async def test_looking_up_waits_for_its_turn_and_ends_with_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    async def later() -> None:
        raise PaceUsedUp(4.5)

    assert await make().look_up(doubtful("ref-1"), later) == Sightings([], [], None, 4.5)
    assert await make().look_up([], at_once) == Sightings([], [])
    server.script.append(says(b"", 429, Retry_After="9"))
    assert await make(concurrency=1).look_up(doubtful("a", "b", "c"), at_once) == Sightings(
        [], [], "Namirial answered HTTP 429", 9.0
    )
    assert len(server.seen) == 1
    for odd in ("", ".", "..", "\ud83d"):
        assert (await make().look_up(doubtful(odd), at_once)).trouble
    assert len(server.seen) == 1


# --- finding ----------------------------------------------------------------------------------------


async def test_a_message_is_found_by_its_id(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says({"message": status_object("ref-1", "UNDELIVERED", sms=None, channel="RCS")}))
    (found,) = await provider.find(Question("id", id_of("ref-1")), at_once)
    assert (found.evidence, found.segment_count, found.phone) == (MessageState.UNDELIVERED, None, None)
    server.script.append(says(b"", 404))
    assert await provider.find(Question("id", ID), at_once) == []
    assert await provider.find(Question("id", "../phonenumber/+37061200001"), at_once) == []
    assert len(server.seen) == 2


async def test_messages_are_found_by_number_newest_first(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make()
    dates = ["2026-02-04T06:54:55.5Z", "2026-02-04T08:54:56+01:00", "2026-02-04T06:54:55Z", None]
    server.script.append(
        listed(*(status_object(f"ref-{at}", statusChangedAt=said) for at, said in enumerate(dates, 1)))
    )
    found = await provider.find(Question("phone", "+37061200001"), at_once)
    assert [each.message_ref for each in found] == ["ref-2", "ref-1", "ref-3", "ref-4"]
    assert {each.phone for each in found} == {"+37061200001"}
    assert server.seen[-1].target == "/api/messagestatus/phonenumber/%2B37061200001"

    server.script.append(listed(*(status_object(f"ref-{at}") for at in (1, 2, 3))))
    before = datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=2)))
    asked = Question("reference", "a/b", count=2, sent_before=before)
    assert len(await provider.find(asked, at_once)) == 2
    assert server.seen[-1].target == (
        "/api/messagestatus/reference/a%2Fb?count=2&sendDate=2026-12-31T21%3A59%3A59Z"
    )
    server.script.append(says({"messages": []}))
    assert await provider.find(Question("phone", "+37061200002"), at_once) == []


class Archive:
    """A pretended status host with many messages to one number, cut as documented: 100 a page, the latest
    sent before a date, in no order.
    """

    def __init__(self, count: int, every_seconds: float, *, inclusive: bool) -> None:
        self.sent = [NOW - timedelta(seconds=at * every_seconds) for at in range(count)]
        self.inclusive = inclusive
        self.pages = 0

    def __call__(self, seen: Any) -> bytes:
        self.pages += 1
        query = parse_qs(urlsplit(seen.target).query)
        before = datetime.fromisoformat(query["sendDate"][0]) if "sendDate" in query else NOW + timedelta(1)
        size = min(int(query.get("count", ["50"])[0]), 100)
        there = [
            (at, sent)
            for at, sent in enumerate(self.sent)
            if sent < before or (self.inclusive and sent == before)
        ]
        page = sorted(there, key=lambda each: each[1], reverse=True)[:size]
        return json.dumps(
            {
                "messages": [
                    {
                        "message": status_object(
                            f"ref-{at}",
                            providerAcceptanceAt=sent.isoformat(timespec="seconds"),  # cut, as on the page
                            statusChangedAt=sent.isoformat(),
                        )
                    }
                    for at, sent in page[::-1]
                ]
            }
        ).encode()


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("every_seconds", [0.25, 1, 60])
@pytest.mark.parametrize(
    ("there", "count", "expected"),
    [(350, 330, 330), (250, 1000, 250), (200, 1000, 200), (120, 100, 100), (70, None, 50), (30, 100, 30)],
)
async def test_more_than_a_page_is_found_whole_and_nothing_twice(
    server: WireServer,
    make: Callable[..., Namirial],
    there: int,
    count: int | None,
    expected: int,
    every_seconds: float,
    inclusive: bool,
) -> None:
    archive = Archive(there, every_seconds, inclusive=inclusive)
    server.free["/api/messagestatus/phonenumber/%2B37061200001"] = archive
    turns = 0

    async def counted() -> None:
        nonlocal turns
        turns += 1

    found = await make().find(Question("phone", "+37061200001", count=count), counted)
    assert [each.message_ref for each in found] == [f"ref-{at}" for at in range(expected)]
    assert turns == archive.pages <= 6


async def test_pages_that_bring_nothing_new_end_the_search(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    same = [{"message": status_object(f"ref-{at}")} for at in range(100)]
    server.free["/api/messagestatus/reference/ref"] = json.dumps({"messages": same}).encode()
    assert len(await make().find(Question("reference", "ref", count=500), at_once)) == 100
    assert len(server.seen) == 2
    undated = [{"message": status_object(f"ref-{at}", providerAcceptanceAt=None)} for at in range(100)]
    server.free["/api/messagestatus/reference/ref"] = json.dumps({"messages": undated}).encode()
    assert len(await make().find(Question("reference", "ref", count=500), at_once)) == 100
    assert len(server.seen) == 3


async def test_finding_in_vain_is_a_sentence(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    for act, sentence in (
        (says(b"", 403), "Namirial refused the API key (HTTP 403)"),
        (says(b"", 404), "Namirial answered HTTP 404"),
        (says({"messages": [{}]}), "Namirial's answer cannot be read"),
    ):
        server.script.append(act)
        with pytest.raises(ProviderRefused) as refused:
            await provider.find(Question("reference", "ref-1"), at_once)
        assert str(refused.value) == sentence
    for question in (
        Question("phone", ""),
        Question("reference", ".."),
        Question("reference", "\ud83d"),
        Question("phone", "+37061200001", count=0),
    ):
        with pytest.raises(ProviderRefused):
            await provider.find(question, at_once)

    async def later() -> None:
        raise PaceUsedUp(1)

    for by in ("id", "phone", "reference"):
        with pytest.raises(PaceUsedUp):
            await provider.find(Question(by, ID), later)  # type: ignore[arg-type]
    assert len(server.seen) == 3


# --- dates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-02-04T06:54:35Z", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("2026-02-04T06:54:35.1Z", datetime(2026, 2, 4, 6, 54, 35, 100_000, tzinfo=UTC)),
        ("2026-02-04T06:54:35.123456789Z", datetime(2026, 2, 4, 6, 54, 35, 123_456, tzinfo=UTC)),
        ("2026-02-04T08:54:35+02:00", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("2026-02-04T06:54:35", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("yesterday", None),
        ("", None),
        ("2026-02-30T00:00:00Z", None),
        ("1770188075", None),
        (None, None),
        ({}, None),
    ],
)
def test_dates_with_and_without_a_fraction(said: object, expected: datetime | None) -> None:
    assert moment(said) == expected


@given(st.lists(st.datetimes(timezones=st.just(UTC)) | st.none(), max_size=8), st.randoms())
def test_the_newest_stands_first_in_every_order(dates: list[datetime | None], random: Any) -> None:
    objects = [
        status_object(f"ref-{at}", statusChangedAt=date and date.isoformat(), providerAcceptanceAt=None)
        for at, date in enumerate(dates)
    ]
    random.shuffle(objects)
    found = read_list(json.dumps({"messages": [{"message": each} for each in objects]}).encode())
    assert found is not None
    sorted_dates = [each.changed_at for each in newest_first(found)]
    known = [date for date in sorted_dates if date is not None]
    assert sorted_dates == [*sorted(known, reverse=True), *[None] * (len(dates) - len(known))]


# --- callbacks --------------------------------------------------------------------------------------


def called_back(document: object, method: str = "POST") -> Callback:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Callback(method, "https://hooks.example.test/main?token=x", {}, [("token", "x")], body, NOW)


def update(**more: object) -> dict[str, object]:
    return {
        "id": "2bf9a88a-29f2-438a-89a1-9a13bf03d03f",
        "webhookConfigurationId": "2dab9410-d2c8-4b60-bcb0-c5eeb073e71d",
        "type": "STATUS_UPDATE",
        "createdAt": "2026-02-12T14:51:00Z",
        "message": status_object(),
        **more,
    }


@pytest.mark.parametrize("word", STATUSES)
def test_every_word_is_read_in_a_callback(make: Callable[..., Namirial], word: str) -> None:
    receipts = make().read_callback(called_back(update(message=status_object("ref-1", word))))
    assert words_of(receipts) == [Receipt(id_of("ref-1"), STATUSES[word][0], word, "ref-1")]


@pytest.mark.parametrize(
    ("operator", "code", "reason"),
    [
        (
            {"name": "TELCO", "status": "undelivered", "code": "1", "message": "Number Blocked by Carrier"},
            "1",
            "Number Blocked by Carrier (TELCO)",
        ),
        ({"name": None, "status": "undelivered", "code": 30007}, "30007", "undelivered"),
        ({"message": 'text "Dear Ona" to +37061234567'}, None, "text … to +#"),
        ({"code": "37061234567", "message": ["x"]}, None, None),
        ("TELCO", None, None),
        (None, None, None),
    ],
)
def test_why_and_by_what_a_message_went_is_kept(
    make: Callable[..., Namirial], operator: object, code: str | None, reason: str | None
) -> None:
    message = status_object("ref-1", "UNDELIVERED", provider=operator, channel="rcs", sms={})
    (receipt,) = make().read_callback(called_back(update(message=message)))
    assert (receipt.code, receipt.reason, receipt.channel) == (code, reason, "RCS")
    assert receipt.segment_count is None
    message = status_object("ref-1", "DELIVERED", provider=operator, channel="[/b]")
    (receipt,) = make().read_callback(called_back(update(message=message)))
    assert (receipt.code, receipt.reason, receipt.channel) == (None, None, None)


def test_a_callback_says_what_it_can(make: Callable[..., Namirial]) -> None:
    provider = make()

    def read(**message: object) -> list[Receipt]:
        return words_of(provider.read_callback(called_back(update(message=status_object(**message)))))

    assert read(word="TELEPORTED") == [Receipt(id_of("ref-1"), None, "TELEPORTED", "ref-1")]
    assert read(word="delivered") == [Receipt(id_of("ref-1"), MessageState.DELIVERED, "delivered", "ref-1")]
    assert read(word="x" * 200 + "\n") == [Receipt(id_of("ref-1"), None, "x" * 64, "ref-1")]
    assert read(reference={}) == [Receipt(id_of("ref-1"), MessageState.DELIVERED, "DELIVERED", None)]
    assert read(id=None) == [Receipt(None, MessageState.DELIVERED, "DELIVERED", "ref-1")]
    for key in (None, "", 17 * "x" * 10, "a\x00b", ["x"]):
        assert read(reference={"key": key}, id="a b") == []
    for kind in ("TEMPLATE_UPDATE", "status_update", 1.5):
        assert provider.read_callback(called_back({**update(), "type": kind, "message": None})) == []
    assert provider.read_callback(called_back(b"\xef\xbb\xbf" + json.dumps(update()).encode())) != []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"type=STATUS_UPDATE",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"STATUS_UPDATE","type":"STATUS_UPDATE"}',
        {**update(), "type": None},
        {**update(), "message": None},
        {**update(), "message": []},
        {**update(), "message": {**status_object(), "status": None}},
        {**update(), "message": {**status_object(), "status": " "}},
        {**update(), "message": {**status_object(), "status": "\x00"}},
    ],
)
def test_what_is_no_callback_of_theirs_is_refused(make: Callable[..., Namirial], document: object) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(called_back(document))
    assert refused.value.status == 400


def test_a_callback_comes_by_post(make: Callable[..., Namirial]) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(called_back(update(), "GET"))
    assert refused.value.status == 405


# --- the account ------------------------------------------------------------------------------------


async def test_the_probe_asks_for_their_health(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/api/Services/checkServiceStatus", b"")
    assert seen.headers["authorization"].startswith("Basic ")
    for act in (
        says({**at_namirial.WELL, "globalStatus": False, "errorMessage": "secret"}),
        says({**at_namirial.WELL, "globalStatus": "true"}),
        says({**at_namirial.WELL, "globalStatus": 1}),
        says({}),
        says(b"OK"),
        says(at_namirial.WELL, 500),
        says(b"", 302),
        says(b"", 401),
        says(b"", 403),
        cut(),
    ):
        server.script.append(act)
        with pytest.raises(ProviderRefused) as refused:
            await provider.probe()
        assert "secret" not in str(refused.value)


async def test_nothing_is_told_of_money(server: WireServer, make: Callable[..., Namirial]) -> None:
    for question in (make().balance(), make().statistics("2026-02")):
        with pytest.raises(ProviderRefused, match="does not tell"):
            await question
    assert server.seen == []


@pytest.mark.parametrize(("status", "code"), [(500, 59), (500, 63), (401, 63), (403, None), (404, None)])
async def test_a_refused_account_is_not_believed_to_be_well_at_once(
    server: WireServer, make: Callable[..., Namirial], hand: Hand, status: int, code: int | None
) -> None:
    """Their health says nothing of credentials and service. The pause doubles, up to an hour."""
    provider = make()
    for pause in (300, 600, 1200, 2400, 3600, 3600):
        server.script.append(says({"code": code}, status))
        assert isinstance(await hand_over(provider), AccountTrouble)
        hand.monotonic += pause - 1
        server.seen.clear()
        with pytest.raises(ProviderRefused, match="refused the account"):
            await provider.probe()
        assert server.seen == []
        hand.monotonic += 1
        server.script.append(says(at_namirial.WELL))
        assert await provider.probe() is None


async def test_several_refusals_in_flight_are_one(
    server: WireServer, make: Callable[..., Namirial], hand: Hand
) -> None:
    provider = make()
    for _ in range(4):
        server.script.append(says({"code": 59}, 500))
        await hand_over(provider)
    hand.monotonic += 300
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None


async def test_a_message_taken_makes_the_refusal_forgotten(
    server: WireServer, make: Callable[..., Namirial], hand: Hand
) -> None:
    """An operator may lift the hold at once: what was refused then works again, or is refused anew."""
    provider = make()
    server.script.extend([says({"code": 59}, 500), says({"code": 8}, 500)])
    assert isinstance(await hand_over(provider), AccountTrouble)
    assert isinstance(await hand_over(provider), Rejected)
    with pytest.raises(ProviderRefused):
        await provider.probe()
    server.script.extend([says(TAKEN), says(at_namirial.WELL)])
    assert await hand_over(provider) == Accepted(ID)
    assert await provider.probe() is None
    server.script.append(says({"code": 59}, 500))
    await hand_over(provider)
    hand.monotonic += 300  # it began anew
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None


def test_it_shows_its_name_alone(make: Callable[..., Namirial]) -> None:
    assert repr(make()) == "Namirial(name='main')"
