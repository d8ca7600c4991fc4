"""The dashboard over real HTTP, as a browser speaks to it: a cookie, forms with their token, no script."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from campaigns import keys
from campaigns.domain.access import Scope
from campaigns.store.session import Database
from tests.contract.web.api.conftest import OPERATOR, SECRET_PHONE, Said
from tests.contract.web.conftest import Web
from tests.river import phones, submit

SAME = {"Sec-Fetch-Site": "same-origin"}
ALL_SCOPES = tuple(map(str, Scope))


def path_of(pattern: str, campaign: UUID) -> str:
    """A page's address, of this campaign."""
    named = {
        "id": str(campaign),
        "name": "main",
        "reference": f"{campaign.hex}-1-0",
        "webhook": str(campaign),
        "event": str(campaign),
        "key": "a2b3c4d5",
    }
    return re.sub(r"\{(\w+)[^/]*\}(?=/|$)", lambda part: named[part[1]], pattern)


@dataclass
class Browser:
    """A browser with its cookies."""

    web: Web
    database: Database
    key: str = field(repr=False)
    cookies: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: object
    ) -> Said:
        """One request, which follows no redirect."""
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        given = {**(cookie if self.cookies else {}), "Accept": "text/html", **(headers or {})}
        async with self.web.client.request(
            method, self.web.url + path, headers=given, allow_redirects=False, **more
        ) as response:
            for name, morsel in response.cookies.items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
            return Said(response.status, response.headers, await response.text(), None)

    async def get(self, path: str, **headers: str) -> Said:
        """One page."""
        return await self.call("GET", path, headers=headers)

    async def post(self, path: str, headers: Mapping[str, str] = SAME, **form: str) -> Said:
        """A form as it is on our page: with the token of the session."""
        return await self.call("POST", path, headers=headers, data={"token": await self.token()} | form)

    async def token(self) -> str:
        """What the forms of this session hold."""
        found = re.search(r'name="token" value="(\w+)"', (await self.get("/campaigns")).text)
        return found[1] if found else ""

    async def sign_in(self) -> Said:
        """Show the key."""
        return await self.call("POST", "/sign-in", headers=SAME, data={"key": self.key})

    async def other(
        self, *, owner: str = "shop", scopes: tuple[str, ...] = ALL_SCOPES, **more: Any
    ) -> "Browser":
        """Another one, signed in with another key. `more`: of that key."""
        made = await keys.create(self.database, OPERATOR, owner=owner, scopes=scopes, **more)
        browser = Browser(self.web, self.database, made.key)
        await browser.sign_in()
        return browser


@pytest.fixture
async def stranger(web: Web, database: Database) -> Browser:
    """Somebody who has a key and did not sign in."""
    made = await keys.create(database, OPERATOR, owner="shop", scopes=ALL_SCOPES)
    return Browser(web, database, made.key)


@pytest.fixture
async def browser(stranger: Browser) -> Browser:
    """Somebody of `shop` who is signed in and may do everything."""
    assert (await stranger.sign_in()).status == 303
    return stranger


@pytest.fixture
async def ours(database: Database) -> UUID:
    """A campaign of `shop`: 250 messages, a refused row."""
    return (await submit(database, [*phones(250), {"phone": "12"}], name="Spring sale", owner="shop")).id


@pytest.fixture
async def theirs(database: Database) -> UUID:
    """A campaign of another owner."""
    return (await submit(database, [{"phone": SECRET_PHONE}], name="Secret", owner="clinic")).id
