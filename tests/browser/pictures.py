"""The pictures in the README: `make picture`. Not part of the tests."""

import base64
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from campaigns.store.session import Database
from tests.browser import scene
from tests.browser.conftest import LOOKS, Reader, reading
from tests.contract.web.conftest import Web

_FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_TEXT = "Hello {name}, our “spring sale” begins: 20% off everything with a green label, until Sunday."
_NAMES = ("Ona", "Jonas", "Rasa", "Mantas", "Giedrė")
_ROWS = (
    "phone,name\n"
    + "".join(f"8 600 {n:05},{_NAMES[n % 5]}\n" for n in range(1_250))
    + "8 600 00001,Ona\n12,Ieva\n"
)


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_draw(
    chromium: Browser, served: Web, database: Database, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overview, a campaign, and the check of a new one: the upper part of each page."""
    monkeypatch.setitem(LOOKS[look], "viewport", {"width": 1280, "height": 860})
    campaign = await scene.set_up(database)
    async with reading(chromium, served, database, look) as reader:
        await reader.sign_in()
        await _draw(reader, f"overview-{look}")
        await reader.open(f"/campaigns/{campaign}")
        await _draw(reader, f"campaign-{look}")
        await reader.open("/campaigns/new")
        page = reader.page
        await page.get_by_label("Name", exact=True).fill("Spring sale")
        await page.get_by_label("Text", exact=True).fill(_TEXT)
        await page.get_by_label("File with the recipients").set_input_files(
            files=FilePayload(name="customers.csv", mimeType="text/csv", buffer=_ROWS.encode())
        )
        await page.get_by_label("Country").fill("LT")
        await page.get_by_role("button", name="Check").click()
        result = page.locator("#result")
        await expect(result).to_contain_text("messages would be sent")
        await result.evaluate("element => element.scrollIntoView({block: 'start'})")
        await _draw(reader, f"check-{look}")


async def _draw(reader: Reader, name: str) -> None:
    """What is seen now, half as fine again, as WebP: a third of the PNG that Playwright makes."""
    session = await reader.page.context.new_cdp_session(reader.page)
    top = await reader.page.evaluate("scrollY")
    clip = {"x": 0, "y": top, "width": 1280, "height": 860, "scale": 1.5}
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": 72, "clip": clip})
    (_FOLDER / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))
