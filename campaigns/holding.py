"""Holds: nothing is handed over on an account until a probe, which costs nothing, or a person says so; nor of
a campaign whose sender or text is refused, until a person says so.

A hold is set where it is noticed, at a hand-over; here it ends. One is set here: on every account, where the
database went back in time.
"""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from campaigns.domain.circuit import probe_pauses
from campaigns.domain.errors import NotAllowed, ProviderRefused, WitnessUnavailable
from campaigns.domain.holds import DOWN, CampaignHold, Hold, resumes_by_itself
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Money
from campaigns.domain.said import believed_currency
from campaigns.domain.witness import Whereabouts, went_back
from campaigns.store.holding import accounts, whereabouts
from campaigns.store.holding import campaigns as campaign_hold
from campaigns.store.holding.campaigns import Resumed
from campaigns.store.session import Database

_BALANCE_AGAIN_SECONDS = 600.0  # before an account's balance is asked for again


async def deal_probes(database: Database) -> list[str]:
    """The held accounts whose probe is due now; each is given to one caller, the next by backoff."""
    pauses, while_down = probe_pauses(is_down=False), probe_pauses(is_down=True)
    return await accounts.deal_probes(database, pauses=pauses, pauses_while_down=while_down)


async def deal_balances(database: Database) -> list[str]:
    """The accounts to be probed for their balance alone, and for its currency: campaigns of theirs are under
    way. Those on hold are probed anyhow.

    Each is given to one caller, at most once in ten minutes.
    """
    return await accounts.deal_balances(database, again_in_seconds=_BALANCE_AGAIN_SECONDS)


async def learn_balance(database: Database, account: str, money: Money | None) -> None:
    """Note what is left on an account, and its currency where the provider names one: it is charged in it."""
    if money is not None and money.amount.is_finite():
        await accounts.learn_balance(database, account, money.amount, believed_currency(money.currency))


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
    await learn_balance(database, account, money)
    if hold is None or not hold.resumes_by_itself:
        return False
    if hold.code != DOWN and money is not None and money.amount <= 0:
        return False
    return await accounts.resume(database, account)


async def probe_soon(database: Database, account: str) -> bool:
    """Have the provider of an account on hold asked at the next tick, and not after the pause: the hold ends
    where all is well, and stays where it is not. Gives False when there was none.

    Raises NotAllowed where no probe ends it.
    """
    code = await accounts.probe_soon(database, account)
    if code is not None and not resumes_by_itself(code):
        raise NotAllowed("no probe ends this hold, because the provider does not know why: a person does")
    return code is not None


async def resume_account(database: Database, account: str) -> bool:
    """Lift the hold on an account by an operator's decision. Gives False when there was none."""
    return await accounts.resume(database, account)


async def resume_all_accounts(database: Database) -> list[str]:
    """Lift the holds on all accounts by an operator's decision. Gives those that were on hold."""
    return await accounts.resume_all(database)


@dataclass(frozen=True, slots=True)
class WentBack:
    """The database may have forgotten what it confirmed: why, and the accounts that are on hold for it."""

    why: str
    accounts: list[str]


class Guard:
    """Checks for one process whether the database went back in time: on each tick, and before its first
    dealing.
    """

    def __init__(self) -> None:
        self._has_looked = False

    async def look(self, database: Database, desk: Desk, *, once: bool = False) -> WentBack | None:
        """Hold every account where the database is another one than before, or stands before where it stood.

        The database itself and the second witness keep what it was seen as; either tells. Who resumes the
        accounts says that this one counts: the hold comes first, then the new one is remembered. A database
        without campaigns has forgotten none. Any number may look at the same time. `once`: not where this
        process has looked before. Raises DatabaseUnavailable.
        """
        if once and self._has_looked:
            return None
        witness, before = desk.witness, None
        if witness is not None:
            try:
                before = await witness.last_seen()
            except WitnessUnavailable:
                witness = None
        # In this order: by now the database stands where the witness saw it, or farther.
        now = await whereabouts.look(database)
        held = None
        if now is not None:
            known, has_campaigns = await whereabouts.known(database)
            why = went_back(before, known, now) if has_campaigns else None
            if why is not None:
                names = await whereabouts.hold_all(database, list(desk.accounts), why, now.identity)
                held = WentBack(why, names)
            elif known != now.identity:
                await whereabouts.remember(database, now.identity)
            if witness is not None:
                with suppress(WitnessUnavailable):  # the database remembers it; the next look tells Redis
                    await witness.remember(before, now)
        self._has_looked = True
        return held


async def where_is(database: Database) -> Whereabouts | None:
    """Which PostgreSQL this is and where it stands; None where it does not say."""
    return await whereabouts.look(database)


async def holds(database: Database) -> list[Hold]:
    """The accounts on hold."""
    return await accounts.holds(database)


async def campaign_holds(database: Database) -> list[CampaignHold]:
    """The campaigns on hold, the longest held first."""
    return await campaign_hold.holds(database)


async def resume_campaign(
    database: Database,
    campaign_id: UUID,
    *,
    operator: str,
    sender_id: str | None = None,
    approval_above: int | None = None,
) -> Resumed:
    """Let a campaign go on that is paused or on hold, by an operator's decision (or a key's); where a sender
    id is given, with that. Recorded. Where it is refused still, it is held again. Raises NotFound, and
    NotAllowed: also where it waits for approval and has more segments than the caller may let go on.
    """
    return await campaign_hold.resume(
        database, campaign_id, operator=operator, sender_id=sender_id, approval_above=approval_above
    )
