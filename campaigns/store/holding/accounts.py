"""Accounts on hold, kept in the database so that every worker knows at once and after a restart."""

from collections.abc import Sequence
from decimal import Decimal

from campaigns.domain.circuit import NewHold
from campaigns.domain.holds import DOWN, Hold
from campaigns.store.session import Database

_STOPS_KEPT_DAYS = 90  # holds that were lifted before are forgotten
_LEAST_STOP_SECONDS = 10  # a hold that was shorter is seen in no chart: a provider that flaps has thousands

# Deletes holds, and keeps when they were.
_LIFT = f"""
    WITH lifted AS (DELETE FROM account_hold WHERE {{}} RETURNING account, since),
    forgotten AS (
        DELETE FROM account_stop WHERE lifted_at < now() - interval '{_STOPS_KEPT_DAYS} days'
    ),
    kept AS (
        INSERT INTO account_stop (account, held_at, lifted_at)
        SELECT account, since, now() FROM lifted
        WHERE since <= now() - interval '{_LEAST_STOP_SECONDS} s' ON CONFLICT DO NOTHING
    )
    SELECT account FROM lifted
"""


async def hold(database: Database, account: str, why: NewHold) -> bool:
    """Hold an account. Gives True when it was not on hold before; the first reason stays."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "INSERT INTO account_hold (account, code, reason, probe_at)"
                " VALUES ($1, $2, $3, now() + make_interval(secs => $4))"
                " ON CONFLICT (account) DO NOTHING RETURNING true",
                account,
                why.code,
                why.reason,
                why.probe_in_seconds,
            )
        )


async def resume(database: Database, account: str) -> bool:
    """Lift the hold. Gives False when there was none."""
    async with database.connection() as connection:
        return bool(await connection.fetchval(_LIFT.format("account = $1"), account))


async def holds(database: Database) -> list[Hold]:
    """The accounts on hold, by name."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT account, since, code, reason FROM account_hold ORDER BY account"
        )
    return [Hold(r["account"], r["since"], r["code"], r["reason"]) for r in records]


async def resume_all(database: Database) -> list[str]:
    """Lift every hold. Gives the accounts, by name."""
    async with database.connection() as connection:
        records = await connection.fetch(_LIFT.format("true"))
    return sorted(record["account"] for record in records)


async def deal_probes(
    database: Database, *, pauses: Sequence[float], pauses_while_down: Sequence[float]
) -> list[str]:
    """The accounts whose probe is due, each given to one caller. Its next probe comes after the pause, in
    seconds, of as many probes as there were; after the last pause it stays at that.
    """
    async with database.connection() as connection:
        records = await connection.fetch(
            "UPDATE account_hold SET probe_count = least(probe_count + 1, 1000), probe_at = now() +"
            " make_interval(secs => CASE WHEN code = $3"
            " THEN ($2::float8[])[least(probe_count + 1, cardinality($2::float8[]))]"
            " ELSE ($1::float8[])[least(probe_count + 1, cardinality($1::float8[]))] END)"
            " WHERE account IN (SELECT account FROM account_hold WHERE probe_at <= now()"
            " FOR UPDATE SKIP LOCKED) RETURNING account",
            list(pauses),
            list(pauses_while_down),
            DOWN,
        )
    return [record["account"] for record in records]


async def probe_soon(database: Database, account: str) -> str | None:
    """Have the hold on an account probed by the next who deals probes. Gives the hold's code; None: there is
    none.
    """
    async with database.connection() as connection:
        code: str | None = await connection.fetchval(
            "UPDATE account_hold SET probe_at = least(probe_at, now()) WHERE account = $1 RETURNING code",
            account,
        )
    return code


async def deal_balances(database: Database, *, again_in_seconds: float) -> list[str]:
    """The accounts that have open campaigns and are not on hold. Each is given to one caller, and to the next
    after `again_in_seconds` at the earliest.
    """
    async with database.connection() as connection:
        records = await connection.fetch(
            "INSERT INTO account_currency (account)"
            " SELECT DISTINCT account FROM campaign c WHERE finished_at IS NULL"
            " AND NOT EXISTS (SELECT FROM account_hold h WHERE h.account = c.account)"
            " ON CONFLICT (account) DO UPDATE SET asked_at = now()"
            " WHERE account_currency.asked_at <= now() - make_interval(secs => $1) RETURNING account",
            again_in_seconds,
        )
    return [record["account"] for record in records]


async def learn_balance(database: Database, account: str, balance: Decimal, currency: str | None) -> None:
    """Note what is left on an account, and in what it is charged (None: that was not named), for the
    campaigns that have no currency, and those to come.

    Idempotent. The settings take precedence.
    """
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO account_currency AS known (account, currency, balance, balance_at)"
            " VALUES ($1, $2, $3, now()) ON CONFLICT (account) DO UPDATE SET"
            " currency = coalesce(excluded.currency, known.currency), balance = excluded.balance,"
            " balance_at = excluded.balance_at",
            account,
            currency,
            balance,
        )
        if currency is None:
            return
        await connection.execute(
            "UPDATE campaign SET currency = $2 WHERE account = $1 AND currency IS NULL", account, currency
        )
