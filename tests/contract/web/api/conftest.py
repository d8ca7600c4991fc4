"""The API over real HTTP: keys made as a person makes them, campaigns of two owners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from campaigns import keys
from campaigns.domain.access import Actor, Scope
from campaigns.store.session import Database
from tests.contract.web.conftest import Web
from tests.river import phones, submit
from worker.web.api.operations import Operation

OPERATOR = Actor("operator", "ona", "here")
SECRET_PHONE = "+37060004711"  # of the other owner: it must never be answered
ALL_SCOPES = tuple(scope.value for scope in Scope)


@dataclass
class Said:
    """An answer, read."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any


@dataclass
class Api:
    """A client of the served API, with a key of its own."""

    web: Web
    database: Database
    key: str
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, **more: Any) -> Said:
        """One request with the key. `more`: as aiohttp takes it."""
        headers = {"Authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        async with self.web.client.request(
            method, self.web.url + path, headers=headers, allow_redirects=False, **more
        ) as response:
            text = await response.text()
            is_json = "json" in response.content_type and "jsonl" not in response.content_type
            return Said(
                response.status,
                response.headers,
                text,
                await response.json(content_type=None) if is_json else None,
            )

    async def get(self, path: str, **query: Any) -> Said:
        """One GET."""
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: Any = None) -> Said:
        """One POST of JSON; None: without a body."""
        return await self.call("POST", path, **({} if body is None else {"json": body}))

    async def with_key(self, scopes: Sequence[str] = ALL_SCOPES, owner: str = "shop", **more: Any) -> "Api":
        """The same, with another key."""
        made = await keys.create(self.database, OPERATOR, owner=owner, scopes=scopes, **more)
        return Api(self.web, self.database, made.key)

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        while True:
            said = await self.get(path, **query)
            assert said.status == 200, said.text
            items += said.json["items"]
            if said.json["next_cursor"] is None:
                return items
            query["cursor"] = said.json["next_cursor"]


@pytest.fixture
async def api(web: Web, database: Database) -> Api:
    """A client whose key may do everything that `shop` may."""
    made = await keys.create(database, OPERATOR, owner="shop", scopes=ALL_SCOPES)
    return Api(web, database, made.key)


@pytest.fixture
async def ours(api: Api) -> UUID:
    """A campaign of `shop`: 250 messages and a refused row."""
    rows = [*phones(250), {"phone": "12"}]
    return (await submit(api.database, rows, name="Spring sale", owner="shop", submission_key="k")).id


@pytest.fixture
async def theirs(api: Api) -> UUID:
    """A campaign of another owner."""
    taken = await submit(api.database, [{"phone": SECRET_PHONE}], owner="clinic", submission_key="k")
    return taken.id


def example_path(operation: Operation) -> str:
    """Its path with the document's own examples."""
    path = operation.path
    if operation.path_model is not None:
        for name, schema in operation.path_model.model_json_schema()["properties"].items():
            path = path.replace(f"{{{name}}}", schema["examples"][0])
    return path


def is_problem(said: Said, status: int, kind: str) -> bool:
    """Whether an answer is this problem, and in form."""
    assert said.status == status, (said.status, said.text)
    assert said.headers["Content-Type"].startswith("application/problem+json")
    assert said.json["status"] == status
    assert said.json["type"] == f"/problems/{kind}"
    return True
