"""Operations on accounts: how they are, what is left on them, and the end of a hold."""

import asyncio
from datetime import date
from typing import Annotated

from pydantic import Field

from campaigns import auditing, holding, reading
from campaigns.domain.access import Scope
from campaigns.domain.errors import NotFound
from campaigns.domain.policy import Account
from worker import shapes
from worker.web.api.operations import Answer, Asked, Call, Operation, Rate
from worker.web.api.problems import Kind

_TAG = "Accounts"
_BALANCE_SECONDS = 60.0  # for which a balance is told again without asking the provider


class AccountPath(Asked):
    """Names an account."""

    name: str = Field(max_length=200, description="The account's name.", examples=["main"])


_MONTH = r"^20\d\d-(0[1-9]|1[0-2])$"


class StatisticsFilter(Asked):
    """Of which month."""

    month: Annotated[str, Field(pattern=_MONTH, description="Such as 2026-11.", examples=["2026-11"])]


class MonthFilter(Asked):
    """Which month."""

    month: Annotated[
        str | None,
        Field(pattern=_MONTH, description="Such as 2026-11, in UTC; else this one."),
    ] = None

    def first_day(self) -> date | None:
        """A day of it; None: of this month."""
        return None if self.month is None else date.fromisoformat(f"{self.month}-01")


def _account(call: Call, name: str) -> Account:
    found = call.parts.desk.accounts.get(name)
    if found is None or not call.caller.reach.has_account(name):
        raise NotFound("there is no such account")
    return found


async def _shown(call: Call) -> list[shapes.Account]:
    holds = {hold.account: hold for hold in await holding.holds(call.parts.database)}
    settings = call.parts.settings.accounts
    return [
        shapes.Account(
            name=name,
            requests_per_second=settings[name].requests_per_second if name in settings else None,
            currency=settings[name].currency if name in settings else None,
            held=shapes.AccountHold.of(holds[name]) if name in holds else None,
        )
        for name in sorted(call.parts.desk.accounts)
        if call.caller.reach.has_account(name)
    ]


async def list_accounts(call: Call) -> Answer:
    """The accounts that the key may use."""
    return Answer(shapes.AccountPage(items=await _shown(call), next_cursor=None))


async def get_account(call: Call, path: AccountPath) -> Answer:
    """One account."""
    _account(call, path.name)
    (found,) = [each for each in await _shown(call) if each.name == path.name]
    return Answer(found)


async def get_month(call: Call, path: AccountPath, query: MonthFilter) -> Answer:
    """What went through an account in a month."""
    _account(call, path.name)
    found = await reading.month(call.parts.database, path.name, query.first_day(), reach=call.caller.reach)
    return Answer(shapes.AccountMonth.of(path.name, found))


async def get_balance(call: Call, path: AccountPath) -> Answer:
    """What is left on an account."""
    account = _account(call, path.name)
    now = asyncio.get_running_loop().time()
    known = call.shared.balances.get(path.name)
    if known is None or now - known[0] >= _BALANCE_SECONDS:
        known = now, await account.provider.balance()
        call.shared.balances[path.name] = known
        await holding.learn_currency(call.parts.database, path.name, known[1])
    return Answer(shapes.Balance.of(path.name, known[1]))


async def get_statistics(call: Call, path: AccountPath, query: StatisticsFilter) -> Answer:
    """What the provider itself counted in a month."""
    days = await _account(call, path.name).provider.statistics(query.month)
    return Answer(shapes.DayPage(items=[shapes.Day.like(day) for day in days], next_cursor=None))


async def resume_account(call: Call, path: AccountPath) -> Answer:
    """Lift the hold on an account."""
    _account(call, path.name)
    await auditing.record(call.parts.database, call.caller.actor, "account.resume", f"account/{path.name}")
    await holding.resume_account(call.parts.database, path.name)
    return await get_account(call, path)


OPERATIONS = (
    Operation(
        id="listAccounts",
        method="GET",
        path="/v1/accounts",
        tag=_TAG,
        summary="List accounts",
        handler=list_accounts,
        scope=Scope.READ,
        rate=Rate.READ,
        answers={200: shapes.AccountPage},
    ),
    Operation(
        id="getAccount",
        method="GET",
        path="/v1/accounts/{name}",
        tag=_TAG,
        summary="Read one account",
        handler=get_account,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=AccountPath,
        answers={200: shapes.Account},
    ),
    Operation(
        id="getAccountMonth",
        method="GET",
        path="/v1/accounts/{name}/month",
        tag=_TAG,
        summary="Read what went through an account in a month",
        description="Of the campaigns that the key may see and that were taken in then, as they are now.",
        handler=get_month,
        scope=Scope.READ,
        rate=Rate.SEARCH,
        path_model=AccountPath,
        query=MonthFilter,
        answers={200: shapes.AccountMonth},
    ),
    Operation(
        id="getBalance",
        method="GET",
        path="/v1/accounts/{name}/balance",
        tag=_TAG,
        summary="Read what is left on an account",
        description=f"Its provider is asked at most every {_BALANCE_SECONDS:g} s.",
        handler=get_balance,
        scope=Scope.READ,
        rate=Rate.SEARCH,
        path_model=AccountPath,
        answers={200: shapes.Balance},
        problems=(Kind.PROVIDER_REFUSED,),
    ),
    Operation(
        id="getStatistics",
        method="GET",
        path="/v1/accounts/{name}/statistics",
        tag=_TAG,
        summary="Read the provider's own statistics of a month, by day",
        description="Of everything that was sent with these credentials, by whatever program. One page.",
        handler=get_statistics,
        scope=Scope.READ,
        rate=Rate.SEARCH,
        path_model=AccountPath,
        query=StatisticsFilter,
        answers={200: shapes.DayPage},
        problems=(Kind.PROVIDER_REFUSED,),
    ),
    Operation(
        id="resumeAccount",
        method="POST",
        path="/v1/accounts/{name}/resume",
        tag=_TAG,
        summary="Lift the hold on an account",
        description="Handing over goes on through it, for everybody's campaigns.",
        handler=resume_account,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=AccountPath,
        answers={200: shapes.Account},
    ),
)
