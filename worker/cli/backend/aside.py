"""What commands want of what was set aside: by the database and Redis, or by the API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from worker import aside, shapes
from worker.aside import Act
from worker.cli.operator import record

if TYPE_CHECKING:
    from worker.bootstrap import Parts
    from worker.cli.backend.client import Client


class Aside(Protocol):
    """Each raises CampaignError: one sentence."""

    async def listed(self, limit: int) -> Sequence[shapes.Aside]:
        """What is set aside: the oldest of each kind, at most `limit` of each."""

    async def act(self, act: Act, ids: Sequence[str]) -> shapes.AsideDone:
        """Have these done again, or forget them for good."""


class AsideHere:
    """Keeps `Aside`."""

    def __init__(self, parts: "Parts | None") -> None:
        self._given = parts

    @property
    def _parts(self) -> "Parts":
        assert self._given is not None  # noqa: S101  `use` was told that Redis is asked
        return self._given

    async def listed(self, limit: int) -> Sequence[shapes.Aside]:
        """See `Aside`."""
        return await aside.listed(self._parts.database, self._parts.redis, limit=limit)

    async def act(self, act: Act, ids: Sequence[str]) -> shapes.AsideDone:
        """See `Aside`."""
        for named in aside.named(ids):
            await record(self._parts.database, f"aside.{act}", f"aside/{named}")
        return await aside.act(self._parts.database, self._parts.redis, act, ids)


class AsideThere:
    """Keeps `Aside`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def listed(self, limit: int) -> Sequence[shapes.Aside]:
        """See `Aside`."""
        said = await self._client.ask("GET", "/v1/aside", limit=limit)
        return [aside.read(each) for each in said["items"]]

    async def act(self, act: Act, ids: Sequence[str]) -> shapes.AsideDone:
        """See `Aside`."""
        named = aside.named(ids)
        said = await self._client.ask("POST", f"/v1/aside/{act}", {"ids": named})
        return shapes.AsideDone.model_validate(said, extra="ignore")
