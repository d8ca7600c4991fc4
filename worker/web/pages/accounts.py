"""Accounts: whether they are on hold and why, what is left on them, and what went through them in a month."""

import asyncio
from collections.abc import Sequence

from campaigns.domain.access import Scope
from campaigns.domain.holds import resumes_by_itself
from worker import shapes
from worker.web.api.accounts import known_balance
from worker.web.api.problems import Kind, Refused
from worker.web.pages import reconciliation
from worker.web.pages.frame import N_, Done, Page, View, Visit

_BALANCE_SECONDS = 4.0  # for which a page waits for a provider
_NOT_TOLD = frozenset({Kind.PROVIDER_REFUSED, Kind.TOO_MANY_REQUESTS})
_PATH = "/accounts/{name}"


async def show(visit: Visit) -> View:
    """The accounts that the key may use. No provider is waited for: a balance is what it said last."""
    found = (await visit.ask("listAccounts", shapes.AccountPage)).items
    return View("accounts.html", {"accounts": found, "balances": known_balances(visit, found)})


def known_balances(visit: Visit, accounts: Sequence[shapes.Account]) -> dict[str, shapes.Cost | None]:
    """What was left on accounts, by name, when their providers last said it; None: not yet."""
    parts, shared = visit.serving.parts, visit.serving.shared
    return {each.name: known_balance(parts, shared, each.name) for each in accounts}


async def show_one(visit: Visit) -> View:
    """One account and a month of it."""
    path = {"name": visit.path("name")}
    account = await visit.ask("getAccount", shapes.Account, path=path)
    month = await visit.recent("getAccountMonth", shapes.AccountMonth, path=path, query=visit.query("month"))
    context = {
        "account": account,
        "balance": await _balance(visit, account.name),
        "month": month,
        "is_probed": account.held is not None and resumes_by_itself(account.held.code),
        **reconciliation.months_beside(month.begins_at.date()),
        "message_count": sum(month.totals.values()),
        "reconciliation": reconciliation.PATH,
    }
    return View("account.html", context)


async def _balance(visit: Visit, name: str) -> shapes.Cost | None:
    """What is left; None where its provider does not say so at once."""
    try:
        async with asyncio.timeout(_BALANCE_SECONDS):
            found = await visit.recent("getBalance", shapes.Balance, path={"name": name})
    except TimeoutError:
        return None
    except Refused as refused:
        if refused.kind not in _NOT_TOLD:
            raise
        return None
    return shapes.Cost(amount=found.amount, currency=found.currency)


async def resume(visit: Visit) -> Done:
    """Have it go on."""
    await visit.ask("resumeAccount", shapes.Account, path={"name": visit.path("name")})
    return Done(f"/accounts/{visit.path('name')}", "account-resumed")


async def probe(visit: Visit) -> Done:
    """Have its provider asked now."""
    await visit.ask("probeAccount", shapes.Account, path={"name": visit.path("name")})
    return Done(f"/accounts/{visit.path('name')}", "account-probed")


PAGES = (
    Page("/accounts", show, Scope.READ, menu=N_("Accounts")),
    Page(_PATH, show_one, Scope.READ),
    Page(f"{_PATH}/resume", resume, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/probe", probe, Scope.OPERATE, method="POST"),
)
