"""The dashboard's frame in a real browser: signing in, what a page may do, who can read it."""

import pytest
from playwright.async_api import Browser, expect

from campaigns.store.session import Database
from tests.browser.conftest import LOOKS, reading
from tests.contract.web.conftest import Web
from tests.river import phones, submit


@pytest.mark.parametrize("look", LOOKS)
async def test_pages_can_be_read_by_everybody(
    chromium: Browser, served: Web, database: Database, look: str
) -> None:
    """No violation of the policy, no finding of axe, nothing sideways, in light, dark and on a phone."""
    await submit(database, phones(250), name="Spring sale", owner="shop")
    async with reading(chromium, served, database, look) as reader:
        await reader.open("/campaigns")
        await expect(reader.page).to_have_url(f"{served.url}/sign-in?next=/campaigns")
        await reader.picture(f"sign-in-{look}")
        assert await reader.axe() == []
        await reader.sign_in()
        await reader.open("/campaigns")
        await expect(reader.page.locator("h1")).to_have_text("Campaigns")
        await reader.picture(f"campaigns-{look}")
        assert await reader.axe() == []
        assert await reader.sideways() == 0
        assert reader.faults == []
