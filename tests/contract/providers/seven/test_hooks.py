"""seven.io: our requests signed, and the hooks that say where we are called back."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import pytest

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import ProviderRefused
from campaigns.domain.policy import Account
from campaigns.domain.provider import InDoubt, OutboundMessage
from campaigns.providers.seven.access import signature
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.wire import Wire
from tests.contract.providers.members import SENDER
from tests.contract.providers.pace import at_once
from tests.contract.providers.seven.member import BALANCE, SIGNING_KEY
from tests.contract.providers.wire_server import Seen, WireServer, answer, cut, hang

HOOKS = "/api/hooks"
NOW = 1_732_809_600.5
URLS = CallbackUrls("main", "https://sms.shop.test", "a-secret-of-our-own")
URL = URLS.url_of_account()
OTHERS = b'{"id":7,"created":"2024-01-01","event_type":"sms_mo","target_url":"https://other.test/x"}'


@pytest.fixture
def make(make: Callable[..., Seven]) -> Callable[..., Seven]:
    return partial(make, clock=lambda: NOW)


def hook(**more: object) -> bytes:
    fields = {"id": 8, "target_url": URL, "event_type": "dlr", "request_method": "JSON", **more}
    return str(fields).replace("'", '"').replace("True", "true").replace("False", "false").encode()


def hooks(*entries: bytes) -> bytes:
    return b'{"success":true,"hooks":[%s]}' % b",".join(entries)


# --- signing ----------------------------------------------------------------------------------------


def check_signed(server: WireServer, seen: Seen) -> str:
    headers = seen.headers
    url = f"{server.url}{seen.target}"
    expected = signature(headers["x-timestamp"], headers["x-nonce"], seen.method, url, seen.body, SIGNING_KEY)
    assert headers["x-timestamp"] == "1732809600"
    assert headers["x-signature"] == expected
    assert 1 <= len(headers["x-nonce"]) <= 32
    return headers["x-nonce"]


async def test_every_request_of_ours_is_signed_and_none_alike(
    make: Callable[..., Seven], server: WireServer
) -> None:
    provider = make()
    server.free |= {BALANCE: b'{"amount":4,"currency":"EUR"}', HOOKS: hooks()}
    server.free["/api/status"] = b"[]"
    server.script.append(answer(b"{}"))
    message = OutboundMessage("0123456789abcdef0123456789abcdef-7-1", "+37061200001", "ačiū & co, +1")
    (outcome,) = await provider.hand_over([message], SENDER, asyncio.get_running_loop().time() + 60)
    assert isinstance(outcome, InDoubt)
    await provider.balance()
    await provider.ask(["77149843739", "5"], at_once)
    await provider.callbacks_registered(URL)
    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET", "GET"]
    assert len({check_signed(server, seen) for seen in server.seen}) == 4


async def test_without_a_signing_key_nothing_is_signed(
    make: Callable[..., Seven], server: WireServer
) -> None:
    server.free[BALANCE] = b'{"amount":4}'
    await make(signing_key=None).balance()
    assert not {"x-signature", "x-nonce", "x-timestamp"} & server.seen[0].headers.keys()


async def test_a_signed_request_does_not_leave_when_its_signature_is_old(
    make: Callable[..., Seven], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signatures are good for thirty seconds; a lease may be longer."""
    taken: list[float] = []

    async def noted(self: Wire, *args: Any, leave_by: float, **more: Any) -> Any:
        taken.append(leave_by)
        raise asyncio.CancelledError

    monkeypatch.setattr(Wire, "hand_over", noted)
    now = asyncio.get_running_loop().time()
    message = OutboundMessage("0123456789abcdef0123456789abcdef-7-1", "+37061200001", "Hello")
    with pytest.raises(asyncio.CancelledError):
        await make().hand_over([message], SENDER, now + 600)
    assert taken[0] <= now + 16


# --- hooks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "known"),
    [
        ([], False),
        ([OTHERS], False),
        ([OTHERS, hook()], True),
        ([hook(event_type="all")], True),
        ([hook(request_method="GET", enabled=True, event_filter="")], True),
        ([hook(enabled=1)], True),
        ([hook(enabled=False)], False),
        ([hook(enabled=0)], False),
        ([hook(event_type="sms_mo")], False),
        ([hook(event_filter="37061200001")], False),
        ([hook(target_url=URL + "x")], False),
        ([b"7", b"null", hook()], True),
    ],
)
async def test_an_address_is_known_where_a_hook_brings_every_report_to_it(
    make: Callable[..., Seven], server: WireServer, entries: list[bytes], known: bool
) -> None:
    server.free[HOOKS] = hooks(*entries)
    assert await make().callbacks_registered(URL) is known


async def test_no_hooks_at_all_is_no_hook(make: Callable[..., Seven], server: WireServer) -> None:
    for body in (b'{"success":true}', b'{"success":true,"hooks":null}', b'{"success":true,"hooks":[]}'):
        server.free[HOOKS] = body
        assert await make().callbacks_registered(URL) is False


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'"900"', b"902", b'{"success":false}', b'{"success":true,"hooks":{"a":1}}'],
)
async def test_a_list_that_cannot_be_read_is_neither(
    make: Callable[..., Seven], server: WireServer, body: bytes
) -> None:
    server.free[HOOKS] = body
    with pytest.raises(ProviderRefused):
        await make().callbacks_registered(URL)
    with pytest.raises(ProviderRefused):
        await make().register_callbacks(URL)
    assert all(seen.method == "GET" for seen in server.seen)


async def test_registering_adds_one_hook_once(make: Callable[..., Seven], server: WireServer) -> None:
    there = [OTHERS]

    def serve(seen: Seen) -> bytes:
        if seen.method == "POST":
            assert dict(parse_qsl(seen.body.decode())) == {
                "target_url": URL,
                "event_type": "dlr",
                "request_method": "JSON",
            }
            there.append(hook())
            return b'{"success":true,"id":8}'
        return hooks(*there)

    server.free[HOOKS] = serve
    provider = make()
    assert await provider.callbacks_registered(URL) is False
    assert await provider.register_callbacks(URL) is True
    assert await provider.callbacks_registered(URL) is True
    assert await provider.register_callbacks(URL) is False
    assert there == [OTHERS, hook()]
    assert [seen.method for seen in server.seen].count("POST") == 1


@pytest.mark.parametrize("act", [answer(b'{"success":false,"error_message":"no"}'), answer(b"900"), cut()])
async def test_registering_in_vain_is_refused_and_not_repeated(
    make: Callable[..., Seven], server: WireServer, act: Any
) -> None:
    server.script.extend([answer(hooks()), act])
    with pytest.raises(ProviderRefused) as refused:
        await make().register_callbacks(URL)
    assert URL not in str(refused.value)
    assert [seen.method for seen in server.seen] == ["GET", "POST"]


async def test_batches_ask_once_in_ten_minutes_and_after_a_no_each_minute(
    make: Callable[..., Seven], server: WireServer
) -> None:
    now = 1000.0
    provider = make(monotonic=lambda: now)
    account = Account(provider, at_once, 1, callbacks=URLS)
    server.free[HOOKS] = hooks()
    assert not any(await asyncio.gather(*(account.is_called_back() for _ in range(5))))
    assert len(server.seen) == 1
    server.free[HOOKS] = hooks(hook())
    assert not await account.is_called_back()
    now += 61
    assert await account.is_called_back()
    server.free[HOOKS] = b"<html>"
    now += 599
    assert await account.is_called_back()
    assert len(server.seen) == 2
    now += 2
    assert not await account.is_called_back()  # then it is asked as one that does not call
    assert len(server.seen) == 3


async def test_who_does_not_answer_holds_no_batch_up(make: Callable[..., Seven], server: WireServer) -> None:
    server.script.append(hang())
    provider = make(timeout_seconds=0.3)
    assert not await Account(provider, at_once, 1, callbacks=URLS).is_called_back()
    assert not await Account(provider, at_once, 1, callbacks=URLS).is_called_back()
    assert len(server.seen) == 1
    assert not await Account(provider, at_once, 1).is_called_back()  # nobody hears it
