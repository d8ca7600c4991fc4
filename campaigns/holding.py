"""Holds: nothing is handed over on an account until a probe, which costs nothing, or a person says so; nor of
a campaign whose sender or text is refused, until a person says so.

A hold is set where it is noticed, at a hand-over; here it ends.
"""

from uuid import UUID

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.policy import DOWN_FIRST_SECONDS, PROBE_FIRST_SECONDS, Desk
from campaigns.domain.provider import Money
from campaigns.domain.said import believed_currency
from campaigns.store import account as accounts
from campaigns.store import campaign_hold
from campaigns.store.campaign_hold import CampaignHold, Resumed
from campaigns.store.session import Database

_PROBE_MAX_SECONDS = 900.0
_DOWN_MAX_SECONDS = 60.0
_CURRENCY_AGAIN_SECONDS = 3600.0


async def deal_probes(database: Database) -> list[str]:
    """The held accounts whose probe is due now; each is given to one caller, the next by backoff."""
    return await accounts.deal_probes(
        database,
        first_seconds=PROBE_FIRST_SECONDS,
        max_seconds=_PROBE_MAX_SECONDS,
        down_first_seconds=DOWN_FIRST_SECONDS,
        down_max_seconds=_DOWN_MAX_SECONDS,
    )


async def deal_currencies(database: Database) -> list[str]:
    """The accounts to be probed for their currency alone: campaigns of theirs are under way without one.

    Each is given to one caller, at most once an hour.
    """
    return await accounts.deal_currencies(database, again_in_seconds=_CURRENCY_AGAIN_SECONDS)


async def learn_currency(database: Database, account: str, money: Money | None) -> None:
    """Note the currency of a balance, where its provider names one: the account is charged in it."""
    currency = believed_currency(money.currency) if money is not None else None
    if currency is not None:
        await accounts.learn_currency(database, account, currency)


async def probe_account(database: Database, desk: Desk, account: str) -> bool:
    """Ask an account for a sign of life, which costs nothing; lift a hold on it when all is well.

    Gives whether the hold was lifted: where the provider was down, because it answers; else because
    there is money. That may still be too little for the next request: then that request is refused
    whole, and the account is on hold again.
    """
    known = desk.accounts.get(account)
    hold = next((hold for hold in await accounts.holds(database) if hold.account == account), None)
    if known is None:
        return False
    try:
        money = await known.provider.probe()
    except ProviderRefused:
        return False
    await learn_currency(database, account, money)
    if hold is None:
        return False
    if hold.code != accounts.DOWN and money is not None and money.amount <= 0:
        return False
    return await accounts.resume(database, account)


async def resume_account(database: Database, account: str) -> bool:
    """Lift the hold on an account by an operator's word. Gives False when there was none."""
    return await accounts.resume(database, account)


async def holds(database: Database) -> list[accounts.Hold]:
    """The accounts on hold."""
    return await accounts.holds(database)


async def campaign_holds(database: Database) -> list[CampaignHold]:
    """The campaigns on hold, the longest held first."""
    return await campaign_hold.holds(database)


async def resume_campaign(
    database: Database, campaign_id: UUID, *, operator: str, sender_id: str | None = None
) -> Resumed:
    """Let a campaign go on that is paused or on hold, by an operator's word; where a sender id is given, with
    that. Recorded. Where it is refused still, it is held again. Raises NotFound, NotAllowed.
    """
    return await campaign_hold.resume(database, campaign_id, operator=operator, sender_id=sender_id)
