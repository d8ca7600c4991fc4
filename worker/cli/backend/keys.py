"""What commands want of the keys of the API: by the database, or by the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from campaigns import keys
from campaigns.domain.allowance import Allowance
from campaigns.domain.errors import NotFound
from campaigns.store.session import Database
from worker import shapes
from worker.cli.operator import operator
from worker.settings.model import Settings

if TYPE_CHECKING:
    from worker.cli.backend.client import Client


@dataclass(frozen=True, slots=True)
class ToldKey:
    """What a key is to be; accounts None: all."""

    owner: str
    scopes: Sequence[str]
    accounts: Sequence[str] | None
    expires_at: datetime | None
    is_for_all_owners: bool
    allowance: Allowance


class Keys(Protocol):
    """Each raises CampaignError: one sentence."""

    async def create(self, told: ToldKey) -> shapes.NewKey:
        """Make a key. It can be read this once."""

    async def listed(self) -> Sequence[shapes.Key]:
        """Every key there was, the newest first."""

    async def revoke(self, key_id: str) -> bool:
        """End a key. False: it was revoked already."""


class KeysHere:
    """Keeps `Keys`."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def create(self, told: ToldKey) -> shapes.NewKey:
        """See `Keys`."""
        for name in told.accounts or ():
            self._settings.account(name)  # raises NotFound: a key for what is misspelt could do nothing
        made = await keys.create(
            self._database,
            operator(),
            owner=told.owner,
            scopes=told.scopes,
            accounts=told.accounts,
            expires_at=told.expires_at,
            is_for_all_owners=told.is_for_all_owners,
            allowance=told.allowance,
        )
        return shapes.NewKey.of(made.row, key=made.key)

    async def listed(self) -> Sequence[shapes.Key]:
        """See `Keys`."""
        return [shapes.Key.of(row) for row in await keys.listed(self._database)]

    async def revoke(self, key_id: str) -> bool:
        """See `Keys`."""
        return await keys.revoke(self._database, operator(), key_id)


class KeysThere:
    """Keeps `Keys`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def create(self, told: ToldKey) -> shapes.NewKey:
        """See `Keys`."""
        keys.check(told.owner, told.scopes, told.expires_at)  # with the sentences of here
        said = await self._client.ask(
            "POST",
            "/v1/keys",
            {
                "owner": told.owner,
                "scopes": list(told.scopes),
                "accounts": None if told.accounts is None else list(told.accounts),
                "expires_at": None if told.expires_at is None else told.expires_at.isoformat(),
                "all": told.is_for_all_owners,
                "recipients_per_day": told.allowance.recipients_per_day,
                "segments_per_month": told.allowance.segments_per_month,
                "approval_above": told.allowance.approval_above,
            },
        )
        return shapes.NewKey.model_validate(said, extra="ignore")

    async def listed(self) -> Sequence[shapes.Key]:
        """See `Keys`."""
        found = await self._client.items("/v1/keys")
        return [shapes.Key.model_validate(each, extra="ignore") for each in found]

    async def revoke(self, key_id: str) -> bool:
        """See `Keys`."""
        before = {key.id: key for key in await self.listed()}
        try:
            await self._client.ask("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
        except NotFound:
            raise keys.no_such_key(key_id) from None
        return key_id not in before or before[key_id].revoked_at is None
