"""Which PostgreSQL this is, and its position in the WAL: both show when a database went back in time."""

from collections.abc import Sequence

import asyncpg

from campaigns.domain.holds import WENT_BACK
from campaigns.domain.witness import Whereabouts
from campaigns.store.session import Database

# Readable by any role, on every release we support. The timeline comes from the name of the current WAL file:
# it is right at once after a promotion, the control file only after the next checkpoint.
_LOOK = """
    SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,
           (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS database,
           substr(pg_walfile_name(w.lsn), 1, 8) AS timeline,
           (w.lsn - '0/0')::bigint AS position,
           current_setting('synchronous_standby_names') <> ''
               AND current_setting('synchronous_commit') IN ('on', 'remote_apply', 'remote_write')
               AS is_synchronous
    FROM (SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END AS lsn) w
"""

# Some hosts of PostgreSQL forbid this, or have another kind of WAL.
_UNTOLD = (
    asyncpg.FeatureNotSupportedError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.UndefinedFunctionError,
)

_KNOWN = """
    SELECT (SELECT name FROM pulse WHERE kind = 'database'
            ORDER BY seen_at DESC, name DESC LIMIT 1) AS identity,
           EXISTS (SELECT FROM campaign) AS has_campaigns
"""

_REMEMBER = (
    "INSERT INTO pulse (kind, name) VALUES ('database', $1)"
    " ON CONFLICT (kind, name) DO UPDATE SET seen_at = clock_timestamp()"
)


async def look(database: Database) -> Whereabouts | None:
    """The server, its timeline and its WAL position now; None where it does not say. Raises
    DatabaseUnavailable.
    """
    async with database.connection() as connection:
        try:
            record = await connection.fetchrow(_LOOK)
        except _UNTOLD:
            return None
    if record is None or record["timeline"] is None:
        return None
    return Whereabouts(
        record["system"],
        record["database"],
        int(record["timeline"], 16),
        record["position"],
        is_synchronous=record["is_synchronous"],
    )


async def known(database: Database) -> tuple[str | None, bool]:
    """As which database it knows itself (a `Whereabouts.identity`; None: nobody has looked yet), and whether
    it has any campaign.
    """
    async with database.connection() as connection:
        record = await connection.fetchrow(_KNOWN)
    return (record["identity"], record["has_campaigns"]) if record else (None, False)


async def remember(database: Database, identity: str) -> None:
    """Have the database know itself as this one from now on."""
    async with database.connection() as connection:
        await connection.execute(_REMEMBER, identity)


async def hold_all(database: Database, accounts: Sequence[str], reason: str, identity: str) -> list[str]:
    """Hold these accounts, and those of every campaign that is not finished, until a person says go on; have
    the database know itself as this one from now on. In one transaction. Gives the accounts.

    It replaces any other hold: no probe lifts it.
    """
    async with database.transaction() as connection:
        records = await connection.fetch(
            "INSERT INTO account_hold AS h (account, code, reason, probe_at)"
            " SELECT a, $2, $3, 'infinity' FROM (SELECT unnest($1::text[]) AS a"
            " UNION SELECT account FROM campaign WHERE finished_at IS NULL) named"
            " ON CONFLICT (account) DO UPDATE SET code = excluded.code, reason = excluded.reason,"
            " since = now(), probe_at = excluded.probe_at RETURNING account",
            list(accounts),
            WENT_BACK,
            reason,
        )
        await connection.execute(_REMEMBER, identity)
    return sorted(record["account"] for record in records)
