"""Operations on accounts: how they are, what is left on them, and the end of a hold."""

import asyncio
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import Field

from campaigns import auditing, holding, reading, reconciling
from campaigns.domain.access import Scope
from campaigns.domain.errors import NotFound
from campaigns.domain.policy import Account
from campaigns.domain.provider import Money
from worker import shapes
from worker.bootstrap import Parts
from worker.web.api.operations import Answer, Asked, Call, Operation, Rate, Shared
from worker.web.api.problems import Kind, Refused

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
    _account(call, path.name)
    return Answer(shapes.Balance.of(path.name, await _balance(call.parts, call.shared, path.name)))


async def _balance(parts: Parts, shared: Shared, name: str) -> Money:
    """As its provider said it at most so long ago."""
    now = asyncio.get_running_loop().time()
    known = shared.balances.get(name)
    if known is None or now - known[0] >= _BALANCE_SECONDS:
        known = now, await parts.desk.accounts[name].provider.balance()
        shared.balances[name] = known
        await holding.learn_balance(parts.database, name, known[1])
    return known[1]


def known_balance(parts: Parts, shared: Shared, name: str) -> shapes.Cost | None:
    """What was left on an account when its provider last said it; None: it did not yet. Waits for nobody: the
    provider is asked meanwhile, where that is long ago.
    """
    known = shared.balances.get(name)
    now = asyncio.get_running_loop().time()
    if known is None or now - known[0] >= _BALANCE_SECONDS:
        shared.ask_soon(name, lambda: _balance(parts, shared, name))
    return None if known is None else shapes.Cost(amount=known[1].amount, currency=known[1].currency)


async def get_reconciliation(call: Call, path: AccountPath, query: MonthFilter) -> Answer:
    """A provider's own month beside ours."""
    _account(call, path.name)
    if call.caller.reach.owner is not None:
        raise Refused(Kind.MISSING_SCOPE, "the provider tells of a whole account: give a key of all owners")
    month = query.first_day() or datetime.now(UTC).date()
    return Answer(await reconciled(call.parts, call.shared, path.name, month))


async def reconciled(parts: Parts, shared: Shared, name: str, month: date) -> shapes.Reconciliation:
    """The month of a day at an account's provider, as it said it at most a minute ago, beside ours. For one
    who may see all of the account. Raises ProviderRefused where the provider does not tell it now.
    """
    key, now = (name, f"{month:%Y-%m}"), asyncio.get_running_loop().time()
    shared.months = {
        each: known for each, known in shared.months.items() if now - known[0] < _BALANCE_SECONDS
    }
    if key not in shared.months:
        shared.months[key] = now, await reconciling.their_month(parts.desk.accounts[name].provider, month)
    found = await reconciling.reconciliation(parts.database, name, month, shared.months[key][1])
    return shapes.Reconciliation.of(found)


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


async def probe_account(call: Call, path: AccountPath) -> Answer:
    """Have the provider of an account on hold asked soon."""
    _account(call, path.name)
    await auditing.record(call.parts.database, call.caller.actor, "account.probe", f"account/{path.name}")
    await holding.probe_soon(call.parts.database, path.name)
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
        id="getReconciliation",
        method="GET",
        path="/v1/accounts/{name}/reconciliation",
        tag=_TAG,
        summary="Compare a provider's own month with ours",
        description=(
            "By day: segments and cost, what differs, and what may explain it. For keys of all owners: a "
            f"provider tells of a whole account. It is asked at most every {_BALANCE_SECONDS:g} s."
        ),
        handler=get_reconciliation,
        scope=Scope.READ,
        rate=Rate.SEARCH,
        path_model=AccountPath,
        query=MonthFilter,
        answers={200: shapes.Reconciliation},
        problems=(Kind.PROVIDER_REFUSED,),
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
    Operation(
        id="probeAccount",
        method="POST",
        path="/v1/accounts/{name}/probe",
        tag=_TAG,
        summary="Have the provider of an account on hold asked now",
        description=(
            "At the next tick, at no cost, and not after the pause between probes. The hold ends where all "
            "is well, and stays where it is not. Where the account is not on hold, nothing is done."
        ),
        handler=probe_account,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=AccountPath,
        answers={200: shapes.Account},
        problems=(Kind.NOT_ALLOWED,),
    ),
)
