"""Pages in a real Chromium: Debian's, or the one that CHROMIUM names. Without one, these are skipped."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright
from redis.asyncio import Redis

from campaigns import keys
from campaigns.domain.access import Scope
from campaigns.store.session import Database
from tests.contract.web.api.conftest import OPERATOR
from tests.contract.web.conftest import Web, web_of

AXE = Path(__file__).parent / "axe" / "axe.min.js"
PICTURES = os.environ.get("DASHBOARD_PICTURES")
"""Where pictures of the pages are kept, for people to look at; unset: nowhere."""

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light", "is_mobile": True},
}
if PICTURES:  # to be looked at, and tested no more than the others
    LOOKS["4k"] = {"viewport": {"width": 3840, "height": 2160}, "color_scheme": "light"}
    LOOKS["print"] = {"viewport": {"width": 690, "height": 980}, "color_scheme": "dark"}  # A4 without margins

# What a page must never do: asked again after every step. A violation is said on the console, too.
_WATCH = """
addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))
"""


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser for the whole run."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("THERE IS NO BROWSER: apt-get install chromium, or name one in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def served(database: Database, redis: Redis) -> AsyncIterator[Web]:
    """A served web."""
    async with web_of(database, redis) as web:
        yield web


@dataclass
class Reader:
    """Somebody at a browser who has a key."""

    page: Page
    web: Web
    key: str
    look: str
    faults: list[str] = field(default_factory=list)  # what the browser complained about

    async def open(self, path: str) -> None:
        """Go to a page."""
        await self.page.goto(self.web.url + path)

    async def sign_in(self) -> None:
        """Show the key."""
        await self.open("/sign-in")
        await self.page.fill("#key", self.key)
        await self.page.click("main button.primary")

    async def picture(self, name: str) -> None:
        """Keep a picture for people, where there is a place for it."""
        if PICTURES:
            await self.page.emulate_media(media="print" if self.look == "print" else "null")
            await self.page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
            await self.page.emulate_media(media="null")

    async def axe(self, *rules: str) -> list[str]:
        """What axe-core finds on the page, by these of its rules or all: the rule, and where."""
        # Not by a <script>: the page's own policy would refuse it, as it should.
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text() + ";0")
        only = f", runOnly: {list(rules)}" if rules else ""
        found = await self.page.evaluate(f"axe.run(document, {{resultTypes: ['violations']{only}}})")
        return [
            f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    async def dark(self, name: str) -> list[str]:
        """What axe-core finds of the page's colours in the dark, which changes nothing else of it."""
        await self.page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colour between two
        await self.picture(f"{name}-dark")
        found = await self.axe("color-contrast", "link-in-text-block")
        await self.page.emulate_media(color_scheme="light", reduced_motion="null")
        return found

    async def sideways(self) -> int:
        """How far the page can be pushed sideways, in pixels."""
        return int(
            await self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@asynccontextmanager
async def reading(
    chromium: Browser, web: Web, database: Database, look: str = "light", **more: Any
) -> AsyncIterator[Reader]:
    """A reader with a browser of their own. `more`: of the key, of `shop` else; or `javascript=False`."""
    has_script = more.pop("javascript", True)
    context = await chromium.new_context(
        **LOOKS[look], locale=more.pop("locale", "en-GB"), java_script_enabled=has_script
    )
    context.set_default_timeout(15_000)
    made = await keys.create(
        database,
        OPERATOR,
        owner=more.pop("owner", "shop"),
        scopes=more.pop("scopes", tuple(map(str, Scope))),
        **more,
    )
    page = await context.new_page()
    reader = Reader(page, web, made.key, look)
    await page.add_init_script(_WATCH)
    page.on("console", lambda said: reader.faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: reader.faults.append(str(error)))
    try:
        yield reader
    finally:
        await context.close()
