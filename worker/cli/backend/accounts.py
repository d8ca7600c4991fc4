"""What commands want of accounts: by the database and the provider, or by the API."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from campaigns import holding, reconciling
from campaigns.domain.errors import NotFound
from campaigns.domain.provider import Money, Provider
from campaigns.store.session import Database
from worker import shapes
from worker.cli.operator import record, refuse_operator
from worker.settings.model import Settings

if TYPE_CHECKING:
    from worker.bootstrap import Parts
    from worker.cli.backend.client import Client


class Accounts(Protocol):
    """Each raises CampaignError: one sentence."""

    async def balance(self, account: str) -> Money:
        """What is left on an account, says its provider."""

    async def statistics(self, account: str, month: str) -> Sequence[shapes.Day]:
        """The provider's own statistics of a month (YYYY-MM), by day."""

    async def reconciliation(self, account: str, month: date) -> shapes.Reconciliation:
        """The provider's own month (of this day) beside ours."""

    async def resume(self, account: str) -> bool:
        """Lift the hold on an account. False: it was not on hold."""

    async def probe(self, account: str) -> bool:
        """Have the provider of an account on hold asked soon. False: it was not on hold."""

    async def resume_all(self, operator: str | None) -> Sequence[str]:
        """Lift every hold. Gives the accounts that were on hold. `operator`: who decides; else the login."""


class AccountsHere:
    """Keeps `Accounts`. `parts`: where a provider is asked, too."""

    def __init__(self, settings: Settings, database: Database, parts: "Parts | None") -> None:
        self._settings = settings
        self._database = database
        self._parts = parts

    async def balance(self, account: str) -> Money:
        """See `Accounts`."""
        found = await self._provider(account).balance()
        await holding.learn_balance(self._database, account, found)
        return found

    async def statistics(self, account: str, month: str) -> Sequence[shapes.Day]:
        """See `Accounts`."""
        return [shapes.Day.like(day) for day in await self._provider(account).statistics(month)]

    async def reconciliation(self, account: str, month: date) -> shapes.Reconciliation:
        """See `Accounts`."""
        theirs = await reconciling.their_month(self._provider(account), month)
        return shapes.Reconciliation.of(
            await reconciling.reconciliation(self._database, account, month, theirs)
        )

    async def resume(self, account: str) -> bool:
        """See `Accounts`."""
        await record(self._database, "account.resume", f"account/{account}")
        return await holding.resume_account(self._database, account)

    async def probe(self, account: str) -> bool:
        """See `Accounts`."""
        await record(self._database, "account.probe", f"account/{account}")
        return await holding.probe_soon(self._database, account)

    async def resume_all(self, operator: str | None) -> Sequence[str]:
        """See `Accounts`."""
        await record(self._database, "account.resume_all", "accounts", by=operator)
        return await holding.resume_all_accounts(self._database)

    def _provider(self, account: str) -> Provider:
        self._settings.account(account)  # raises NotFound
        assert self._parts is not None  # noqa: S101  `use` was told that a provider is asked
        return self._parts.desk.accounts[account].provider


class AccountsThere:
    """Keeps `Accounts`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def balance(self, account: str) -> Money:
        """See `Accounts`."""
        said = await self._ask("GET", account, "/balance")
        return Money(Decimal(said["amount"]), said["currency"])

    async def statistics(self, account: str, month: str) -> Sequence[shapes.Day]:
        """See `Accounts`."""
        said = await self._ask("GET", account, "/statistics", month=month)
        return [shapes.Day.model_validate(each, extra="ignore") for each in said["items"]]

    async def reconciliation(self, account: str, month: date) -> shapes.Reconciliation:
        """See `Accounts`."""
        said = await self._ask("GET", account, "/reconciliation", month=f"{month:%Y-%m}")
        return shapes.Reconciliation.model_validate(said)

    async def resume(self, account: str) -> bool:
        """See `Accounts`."""
        before = await self._ask("GET", account)
        await self._ask("POST", account, "/resume")
        return before["held"] is not None

    async def probe(self, account: str) -> bool:
        """See `Accounts`."""
        return (await self._ask("POST", account, "/probe"))["held"] is not None

    async def resume_all(self, operator: str | None) -> Sequence[str]:
        """See `Accounts`."""
        refuse_operator(operator)
        found = await self._client.ask("GET", "/v1/accounts")
        held = [each["name"] for each in found["items"] if each["held"] is not None]
        for name in held:
            await self._ask("POST", name, "/resume")
        return held

    async def _ask(self, method: str, account: str, path: str = "", **query: str) -> Any:
        try:
            return await self._client.ask(method, f"/v1/accounts/{quote(account, safe='')}{path}", **query)
        except NotFound:
            raise NotFound("there is no such account for this key") from None
