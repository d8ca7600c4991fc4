"""Callbacks over real HTTP: who may, what is stored, and that 200 means stored."""

import asyncio
import gzip
import hmac
import io
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from yarl import URL

from campaigns.domain import callbacks as domain_callbacks
from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.provider import CallbackRefused, Receipt
from campaigns.domain.states import MessageState
from tests.contract.web.conftest import PUBLIC_URL, SECRET, URLS, Web, is_free
from tests.waiting import until
from worker.web.callbacks import MAX_BODY_BYTES

REF = "0123456789abcdef0123456789abcdef-4711"
DELIVERED = Receipt("stub-1", MessageState.DELIVERED, "delivered")


@pytest.mark.parametrize(
    ("method", "how", "account"),
    [
        ("GET", {}, "main"),
        ("POST", {"data": b"x"}, "main"),
        # What only the application's routes take.
        ("POST", {"data": b"x", "expect100": True}, "main"),
        ("GET", {}, "%6dain"),
    ],
)
async def test_the_receipt_of_a_genuine_callback_is_stored(
    web: Web, method: str, how: dict[str, Any], account: str
) -> None:
    address = web.path(URLS.url_of_account()).replace("/main/", f"/{account}/")
    url = URL(f"{address}?id=stub-1&state=delivered", encoded=True)
    async with web.client.request(method, url, **how) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert web.book.stored == [("main", DELIVERED)]
    assert web.stub.heard[0].url == URLS.url_of_account() + "?id=stub-1&state=delivered"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("?a=1&state=%C4%8Di+q&a=%2B2&b=", [("a", "1"), ("state", "či q"), ("a", "+2"), ("b", "")]),
        ("?a=1&state==x=y&&a=2;3&b=&c", [("a", "1"), ("state", "=x=y"), ("a", "2;3"), ("b", ""), ("c", "")]),
        ("", []),
    ],
)
async def test_the_adapter_sees_it_as_it_came(web: Web, query: str, fields: list[tuple[str, str]]) -> None:
    """The public address with its query, headers in any case, and the very bytes of the body."""
    body, before = gzip.compress(b"{}") + b"\x00\xff", datetime.now(UTC)
    async with web.client.post(
        URL(web.path(URLS.url_of_account()) + query, encoded=True),
        data=body,
        headers={"X-Signature": "abc", "Content-Encoding": "gzip", "Host": "elsewhere.test"},
    ) as answer:
        assert answer.status == 400  # the stub cannot use it
    (heard,) = web.stub.heard
    assert heard.url == URLS.url_of_account() + query
    assert (heard.method, heard.body) == ("POST", body)
    assert list(heard.query) == fields
    assert (heard.headers["x-signature"], heard.headers["X-SIGNATURE"]) == ("abc", "abc")
    assert before <= heard.received_at <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("said", ["", "&ref=somebody-elses"])
async def test_the_address_of_a_message_proves_whose_receipt_it_is(web: Web, said: str) -> None:
    url = web.path(URLS.url_of_message(REF)) + f"?id=stub-1&state=sent&state=delivered{said}"
    async with web.client.get(url) as answer:
        assert answer.status == 200
    assert web.book.stored == [
        ("main", Receipt("stub-1", None, "sent", REF)),
        ("main", Receipt("stub-1", None, "delivered", REF)),
    ]


async def test_where_the_address_names_no_message_the_body_does(web: Web) -> None:
    async with web.client.get(web.path(URLS.url_of_account()) + "?ref=ours&state=sent") as answer:
        assert answer.status == 200
    assert web.book.stored == [("main", Receipt(None, MessageState.SENT, "sent", "ours"))]


async def test_a_callback_that_says_nothing_is_taken_and_nothing_is_written(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.stub, "read_callback", lambda _: [])
    async with web.client.get(web.path(URLS.url_of_account())) as answer:
        assert answer.status == 200
    assert web.book.begun == 0


# --- who may -----------------------------------------------------------------------------------------


def wrong_addresses() -> dict[str, str]:
    """What somebody may try who does not hold the secret."""
    other, guessed = CallbackUrls("silent", PUBLIC_URL, SECRET), CallbackUrls("main", PUBLIC_URL, "x" * 16)
    return {
        "no token": f"{PUBLIC_URL}/callbacks/main/x",
        "another secret": guessed.url_of_account(),
        "another message": f"{PUBLIC_URL}/callbacks/main/other.{URLS.token_of_message(REF).split('.')[1]}",
        "another account": f"{PUBLIC_URL}/callbacks/main/{other.token_of_account()}",
        "an account that takes none": other.url_of_account(),
        "an account nobody knows": f"{PUBLIC_URL}/callbacks/nobody/{URLS.token_of_account()}",
        "cut": URLS.url_of_account()[:-1],
        "more than all": URLS.url_of_account() + "x",
        "a letter of another size": URLS.url_of_token(URLS.token_of_account().swapcase()),
        "no Unicode": f"{PUBLIC_URL}/callbacks/main/%ff%00",
    }


@pytest.mark.parametrize("name", wrong_addresses())
async def test_any_other_address_is_not_there(web: Web, name: str, caplog: pytest.LogCaptureFixture) -> None:
    url = wrong_addresses()[name]
    async with web.client.get(web.path(url) + "?id=stub-1&state=delivered") as answer:
        assert answer.status == 404
    assert (web.stub.heard, web.book.begun) == ([], 0)
    for word in (url.rpartition("/")[2], "stub-1", "delivered"):
        assert word not in caplog.text


async def test_an_account_nobody_knows_is_looked_at_as_long_as_another(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append(len(first))
        return hmac.compare_digest(first, second)

    fake = type("hmac", (), {"compare_digest": staticmethod(compare), "digest": staticmethod(hmac.digest)})
    monkeypatch.setattr(domain_callbacks, "hmac", fake)
    for account in ("main", "silent", "nobody"):
        async with web.client.get(f"{web.url}/callbacks/{account}/{'x' * 32}") as answer:
            assert answer.status == 404
    assert compared == [32, 32, 32]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_are_not_allowed(web: Web, method: str) -> None:
    async with web.client.request(
        method, web.path(URLS.url_of_account()) + "?id=stub-1&state=sent"
    ) as answer:
        assert answer.status == 405
    assert (web.stub.heard, web.book.begun) == ([], 0)


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CallbackRefused(403, "the signature\nis wrong"), 403, "the signature is wrong\n"),
        (CallbackRefused(200, "a status that is none of a refusal"), 400, "a status that is none"),
        (KeyError("+37060000001"), 500, "it could not be read\n"),
    ],
)
async def test_what_the_adapter_refuses_is_refused(
    web: Web, error: Exception, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    web.stub.error = error
    url = web.path(URLS.url_of_account())
    async with web.client.post(url, data="phone=%2B37060000001") as answer:
        assert answer.status == status
        assert (await answer.text()).startswith(said)
        assert "37060000001" not in await answer.text()
    assert web.book.begun == 0
    (line,) = [record for record in caplog.records if record.name == "campaigns.web"]
    assert line.levelno >= logging.WARNING
    for word in ("37060000001", URLS.token_of_account(), SECRET):
        assert word not in caplog.text


async def test_a_body_may_hold_so_much_and_not_a_byte_more(web: Web) -> None:
    url = web.path(URLS.url_of_account()) + "?id=stub-1&state=delivered"
    async with web.client.post(url, data=io.BytesIO(b"x" * MAX_BODY_BYTES)) as answer:
        assert answer.status == 200
    assert len(web.stub.heard[0].body) == MAX_BODY_BYTES
    async with web.client.post(url, data=io.BytesIO(b"x" * (MAX_BODY_BYTES + 1))) as answer:
        assert answer.status == 413
        assert str(MAX_BODY_BYTES) in await answer.text()

    async def pieces() -> object:
        for _ in range(70):
            yield b"x" * (MAX_BODY_BYTES // 64)

    async with web.client.post(url, data=pieces()) as answer:  # its length is not said before
        assert answer.status == 413
    assert len(web.book.stored) == 1
    assert len(web.stub.heard) == 1


async def test_a_body_that_breaks_off_is_nothing(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    path = web.path(URLS.url_of_account()).removeprefix(web.url)
    head = f"POST {path}?id=1&state=sent HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
    reader, writer = await asyncio.open_connection(*_place(web))
    writer.write(head.encode())
    writer.close()
    await until(lambda: caplog.records)
    assert (web.stub.heard, web.book.begun) == ([], 0)
    assert URLS.token_of_account() not in caplog.text
    assert await reader.read() == b""


async def test_what_is_no_http_leaves_no_token_in_the_log(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path = URLS.url_of_account()
    for garbage in (
        f"GET {path} HTTP/9.9.9\r\n\r\n",
        f"G\x00T {path}\r\n\r\n",
        f"GET {path} HTTP/1.1\r\nHeader without colon {path}\r\n\r\n",
        f"GET {path}?{'x' * 40_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        answer = await web.raw(garbage.encode())
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert b"application/problem+json" in answer
        assert b"xxx" not in answer
        assert path.encode() not in answer
    assert caplog.records
    assert URLS.token_of_account() not in caplog.text
    assert "Traceback" not in caplog.text
    assert web.stub.heard == []


async def test_nothing_of_a_callback_stands_in_the_log_when_all_goes_well(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with web.client.get(web.path(URLS.url_of_message(REF)) + "?id=stub-1&state=sent") as answer:
        assert answer.status == 200
    for word in (URLS.token_of_message(REF), "stub-1", "state=sent"):
        assert word not in caplog.text


# --- durable before 200 ------------------------------------------------------------------------------


async def test_it_is_answered_when_it_is_stored_and_many_share_a_write(web: Web) -> None:
    web.book.gate.clear()
    url = web.path(URLS.url_of_account())

    async def call(number: int) -> int:
        async with web.client.get(f"{url}?id=stub-{number}&state=delivered") as answer:
            return answer.status

    calls = [asyncio.create_task(call(0))]
    await until(lambda: web.book.begun == 1)
    calls += [asyncio.create_task(call(number)) for number in range(1, 60)]
    await until(lambda: len(web.stub.heard) == 60)
    assert not any(call.done() for call in calls)
    web.book.gate.set()
    assert await asyncio.gather(*calls) == [200] * 60
    assert web.book.sizes == [1, 59]
    assert {receipt.provider_message_id for _, receipt in web.book.stored} == {f"stub-{n}" for n in range(60)}


async def test_while_the_database_is_away_they_are_asked_to_come_again(web: Web) -> None:
    web.book.error = DatabaseUnavailable("PostgreSQL cannot be used: ConnectionRefusedError")
    url = web.path(URLS.url_of_account()) + "?id=stub-1&state=delivered"
    async with web.client.get(url) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await answer.text()).count("\n") == 1
    web.book.error = None
    async with web.client.get(url) as answer:
        assert answer.status == 200
    assert web.book.stored == [("main", DELIVERED)]


async def test_when_it_ends_it_takes_nothing_new_and_answers_what_came(web: Web) -> None:
    web.book.gate.clear()
    url = web.path(URLS.url_of_account()) + "?id=stub-1&state=delivered"

    async def call() -> int:
        async with web.client.get(url) as answer:
            return answer.status

    under_way = asyncio.create_task(call())
    await until(lambda: web.book.begun == 1)
    web.server.cancel()
    await until(lambda: is_free(web.url))
    assert not under_way.done()
    assert not web.server.done()
    web.book.gate.set()
    assert await under_way == 200
    await asyncio.wait([web.server])
    assert web.book.stored == [("main", DELIVERED)]


def _place(web: Web) -> tuple[str, int]:
    host, _, port = web.url.removeprefix("http://").rpartition(":")
    return host, int(port)
