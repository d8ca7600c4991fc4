"""Signing in and out: what the cookie is, what ends a session, and whose forms are believed."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from redis.asyncio import Redis

from campaigns import dashboard_sessions, keys, reading
from campaigns.store.session import Database
from tests.contract.web.api.conftest import OPERATOR
from tests.contract.web.conftest import PUBLIC_URL, SECRET, web_of
from tests.contract.web.pages.conftest import SAME, Browser, path_of
from tests.integration.rows import query
from worker.web.pages.sessions import local_address
from worker.web.pages.table import PAGES


async def test_a_key_is_exchanged_for_a_secret_that_is_kept_nowhere(
    stranger: Browser, database: Database
) -> None:
    assert (await stranger.get("/campaigns")).headers["Location"] == "/sign-in?next=/campaigns"
    said = await stranger.call(
        "POST", "/sign-in", headers=SAME, data={"key": stranger.key, "next": "/campaigns"}
    )
    assert (said.status, said.headers["Location"]) == (303, "/campaigns")
    name, _, attributes = said.headers["Set-Cookie"].partition("=")
    secret = stranger.cookies["session"]
    assert name == "session"
    assert len(bytes.fromhex(secret)) * 8 == 256
    assert secret not in stranger.key
    assert stranger.key not in said.text
    assert {part.strip() for part in attributes.split(";")[1:]} == {
        "HttpOnly",
        "Max-Age=43200",
        "Path=/",
        "SameSite=Strict",
    }
    assert (await stranger.get("/campaigns")).status == 200
    rows = await query(
        database, "SELECT s::text AS s FROM dashboard_session s UNION SELECT a::text FROM audit a"
    )
    assert rows
    assert not any(secret in row["s"] or stranger.key in row["s"] for row in rows)


async def test_behind_https_the_cookie_goes_nowhere_else(database: Database, redis: Redis) -> None:
    settings = {"public_url": PUBLIC_URL, "callback_secret": SECRET}
    async with web_of(database, redis, settings=settings) as web:
        made = await keys.create(database, OPERATOR, owner="shop", scopes=["read"])
        browser = Browser(web, database, made.key)
        said = await browser.sign_in()
        assert said.headers["Set-Cookie"].startswith("__Host-session=")
        assert "Secure" in said.headers["Set-Cookie"]
        assert "max-age" in said.headers["Strict-Transport-Security"]
        assert (await browser.get("/")).status == 200


async def test_a_wrong_key_opens_nothing_and_may_not_be_guessed(stranger: Browser) -> None:
    for _ in range(10):
        said = await stranger.call("POST", "/sign-in", headers=SAME, data={"key": f"{stranger.key[:-1]}x"})
        assert said.status == 401
        assert "Set-Cookie" not in said.headers
    assert (await stranger.sign_in()).status == 429, "also the right one: guessing is slow"


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE dashboard_session SET created_at = now() - interval '12 hours'",
        "UPDATE dashboard_session SET used_at = now() - interval '1 hour'",
        "UPDATE api_key SET revoked_at = now()",
        "UPDATE api_key SET expires_at = now()",
    ],
)
async def test_a_session_is_over_at_the_next_request(browser: Browser, database: Database, what: str) -> None:
    assert (await browser.get("/")).status == 200
    await query(database, what)
    assert (await browser.get("/")).headers["Location"] == "/sign-in"
    assert (await browser.get("/", Accept="text/event-stream")).status == 401, (
        "nor does its stream come again"
    )


async def test_who_signs_out_is_out_on_the_server(browser: Browser) -> None:
    kept = dict(browser.cookies)
    assert (await browser.post("/sign-out")).headers["Location"] == "/sign-in?done=signed-out"
    assert browser.cookies == {}
    browser.cookies = kept
    assert (await browser.get("/")).headers["Location"] == "/sign-in"


async def test_a_new_sign_in_ends_the_session_before(browser: Browser) -> None:
    former = dict(browser.cookies)
    await browser.sign_in()
    assert browser.cookies != former
    browser.cookies = former
    assert (await browser.get("/")).headers["Location"] == "/sign-in"


async def test_a_link_signs_in_once_and_soon(stranger: Browser, database: Database) -> None:
    """Whatever else is asked for: a cookie of it, a look whether it is alive, a key that is over."""
    key_id = stranger.key.split("_")[1]

    async def opened(secret: str, method: str = "GET") -> str | None:
        stranger.cookies.clear()
        return (await stranger.call(method, f"/sign-in/{secret}")).headers.get("Location")

    link, late, revoked = [await dashboard_sessions.make_link(database, OPERATOR, key_id) for _ in range(3)]
    stranger.cookies = {"session": link}
    assert (await stranger.get("/")).headers["Location"] == "/sign-in", "it is no cookie"
    assert await opened(link, "HEAD") is None
    assert await opened(link) == "/"
    assert (await stranger.get("/campaigns")).status == 200
    session = stranger.cookies["session"]
    for used in (link, session, "0" * 32, "x"):
        assert await opened(used) == "/sign-in?done=link-over"
        assert stranger.cookies == {}
    await query(
        database,
        "UPDATE dashboard_session SET created_at = created_at - interval '10 minutes' WHERE secret_hash = $1",
        sha256(f"link {late}".encode()).digest(),
    )
    assert await opened(late) == "/sign-in?done=link-over"
    await query(database, "UPDATE api_key SET revoked_at = now()")
    assert await opened(revoked) == "/sign-in?done=link-over"


async def test_only_forms_of_our_own_pages_and_this_session_are_believed(
    browser: Browser, database: Database, ours: UUID, subtests: pytest.Subtests
) -> None:
    """Each act there is, and signing out."""
    another = await (await browser.other()).token()
    token = await browser.token()
    host = browser.web.url
    acts = [page.path for page in PAGES if page.method == "POST"]
    assert len(acts) > 4
    for pattern in [*acts, "/sign-out"]:
        path = path_of(pattern, ours)
        forged = {
            "cross-site": ({"Sec-Fetch-Site": "cross-site", "Origin": host}, token),
            "a sister domain": ({"Sec-Fetch-Site": "same-site"}, token),
            "another origin": ({"Origin": "https://evil.test"}, token),
            "no origin": ({}, token),
            "a null origin": ({"Origin": "null"}, token),
            "no token": (SAME, ""),
            "another session's token": (SAME, another),
        }
        for what, (headers, shown) in forged.items():
            with subtests.test(path=pattern, what=what):
                data = {"token": shown, "name": "forged", "decision": "assume_sent"}
                said = await browser.call("POST", path, headers=headers, data=data)
                assert said.status == 403
    campaign = await reading.status(database, ours)
    assert (campaign.name, campaign.state) == ("Spring sale", "accepted")
    assert (await browser.post(f"/campaigns/{ours}/pause", headers={"Origin": host})).status == 303


@pytest.mark.parametrize(
    "given", ["//evil.test", "/\\evil.test", "https://evil.test", "", "/\nx", "javascript:1"]
)
def test_sign_in_goes_on_to_our_own_pages_alone(given: str) -> None:
    assert local_address(given) == "/"
    assert local_address("/campaigns?q=a") == "/campaigns?q=a"


async def test_use_is_noted_once_a_minute(browser: Browser, database: Database) -> None:
    moments = "SELECT used_at FROM dashboard_session"
    (first,) = await query(database, moments)
    await browser.get("/")
    assert await query(database, moments) == [first]
    await query(database, "UPDATE dashboard_session SET used_at = now() - interval '2 minutes'")
    await browser.get("/")
    (then,) = await query(database, moments)
    assert then["used_at"] - first["used_at"] < timedelta(minutes=1)
    assert then["used_at"] >= first["used_at"]
