"""Connections to PostgreSQL: one pool a process, made inside the loop that uses it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from campaigns.domain.errors import DatabaseUnavailable, DatabaseUnfit
from campaigns.store import connection_errors as away
from campaigns.store import pooler

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_T = TypeVar("_T")

CHANNEL = "campaign_taken_in"
"""The NOTIFY channel: a campaign was taken in, so something may be due."""

_CONNECT_SECONDS = 5  # for one connection to be made
_COMMAND_SECONDS = 40  # more than a statement may take: a server that has not answered by then is away
_ACQUIRE_SECONDS = 30  # for a connection of the pool, also a new one
_CLOSE_SECONDS = 5  # for a connection, or the pool, to close

# Waiting 10 ms doubles the group size: a fifth less CPU time in the worker, a third less in PostgreSQL
# (measured).
_GROUP_WAIT_SECONDS = 0.01

_NAME = {"application_name": "campaigns"}

# Bounds on what a stuck statement or a forgotten transaction may hold up. Set once connected, not in the
# request for a connection: poolers refuse parameters they do not know, or ignore them.
# Written as SHOW writes them.
SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",  # statements of a millisecond: compiling them costs more than running them
    # Statistics of a table that was just filled say that all messages are queued. A plan for "those handed
    # over" then reads the whole table for each message (measured: 8 s instead of 5 ms). A generic plan goes
    # by index and is made once.
    "plan_cache_mode": "force_generic_plan",
    "TimeZone": "UTC",
}
_LONG_RUNNING = {"statement_timeout": "0", "plan_cache_mode": "auto"}

# A client that freezes between the two protocol messages of one statement keeps its row locks, and neither
# timeout above ends it. PostgreSQL 17 has one that does.
_WHOLE_TRANSACTION_SINCE = 17


async def _set_up(driver: Connection, settings: Mapping[str, str], whole_transaction: str) -> None:
    encoding = getattr(driver.get_settings(), "server_encoding", "UTF8")  # the server says it unasked
    if encoding != "UTF8":
        raise DatabaseUnfit(
            f"PostgreSQL cannot be used: the database has the encoding {encoding}, and names and texts may "
            "hold any letter; make it anew with ENCODING 'UTF8' (CREATE DATABASE … TEMPLATE template0)"
        )
    if driver.get_server_version().major >= _WHOLE_TRANSACTION_SINCE:
        settings = {**settings, "transaction_timeout": whole_transaction}
    await driver.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))


# Errors that say that the server is away or cannot do it just now: the same statement may succeed later.
_AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has ended the session and not closed the socket yet
    asyncpg.PostgresConnectionError,
    asyncpg.PostgresSystemError,  # I/O
    asyncpg.OperatorInterventionError,  # shutdown, crash, a statement's timeout
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,  # our process was frozen inside a transaction
    asyncpg.TransactionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby since a failover, or read-only to save disk space
    asyncpg.InsufficientPrivilegeError,  # rights are being changed; also raised for a read-only file system
    asyncpg.InvalidCachedStatementError,  # a migration changed a table; the driver has forgotten the old one
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    *away.MISSING,  # what a migration is about to make: writes wait for it
)


UNSTORABLE: tuple[type[Exception], ...] = (
    asyncpg.DataError,  # a value out of its column's range, or one the encoding cannot hold
    asyncpg.IntegrityConstraintViolationError,  # a CHECK, a key
    asyncpg.RaiseError,  # RAISE in a trigger or function
    asyncpg.ProgramLimitExceededError,  # too large for a row or an index
)
"""Errors about the values to be stored: the same values fail again, others may succeed."""

# Of the driver's InterfaceError those that no waiting mends: a statement with other parameters than it takes.
_OUR_MISTAKES = ("the server expects ", "the number of query arguments ")


@contextmanager
def _away_as_unavailable(url: str) -> Iterator[None]:
    """Raise DatabaseUnavailable for what the driver raises of a server that is away."""
    try:
        yield
    except _AWAY as error:
        if isinstance(error, asyncpg.InterfaceError) and str(error).startswith(_OUR_MISTAKES):
            raise
        raise DatabaseUnavailable(f"PostgreSQL cannot be used: {away.why(error, url)}") from error


# After these a connection is closed, not used again. A statement that ran out of time may still arrive: if
# it is a BEGIN, the next statements would be in a transaction that nobody commits. And a session that has
# ended, or a server that became a standby, answers no better the next time; a new connection may reach
# another server.
_CLOSING = (TimeoutError, asyncpg.InternalClientError, asyncpg.ReadOnlySQLTransactionError)


async def _no_reset(_driver: Connection) -> None:
    """What the pool does to a connection that is given back: nothing.

    By default it would ask the server each time to drop locks, cursors, listeners and settings. There are
    none: our locks end with their transaction, a connection still in a transaction is closed, and who
    listens or sets something uses `own_connection`.
    """


def numbers(values: Iterable[float | Decimal | None]) -> str:
    """An array of numbers (or booleans) as PostgreSQL writes one, to be cast: `$1::text::bigint[]`.

    Given a list, the driver looks at every element twice, and asks the server on every connection what an
    array of numbers is, a question of several milliseconds.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


_PAUSE_SECONDS = 0.1  # the first pause while the database is away; each is twice the last
_LONGEST_PAUSE_SECONDS = 0.5  # short, so that a server that is there only for moments is not missed


async def retry_while_away(write: Callable[[], Awaitable[_T]], *, until: float) -> _T:
    """Do a write, and do it again while it raises DatabaseUnavailable.

    Takes a write that may be done twice (a lease guards it) and a moment of the running loop's clock.
    Raises DatabaseUnavailable when the database is still away by then, and any other error at once.
    """
    loop = asyncio.get_running_loop()
    pause_seconds = _PAUSE_SECONDS
    while True:
        try:
            return await write()
        except DatabaseUnavailable:
            if loop.time() + pause_seconds >= until:
                raise
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


class Database:
    """The pool of one process, made inside the loop that uses it. Opens nothing before first use.

    Takes an address as asyncpg wants it, how many connections there may be at most, and how long a group of
    calls waits for more of them (see `store/grouping.py`). A LIFO pool: the connection given back last is
    taken first, so that what it costs to make one ready (compiled functions, plans) is paid for as many as
    are used at once. One that is not used for minutes is closed, one that was used very often is replaced.
    """

    def __init__(
        self, url: str, *, pool_size: int = 20, group_wait_seconds: float = _GROUP_WAIT_SECONDS
    ) -> None:
        self._url = url
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None
        self._is_pooler_known = False
        self.group_wait_seconds = group_wait_seconds
        self.groupings: dict[Any, Any] = {}  # by the work they do; kept here to last as long as the pool

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._pool_size,
                init=self._begin,
                reset=_no_reset,
                timeout=_CONNECT_SECONDS,
                command_timeout=_COMMAND_SECONDS,
                server_settings=_NAME,
            )
            await self._pool  # opens no connection yet (min_size=0): no wait
        return self._pool

    async def _begin(self, driver: Connection) -> None:
        """Set up a new connection of the pool. Only the first looks for a pooler: the address stays."""
        if not self._is_pooler_known:
            await self._refuse_mixing(driver)
            self._is_pooler_known = True
        await _set_up(driver, SETTINGS, "30s")

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self._url, timeout=_CONNECT_SECONDS, server_settings=_NAME)

    async def _refuse_mixing(self, driver: Connection) -> None:
        if await pooler.is_between(driver):
            await pooler.refuse_mixing(driver, self._connect)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool, in autocommit. Never hold it while a provider is asked.

        Raises DatabaseUnavailable when the server cannot be reached or goes away meanwhile. A connection
        that the server closed while it was idle is replaced: a restart of the server fails no task.
        """
        with _away_as_unavailable(self._url):
            pool = await self._opened()
            async with pool.acquire(timeout=_ACQUIRE_SECONDS) as driver:
                is_sound = False
                try:
                    yield driver
                    is_sound = True
                except _CLOSING:
                    raise
                except Exception:
                    is_sound = True
                    raise
                finally:
                    # Cancelled in the middle of a statement: nobody knows what arrived. In a transaction that
                    # was left open: the next user would write what nobody commits.
                    with suppress(asyncpg.InterfaceError):  # closed already: the pool has it back
                        if not is_sound or driver.is_in_transaction():
                            driver.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back by an exception."""
        async with self.connection() as driver:
            await driver.execute("BEGIN")
            try:
                yield driver
            except BaseException:
                await driver.execute("ROLLBACK")
                raise
            await driver.execute("COMMIT")

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Connection]:
        """A connection outside the pool: for intake (temporary tables) and export (cursors).

        It has no statement timeout: a million rows take longer. Raises DatabaseUnavailable, and DatabaseUnfit
        where a pooler would change its session between two transactions.
        """
        with _away_as_unavailable(self._url):
            driver = await self._connect()
            try:
                await self._refuse_mixing(driver)
                await _set_up(driver, SETTINGS | _LONG_RUNNING, "0")
                yield driver
            finally:
                await driver.close(timeout=_CLOSE_SECONDS)

    async def close(self) -> None:
        """Close all connections; those still in use after some seconds are cut. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        with suppress(OSError):  # out of time, or the server is gone: the pool has cut them all
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
