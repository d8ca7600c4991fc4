"""The dashboard in a real browser: signing in, what a page may do, who can read it."""

import pytest
from playwright.async_api import Browser, expect

from campaigns.store.session import Database
from tests.browser import scene
from tests.browser.conftest import LOOKS, reading
from tests.contract.web.conftest import Web

_MOST_BYTES = 60_000


@pytest.mark.parametrize("look", LOOKS)
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
    }
    async with reading(chromium, served, database, look) as reader:
        await reader.open("/campaigns")
        await expect(reader.page).to_have_url(f"{served.url}/sign-in?next=/campaigns")
        await reader.picture(f"sign-in-{look}")
        assert await reader.axe() == []
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
            found += [f"{name}: sideways"] if await reader.sideways() else []
        assert found == []
        assert reader.faults == []
