"""What goes out: each value encoded by where it is; and what is asked, called back and looked up."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Callback, CallbackRefused, Doubtful, OutboundMessage, Rejected
from campaigns.domain.states import MessageState
from campaigns.providers.http.adapter import HttpProvider
from campaigns.providers.http.mapping import WireMapping
from campaigns.providers.wire import Wire
from tests.contract.providers.http.member import MEMBER, MORE
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Seen, WireServer, answer

TWILIO, (VONAGE, INFOBIP) = MEMBER, MORE
TEXT = 'Labas "ą" & {sender} 100% \\ \n +1'
UNTIL = datetime.now(UTC) + timedelta(hours=90)


def message(**more: Any) -> OutboundMessage:
    return replace(OutboundMessage("ref-1", "+37061200001", TEXT), **more)


async def sent(
    provider: HttpProvider, server: WireServer, *each: OutboundMessage, sender: str = "Me & Co"
) -> Seen:
    server.script.append(answer(b"{}"))
    await provider.hand_over(each, sender, asyncio.get_running_loop().time() + 5)
    return server.seen[-1]


async def test_a_form_arrives_as_it_was_meant(server: WireServer, wire: Wire) -> None:
    seen = await sent(
        TWILIO.make(server, wire), server, message(callback_url="https://x.test/a?b=c", valid_until=UNTIL)
    )
    assert seen.headers["authorization"].startswith("Basic ")
    assert parse_qsl(seen.body.decode(), strict_parsing=True) == [
        ("To", "+37061200001"),
        ("From", "Me & Co"),
        ("Body", TEXT),
        ("StatusCallback", "https://x.test/a?b=c"),
        ("ValidityPeriod", "36000"),
    ]
    bare = await sent(TWILIO.make(server, wire), server, message())
    assert [name for name, _ in parse_qsl(bare.body.decode())] == ["To", "From", "Body"]


async def test_json_holds_values_and_leaves_out_what_there_is_none_of(server: WireServer, wire: Wire) -> None:
    provider = INFOBIP.make(server, wire)
    full = message(callback_url="https://x.test/1", valid_until=UNTIL)
    seen = await sent(provider, server, full, message(message_ref="ref-2", phone="+37061200002", text="Two"))
    first, second = json.loads(seen.body)["messages"]
    assert first == {
        "sender": "Me & Co",
        "destinations": [{"to": "37061200001", "messageId": "ref-1"}],
        "content": {"text": TEXT},
        "options": {"validityPeriod": {"amount": 2880}},
        "webhooks": {"delivery": {"url": "https://x.test/1"}},
    }
    assert second == {
        "sender": "Me & Co",
        "destinations": [{"to": "37061200002", "messageId": "ref-2"}],
        "content": {"text": "Two"},
    }


def custom(server: WireServer, wire: Wire, send: dict[str, Any], **more: Any) -> HttpProvider:
    mapping = WireMapping.model_validate({"name": "Mine", "send": {"answer": {"id": "/id"}, **send}, **more})
    return HttpProvider(name="main", account=TWILIO.account(server.url, mapping=mapping), wire=wire)


async def test_an_address_is_encoded(server: WireServer, wire: Wire) -> None:
    send = {"method": "GET", "url": "/send/{msisdn}/{sender}", "query": {"t": "{text}", "e": "{encoding}"}}
    provider = custom(server, wire, {**send, "encoding": {"gsm": "0", "unicode": "8"}})
    seen = await sent(provider, server, message())
    assert (seen.path, seen.query) == ("/send/37061200001/Me%20%26%20Co", {"t": TEXT, "e": "8"})


async def test_what_is_no_text_is_refused_and_nothing_leaves(server: WireServer, wire: Wire) -> None:
    for member in (TWILIO, INFOBIP):
        half = message(text="\ud83d")
        made = await member.make(server, wire).hand_over([half], "Me", asyncio.get_running_loop().time() + 5)
        assert made == [Rejected("not_unicode", "text or sender cannot be written as UTF-8")]
    assert server.seen == []


def test_one_text_and_no_number_twice_where_a_request_has_them_once(server: WireServer, wire: Wire) -> None:
    form = {"to": "{phones}", "text": "{text}"}
    where = {"messages": "/m", "id": "/id", "phone": "/to"}
    provider = custom(server, wire, {"url": "/s", "form": form, "recipients_per_request": 3, "answer": where})
    mixed = [
        message(text=text, phone=f"+3706120000{at}") for at, text in ((1, "a"), (2, "b"), (1, "a"), (3, "a"))
    ]
    assert provider.requests(mixed, "Me") == [[mixed[0]], [mixed[1]], [mixed[2], mixed[3]]]
    assert provider.traits.concurrency == 1


# --- callbacks --------------------------------------------------------------------------------------


def called(method: str, body: bytes = b"", query: tuple[tuple[str, str], ...] = ()) -> Callback:
    return Callback(method, "https://us.test/x", {}, query, body, datetime.now(UTC))


async def test_callbacks_come_as_query_form_and_json(server: WireServer, wire: Wire) -> None:
    vonage, fields = (
        VONAGE.make(server, wire),
        {"messageId": "A1", "status": "delivered", "client-ref": "ref-1"},
    )
    for callback in (
        called("GET", query=tuple(fields.items())),
        called("POST", b"messageId=A1&status=delivered&client-ref=ref-1"),
        called("POST", json.dumps(fields).encode()),
    ):
        [receipt] = vonage.read_callback(callback)
        assert (receipt.provider_message_id, receipt.message_ref) == ("A1", "ref-1")
        assert receipt.evidence is MessageState.DELIVERED
    [unknown] = vonage.read_callback(called("POST", b"messageId=A1&status=unknown"))
    assert (unknown.evidence, unknown.provider_state) == (None, "unknown")
    assert (vonage.traits.calls_back_by_id, TWILIO.make(server, wire).traits.calls_back_by_id) == (
        True,
        False,
    )


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"a=%ff", b"status=a&status=b", b"[[]]", b"\xff", b"null"]
)
def test_a_callback_that_says_nothing_is_refused(server: WireServer, wire: Wire, body: bytes) -> None:
    for member in (TWILIO, VONAGE, INFOBIP):
        with pytest.raises(CallbackRefused):
            member.make(server, wire).read_callback(called("POST", body))


# --- doubt and the account --------------------------------------------------------------------------


async def test_what_is_not_found_is_absent_only_where_the_mapping_says_when(
    server: WireServer, wire: Wire
) -> None:
    form = {"to": "{phone}", "text": "{text}"}
    answers = {"url": "/s/{ref}", "answer": {"id": "/id", "word": "/w"}, "words": {"delivered": ["D"]}}
    doubtful = [Doubtful("ref-1", "+37061200001", UNTIL, UNTIL)]
    for more, absent, settles in (({}, [], 20.0), ({"absent_after_seconds": 60.0}, ["ref-1"], 60.0)):
        provider = custom(
            server, wire, {"url": "/s", "form": form}, lookup={**answers, "absent_http": [404], **more}
        )
        server.script.append(answer(b"", status=404))
        found = await provider.look_up(doubtful, at_once)
        assert (list(found.seen), list(found.absent), found.trouble) == ([], absent, None)
        assert provider.traits.settles_doubt_after_seconds == settles
        server.script.append(answer(b'{"id": "7", "w": "D"}'))
        [seen] = (await provider.look_up(doubtful, at_once)).seen
        assert (seen.provider_message_id, seen.message_ref, seen.evidence) == (
            "7",
            "ref-1",
            MessageState.DELIVERED,
        )


async def test_the_account_is_well_when_its_balance_can_be_asked(server: WireServer, wire: Wire) -> None:
    provider = TWILIO.make(server, wire)
    server.script.extend([answer(b'{"balance": "12.29", "currency": "USD"}'), answer(b"", status=401)])
    money = await provider.probe()
    assert (str(money.amount), money.currency) == ("12.29", "USD")
    with pytest.raises(ProviderRefused):
        await provider.probe()
    form = {"to": "{phone}", "text": "{text}"}
    with pytest.raises(ProviderRefused, match="campaigns account main resume"):
        await custom(server, wire, {"url": "/s", "form": form}).probe()
