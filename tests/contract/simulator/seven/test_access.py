"""Who may speak to seven.io: keys and signed requests."""

import time
from urllib.parse import urlencode, urlsplit

import pytest

from tests.contract.simulator.accounts import KEY
from tests.contract.simulator.accounts import SevenAccount as Account
from tests.contract.simulator.client import PHONE
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.seven.signing import SIGNING_KEY, sign

ENDPOINTS = [
    ("POST", "sms"),
    ("GET", "status"),
    ("POST", "status"),
    ("GET", "balance"),
    ("GET", "pricing"),
    ("GET", "journal/outbound"),
    ("GET", "journal"),
    ("GET", "hooks"),
    ("POST", "hooks"),
    ("DELETE", "hooks"),
    ("DELETE", "sms"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_every_endpoint_wants_the_key(account: Account, method: str, path: str) -> None:
    for headers, code in (
        ({"X-Api-Key": ""}, "300"),
        ({"X-Api-Key": "wrong"}, "900"),
        ({"X-Api-Key": KEY.upper()}, "900"),
        ({"X-Api-Key": "", "Authorization": "Basic wrong"}, "900"),
        ({"X-Api-Key": "", "Authorization": f"Digest {KEY}"}, "900"),
        ({"Authorization": "Basic wrong"}, "900"),
    ):
        reply = await account.ask(method, path, **headers)
        assert (reply.status, reply.json()) == (200, code), headers
    for scheme in ("Basic", "basic", "Bearer"):
        good = await account.ask(method, path, **{"X-Api-Key": "", "Authorization": f"{scheme} {KEY}"})
        assert good.json() not in ("300", "900")
    assert (await account.ask(method, f"{path}?p=wrong", **{"X-Api-Key": ""})).json() == "900"
    good = await account.ask(method, f"{path}?p={KEY}", **{"X-Api-Key": ""})
    assert good.json() not in ("300", "308", "900")


async def test_a_request_may_be_signed_and_then_must_be_right(open_account: Open) -> None:
    account = await open_account(signing_key=SIGNING_KEY)
    body = urlencode({"to": PHONE, "text": "Hello"}).encode()
    url = f"{account.simulator.url}/api/sms"
    now = str(int(time.time()))

    async def said(timestamp: str = now, nonce: str = "n" * 32, **more: str) -> object:
        made = sign(timestamp, nonce, "POST", more.pop("url", url), body, more.pop("key", SIGNING_KEY))
        headers = {"X-Timestamp": timestamp, "X-Nonce": nonce, "X-Signature": made, **more}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return (await account.ask("POST", "sms", body, **form, **headers)).json()

    assert isinstance(await said(), dict)
    for wrong in (
        await said(str(int(now) - 40)),
        await said(str(int(now) + 40)),
        await said(nonce="n" * 33),
        await said(url=url + "?"),
        await said(**{"X-Signature": "0" * 64}),
        await said(**{"X-Signature": ""}),
        await said(**{"X-Timestamp": ""}),
    ):
        assert wrong == "901"
    await account.simulator.fault("*", "clock", offset_seconds=40)
    assert await said() == "901"
    await account.simulator.delete("/_faults")
    account = await open_account()
    url = f"{account.simulator.url}/api/sms"
    assert await said() == await said(key="") == "901"  # this one has no signing key


async def test_what_is_signed_is_the_whole_address(open_account: Open) -> None:
    account = await open_account(signing_key=SIGNING_KEY)
    now = str(int(time.time()))
    made = sign(now, "n", "GET", f"{account.simulator.url}/api/journal/outbound?to=%2B370&limit=5", b"")
    headers = {"X-Timestamp": now, "X-Nonce": "n", "X-Signature": made}
    simulator = account.simulator
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"X-Api-Key": KEY, **headers}.items())
    line = await simulator.connect()
    try:
        host = urlsplit(simulator.url).netloc
        line.writer.write(
            f"GET /api/journal/outbound?to=%2B370&limit=5 HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
        )
        _, body = await line.answer()
    finally:
        await line.close()
    assert body == b"[]"
