"""What goes out to Namirial, and every answer to it."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.namirial.answers import CODES, STATUSES, Means, read_refusal, read_taken
from tests.contract.providers.members import SENDER, TEXT, messages
from tests.contract.providers.namirial.documented import ID, TAKEN, hand_over, says
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import WireServer

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
