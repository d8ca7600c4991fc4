"""The pages beside campaigns: messages, accounts, suppression, webhooks, keys, audit."""

import re
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import pytest

from campaigns import holding, keys
from campaigns.cleaning import NOTES
from campaigns.cleaning import REASONS as CAUSES
from campaigns.domain.access import Scope
from campaigns.domain.timeline import Source
from campaigns.domain.webhooks import chosen_events
from campaigns.outbox import create, send_test
from campaigns.store.session import Database
from tests.contract.web.api.conftest import SECRET_PHONE
from tests.contract.web.pages.conftest import SAME, Browser
from tests.integration.rows import query
from tests.river import phones
from worker.web.pages import key_pages, messages, suppression
from worker.web.pages.reasons import REASONS

PHONE = phones(1)[0]["phone"]


def test_every_word_has_a_sentence() -> None:
    assert set(REASONS) == {*CAUSES, *NOTES}
    assert set(messages.SOURCES) == set(Source)
    assert set(key_pages.MEANINGS) == set(Scope)


async def test_a_message_is_found_and_shown_with_its_timeline(
    browser: Browser, ours: UUID, theirs: UUID
) -> None:
    found = await browser.post("/messages", by="phone", value=PHONE)
    reference = re.findall(r'href="(/messages/[\w-]+)"', found.text)[0]
    one = await browser.get(reference)
    assert PHONE in one.text
    assert "Submitted" in one.text
    nothing = await browser.post("/messages", by="phone", value=SECRET_PHONE)
    assert "No message was found." in nothing.text
    assert (await browser.get(f"/messages/{theirs.hex}-1-0")).status == 404
    assert (await browser.post("/messages", by="phone", value="x")).status == 422


async def test_an_account_is_shown_and_its_hold_lifted(
    browser: Browser, database: Database, ours: UUID
) -> None:
    await query(
        database,
        "INSERT INTO account_hold (account, code, reason, since, probe_at)"
        " VALUES ('main', 'no_money', 'no money left', now(), now())",
    )
    one = await browser.get("/accounts/main")
    assert "1,000,000.00" in one.text
    listed = (await browser.get("/accounts")).text
    assert "no money left" in listed
    assert listed.count("1,000,000.00") == 1, "as it was told for the page before; nobody waits for others"
    assert "250" in one.text
    assert (await browser.get("/accounts/main?month=2020-01")).status == 200
    assert (await browser.get("/accounts/nobody")).status == 404
    await query(database, "UPDATE account_hold SET probe_at = now() + interval '1 h'")
    assert (await browser.post("/accounts/main/probe")).headers["Location"].endswith("?done=account-probed")
    assert await holding.deal_probes(database) == ["main"]
    assert (await browser.post("/accounts/main/resume")).headers["Location"].endswith("?done=account-resumed")
    assert await query(database, "SELECT 1 FROM account_hold") == []


async def test_numbers_are_put_on_the_list_found_and_taken_off(browser: Browser, database: Database) -> None:
    assert "The list is empty." in (await browser.get("/suppression")).text
    added = await browser.post(
        "/suppression/add", phones="+37060000011\r\n860000012", region="lt", reason="STOP"
    )
    assert added.headers["Location"] == "/suppression?done=suppressed"
    assert "STOP" in (await browser.get("/suppression")).text
    assert "+37060000012" in (await browser.post("/suppression/search", phone="+37060000012")).text
    assert "messages to it are sent" in (await browser.post("/suppression/search", phone="+37060000019")).text
    other = await browser.other(scopes=("suppress", "read"))
    page = await other.get("/suppression")
    assert "+37060000011" not in page.text
    assert "+370 ··· 11" in page.text

    def file(content: bytes, token: str) -> aiohttp.FormData:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("token", token)
        form.add_field("file", content, filename="list.csv", content_type="text/csv")
        return form

    token = await browser.token()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "_MOST_IMPORTED", 2)
        much = file(b"phone\n+37060000015\n1\n2\n", token)
        assert (await browser.call("POST", "/suppression/import", headers=SAME, data=much)).status == 413
    rows = b"id,phone\n1,+37060000013\n2,+37060000014\n"
    refused = await browser.call(
        "POST", "/suppression/import", headers=SAME, data=file(rows + b"3,12\n", token)
    )
    assert refused.status == 422
    assert "row 4" in refused.text
    taken = await browser.call("POST", "/suppression/import", headers=SAME, data=file(rows, token))
    assert taken.status == 303
    await browser.post("/suppression/remove", phones="+37060000011")
    lines = (await browser.get("/suppression.csv")).text.splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == ["+37060000012", "+37060000013", "+37060000014"]


async def test_a_webhook_is_made_tested_replayed_and_deleted(browser: Browser, database: Database) -> None:
    made = await browser.post(
        "/webhooks", url="https://93.184.216.34/hook", **{"event:campaign.finished": "yes"}
    )
    assert made.text.count("whsec_") == 1
    here = re.findall(r'action="(/webhooks/[\w-]+)/test"', made.text)[0]
    shown = await browser.get(here)
    assert "whsec_" not in shown.text
    assert "campaign.finished" in shown.text
    assert (await browser.post(f"{here}/test")).status == 303
    event = (await query(database, "SELECT event_id FROM webhook_event"))[0]["event_id"]
    await query(
        database,
        "UPDATE webhook_delivery"
        " SET state = 'given_up', finished_at = now(), status = 500, answer = '<b>no</b>'",
    )
    assert "&lt;b&gt;no&lt;/b&gt;" in (await browser.get(here)).text
    replayed = await browser.post(f"{here}/replay/{event}")
    assert replayed.headers["Location"] == f"{here}?done=replayed"
    assert (await browser.post(f"{here}/recover", since="2026-01-01T00:00")).status == 303
    assert "whsec_" in (await browser.post(f"{here}/rotate")).text
    await browser.post(f"{here}/change", enabled="false")
    assert "Nothing has been delivered since" in (await browser.get(here)).text
    assert (await browser.post("/webhooks", url="http://127.0.0.1/")).status == 422
    foreign = await create(
        database,
        url="https://clinic.example.com/",
        secret="whsec_x",
        owner="clinic",
        event_types=chosen_events([]),
        with_numbers=False,
    )
    await send_test(database, foreign)
    assert "clinic.example" not in (await browser.get("/webhooks")).text
    for act in ("", "/delete", "/rotate", "/test"):
        path = f"/webhooks/{foreign}{act}"
        assert (await (browser.post(path) if act else browser.get(path))).status == 404
    assert (await browser.post(f"{here}/delete")).status == 303
    assert (await browser.get(here)).status == 404


async def test_a_key_is_shown_once_and_revoked(browser: Browser, database: Database) -> None:
    made = await browser.post(
        "/keys", **{"scope:read": "yes"}, accounts="main", recipients_per_day="100", last_day="2035-01-31"
    )
    (secret,) = re.findall(r"cmp_[a-z0-9]{8}_\w+", made.text)
    found = await keys.recognise(database, secret)
    assert found is not None
    assert (tuple(found.scopes), found.allowance.recipients_per_day) == (("read",), 100)
    assert (found.expires_at, found.is_for_all_owners) == (datetime(2035, 2, 1, tzinfo=UTC), False)
    assert 'name="all"' not in made.text, "nobody gives what they have not"
    manager = await browser.other(is_for_all_owners=True)
    made = await manager.post("/keys", **{"scope:read": "yes"}, all="true", owner="clinic")
    assert "sees every owner" in made.text
    assert 'name="all"' in made.text
    assert secret not in (await browser.get("/keys")).text
    assert (await browser.post(f"/keys/{found.id}/revoke")).headers["Location"] == "/keys?done=revoked"
    assert await keys.recognise(database, secret) is None
    other = await browser.other(owner="clinic")
    assert found.id not in (await other.get("/keys")).text
    assert (await other.post(f"/keys/{found.id}/revoke")).status == 404
    entries = (await browser.get("/audit")).text
    assert "key.create" in entries
    assert "key.create" not in re.sub(r"operator.*", "", (await other.get("/audit?subject=key/x")).text)
