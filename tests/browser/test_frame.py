"""The dashboard in a real browser: signing in, what a page may do, who can read it."""

from uuid import UUID

import pytest
from playwright.async_api import Browser, expect

from campaigns.store.session import Database
from tests.browser import scene
from tests.browser.conftest import LOOKS, reading
from tests.contract.web.conftest import Web
from tests.integration.rows import query
from tests.river import phones, submit

_MOST_BYTES = 60_000
_LOOKED_AT = "document.dispatchEvent(new Event('visibilitychange'))"
_HIDE = f"Object.defineProperty(document, 'hidden', {{value: true, configurable: true}}); {_LOOKED_AT}"
_SHOW = f"delete document.hidden; {_LOOKED_AT}"


@pytest.fixture
async def ours(database: Database) -> UUID:
    """A campaign of `shop`."""
    return (await submit(database, phones(250), name="Spring sale", owner="shop")).id


@pytest.mark.parametrize("look", sorted(LOOKS.keys() - {"dark"}))
async def test_pages_can_be_read_by_everybody(
    chromium: Browser, served: Web, database: Database, look: str
) -> None:
    """No violation of the policy, no finding of axe, nothing sideways, in light, dark and on a phone."""
    campaign = f"/campaigns/{await scene.set_up(database)}"
    pages = {
        "overview": "/",
        "campaigns": "/campaigns",
        "campaign": campaign,
        "batches": f"{campaign}/batches",
        "refused": f"{campaign}/refused",
        "messages": f"{campaign}/messages",
        **await scene.others(database, campaign, served.stub),
    }
    async with reading(chromium, served, database, look, is_for_all_owners=True) as reader:
        await reader.open("/campaigns")
        await expect(reader.page).to_have_url(f"{served.url}/sign-in?next=/campaigns")
        await reader.picture(f"sign-in-{look}")
        assert await reader.axe() == []
        assert look != "light" or await reader.dark("sign-in") == []
        await reader.sign_in()
        await reader.page.wait_for_url(served.url + "/")
        found: list[str] = []
        for name, path in pages.items():
            answer = await reader.page.goto(served.url + path)
            assert answer is not None
            assert answer.status == 200, name
            assert len(await answer.body()) <= _MOST_BYTES, name
            await reader.picture(f"{name}-{look}")
            found += [f"{name}: {each}" for each in await reader.axe()]
            if look == "light":
                found += [f"{name}, dark: {each}" for each in await reader.dark(name)]
            found += [f"{name}: sideways"] if await reader.sideways() else []
        assert found == []
        assert reader.faults == []


async def test_a_page_follows_its_campaign_without_being_loaded_again(
    chromium: Browser, served: Web, database: Database, ours: UUID
) -> None:
    """Also the focus stays where it is, and a page of a campaign that is over asks no more."""
    async with reading(chromium, served, database) as reader:
        page = reader.page
        await reader.sign_in()
        await reader.open(f"/campaigns/{ours}")
        await page.evaluate("window.isTheSame = true")
        await page.evaluate(_HIDE)
        assert await page.evaluate("source === null"), "a tab that nobody sees asks nothing"
        await page.evaluate(_SHOW)
        await page.focus("nav.links a")
        await query(database, "UPDATE campaign SET state = 'paused' WHERE id = $1", ours)
        await expect(page.locator(".head-state .chip")).to_have_text("paused")
        assert await page.evaluate("window.isTheSame && document.activeElement.matches('nav.links a')")
        await page.get_by_role("button", name="Resume…").click()
        await expect(page.get_by_role("dialog")).to_contain_text("250 messages are handed over from now on")
        assert await reader.axe() == []
        await page.get_by_role("dialog").get_by_role("button", name="Resume").click()
        await expect(page.get_by_role("status")).to_have_text("Resumed.")
        await expect(page.locator(".head-state .chip")).to_have_text("running")
        await query(database, "UPDATE campaign SET state = 'cancelled', finished_at = now()")
        await expect(page.locator("main[data-live]")).to_have_count(0)
        assert reader.faults == []


async def test_all_works_without_a_script(
    chromium: Browser, served: Web, database: Database, ours: UUID
) -> None:
    async with reading(chromium, served, database, "phone", javascript=False, locale="lt-LT") as reader:
        page = reader.page
        await reader.sign_in()
        await page.get_by_role("button", name="Meniu").click()
        await page.get_by_role("link", name="Kampanijos").click()
        await page.get_by_role("link", name="Spring sale").click()
        await page.get_by_role("button", name="Pristabdyti…").click()
        await reader.picture("ask-phone")
        await page.get_by_role("dialog").get_by_role("button", name="Pristabdyti").click()
        await expect(page.get_by_role("status")).to_contain_text("Pristabdyta.")
        await expect(page.locator("time").first).to_contain_text("UTC")
        await page.get_by_role("button", name="Meniu").click()
        await page.get_by_role("button", name="Atsijungti").click()
        await expect(page.locator("h1")).to_have_text("Prisijungti")
