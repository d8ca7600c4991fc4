"""What every page keeps: headers, scopes, owners, escaping, languages; and parts that are told anew."""

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import pytest

from campaigns import reading
from campaigns.domain.access import Scope
from campaigns.store.session import Database
from tests.contract.web.api.conftest import SECRET_PHONE
from tests.contract.web.pages.conftest import ALL_SCOPES, SAME, Browser, path_of
from tests.integration.rows import query
from tests.river import phones, submit
from tests.waiting import until
from worker.web import streams
from worker.web.api import campaigns as api_campaigns
from worker.web.pages.table import PAGES

GETS = [
    page for page in PAGES if page.method == "GET" and "{webhook" not in page.path and not page.for_all_owners
]
NASTY = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{7*7}}[/b]\u202etxt.exe"""


async def test_every_answer_carries_the_policy(
    browser: Browser, ours: UUID, subtests: pytest.Subtests
) -> None:
    stranger = Browser(browser.web, browser.database, "")
    answers = {page.path: await browser.get(path_of(page.path, ours)) for page in GETS}
    assert {answer.status for answer in answers.values()} == {200}
    answers |= {
        "404": await browser.get("/nothing/here"),
        "303": await stranger.get("/"),
        "401": await stranger.call("POST", "/sign-in", headers=SAME, data={"key": "cmp_x"}),
        "403": await browser.call("POST", f"/campaigns/{ours}/pause"),
        "sign-in": await stranger.get("/sign-in"),
        "422": await browser.get("/campaigns?state=nonsense"),
    }
    for name, answer in answers.items():
        with subtests.test(name):
            if answer.headers.get("Content-Type", "").startswith("text/csv"):
                continue
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
            assert "require-trusted-types-for 'script'" in policy
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert not re.search(r"<style|\sstyle=|<script(?! src=\"/static/)|\son\w+=", answer.text)


async def test_what_pages_are_dressed_with_is_kept_for_good(browser: Browser) -> None:
    found = re.findall(r"/static/[\w.]+", (await browser.get("/")).text)
    assert {path.rpartition(".")[2] for path in found} == {"css", "js", "svg"}
    for path in found:
        said = await browser.get(path, **{"Accept-Encoding": "identity"})
        assert (said.status, said.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert (await browser.get("/static/app.css")).status == 404


async def test_a_page_wants_the_scope_it_declares(
    browser: Browser, ours: UUID, subtests: pytest.Subtests
) -> None:
    """Each page and act with every scope but its own, and nothing is done."""
    for page in PAGES:
        with subtests.test(page.path):
            scopes = tuple(scope for scope in ALL_SCOPES if scope != page.scope)
            other = await browser.other(scopes=scopes)
            path = path_of(page.path, ours)
            said = await (other.get(path) if page.method == "GET" else other.post(path))
            assert said.status == 403
    assert (await reading.status(browser.database, ours)).state == "accepted"


async def test_what_is_anothers_does_not_exist(
    browser: Browser, ours: UUID, theirs: UUID, subtests: pytest.Subtests
) -> None:
    for page in PAGES:
        if "{id" in page.path:
            with subtests.test(page.path):
                path = path_of(page.path, theirs)
                form = {"name": "x", "decision": "assume_sent"}
                said = await (browser.get(path) if page.method == "GET" else browser.post(path, **form))
                assert said.status == 404
    for path in ("/", "/campaigns", "/campaigns?q=Secret"):
        text = (await browser.get(path)).text
        assert "Secret" not in text.replace('value="Secret"', "").replace("?q=Secret", "")
        assert SECRET_PHONE not in text
    assert str(ours) in (await browser.get("/campaigns")).text


async def test_what_others_wrote_is_text(browser: Browser, database: Database) -> None:
    rows = [*phones(2), {"phone": "x"}]
    taken = await submit(
        database, rows, name=NASTY.replace("\u202e", ""), text=NASTY, sender_id="Demo", owner="shop"
    )
    await query(database, "UPDATE batch SET trouble = $1", NASTY)
    await query(
        database,
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
        " SELECT id, 'text', $1, $1, sender_id FROM campaign",
        NASTY,
    )
    pages = [page for page in GETS if ".csv" not in page.path]
    for page in pages:
        said = await browser.get(path_of(page.path, taken.id))
        assert said.status == 200
        assert "<img" not in said.text
        assert "<script>" not in said.text
        assert "49" not in re.findall(r"alert\(1\)&gt;(\d\d)", said.text)
    assert "<bdi>" in (await browser.get(f"/campaigns/{taken.id}")).text


async def test_numbers_are_for_those_who_may_read_them(browser: Browser, ours: UUID) -> None:
    phone = phones(1)[0]["phone"]
    assert phone in (await browser.get(f"/campaigns/{ours}/messages")).text
    other = await browser.other(scopes=("read", "operate"))
    for page in GETS:
        said = await other.get(path_of(page.path, ours))
        assert phone not in said.text
        assert "Hello" not in said.text, "nor the text"


async def test_pages_are_read_in_two_languages(browser: Browser) -> None:
    english = await browser.get("/campaigns")
    assert '<html lang="en-GB">' in english.text
    lithuanian = await browser.get("/campaigns", **{"Accept-Language": "de, lt;q=0.8, en;q=0.5"})
    assert "<h1>Kampanijos</h1>" in lithuanian.text
    chosen = await browser.post("/language", code="lt", next="/campaigns")
    assert chosen.headers["Location"] == "/campaigns"
    assert "<h1>Kampanijos</h1>" in (await browser.get("/campaigns")).text


async def test_acts_do_what_they_say(browser: Browser, database: Database, ours: UUID) -> None:
    here = f"/campaigns/{ours}"
    assert (await browser.post(f"{here}/pause")).headers["Location"] == f"{here}?done=paused"
    assert "Paused. What was handed over" in (await browser.get(f"{here}?done=paused")).text
    assert (await reading.status(database, ours)).state == "paused"
    assert (await browser.post(f"{here}/resume")).status == 303
    assert (await browser.post(f"{here}/rename", name="Winter")).status == 303
    assert (await browser.post(f"{here}/cancel")).status == 303
    campaign = await reading.status(database, ours)
    assert (campaign.name, campaign.state) == ("Winter", "cancelled")
    refused = await browser.post(f"{here}/resume")
    assert refused.status == 409
    assert "Its present state does not allow that." in refused.text
    rows = await query(
        database, "SELECT action FROM audit WHERE subject = $1 ORDER BY id", f"campaign/{ours}"
    )
    acts = ["campaign.pause", "campaign.resume", "campaign.rename", "campaign.cancel", "campaign.resume"]
    assert [row["action"] for row in rows] == acts
    page = (await browser.get(here)).text
    assert all(act in page for act in acts), "and the page tells who did what"
    assert page.count('<form method="post" action="/campaigns/') == page.count('class="ask"') > 0, (
        "it asks first"
    )
    unconfirmed = await browser.post(f"{here}/resolve", decision="resend")
    assert unconfirmed.status == 422, "a second text is sent to nobody who was not thought of"


# --- parts that are told anew ---


async def watch(
    browser: Browser, path: str, count: int, events: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """So many events of a page, read; `events`: where they are seen as they come."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    headers = {"Accept": "text/event-stream", "Cookie": cookie}
    events = [] if events is None else events
    async with browser.web.client.get(browser.web.url + path, headers=headers) as response:
        assert response.status == 200
        while len(events) < count:
            line = (await response.content.readline()).decode()
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
            elif not line:
                break
    return events


async def test_many_who_see_the_same_cost_one_look(
    browser: Browser, database: Database, ours: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty browsers with keys of their own hear of a change that was looked for once."""
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.1)
    looks, status = [0], reading.status

    async def counted(*given: Any, **more: Any) -> Any:
        looks[0] += 1
        return await status(*given, **more)

    browsers = [browser, *[await browser.other() for _ in range(9)]] * 2
    heard: list[list[dict[str, Any]]] = [[] for _ in browsers]
    path = f"/campaigns/{ours}"
    watching = [
        asyncio.create_task(watch(each, path, 2, events))
        for each, events in zip(browsers, heard, strict=True)
    ]
    await until(lambda: all(heard))
    monkeypatch.setattr(api_campaigns.reading, "status", counted)
    await query(database, "UPDATE campaign SET state = 'paused' WHERE id = $1", ours)
    await asyncio.gather(*watching)
    assert looks[0] <= 4
    for first, then in heard:
        assert "Pause…" in first["head"]
        assert "Resume…" in then["head"]
        assert "progress" not in then, "only what has changed is told"


async def test_a_look_is_shared_by_those_alone_who_may_see_the_same(
    browser: Browser, database: Database, ours: UUID, theirs: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scopes, language and owner: each hears of a change what their own page would say."""
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.1)
    less, other = await browser.other(scopes=(Scope.READ,)), await browser.other(owner="clinic")
    lithuanian = await browser.other()
    lithuanian.cookies["language"] = "lt"
    here = f"/campaigns/{ours}"
    seen = [(browser, here), (less, here), (lithuanian, here), (browser, "/"), (other, "/")]
    heard: list[list[dict[str, Any]]] = [[] for _ in seen]
    watching = [
        asyncio.create_task(watch(each, path, 2, events))
        for (each, path), events in zip(seen, heard, strict=True)
    ]
    await until(lambda: all(heard))
    await query(database, "UPDATE campaign SET state = 'paused'")
    await asyncio.gather(*watching)
    told = [json.dumps(events, ensure_ascii=False) for events in heard]
    assert "Resume…" in told[0]
    assert "popovertarget" not in told[1]
    assert ("Tęsti…" in told[2], "Resume…" in told[2]) == (True, False)
    assert ("Spring sale" in told[3], "Secret" in told[3]) == (True, False)
    assert ("Spring sale" in told[4], "Secret" in told[4]) == (False, True)


async def test_a_part_knows_no_session_and_is_told_once(browser: Browser, ours: UUID) -> None:
    page = (await browser.get(f"/campaigns/{ours}")).text
    (version,) = re.findall(r'data-live="(\w+)"', page)
    (whole,) = await watch(browser, f"/campaigns/{ours}", 1)
    assert set(whole) == set(re.findall(r'data-part="(\w+)"', page))
    assert await browser.token() not in json.dumps(whole)
    other = await browser.other(scopes=(Scope.READ,))
    (less,) = await watch(other, f"/campaigns/{ours}", 1)
    assert "popovertarget" not in json.dumps(less), "who may do nothing is shown no button"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await watch(browser, f"/campaigns/{ours}?seen={version}", 1)
