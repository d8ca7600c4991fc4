"""Connections to PostgreSQL: one pool a process, made inside the loop that uses it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from campaigns.domain.errors import DatabaseUnavailable, DatabaseUnfit
from campaigns.store import away, pooler

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_T = TypeVar("_T")

CHANNEL = "campaign_taken_in"
"""Of NOTIFY: something may be due that nobody knows of yet."""

_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 40  # more than a statement may take: whoever has not answered by then is not there
_PLACE_SECONDS = 30  # for a place in the pool and, where it has none yet, its connection
_CLOSE_SECONDS = 5

# For it twice as many calls share a group: a fifth less processor time in the worker, a third less in
# PostgreSQL.
_GROUP_WAIT_SECONDS = 0.01

_NAME = {"application_name": "campaigns"}

# Bounds on what a stuck statement or a forgotten transaction may hold up. Set once connected, not in the
# request for a connection: poolers refuse that for what they do not know, or drop it without a word.
# Written as SHOW writes them.
SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",  # statements of a millisecond: compiling them costs more than running them
    # By what stands in the tables a minute ago, all messages queued, a plan for "those handed over" reads
    # the whole table for each of them (measured: 8 s instead of 5 ms). Without a look at the values every
    # plan goes by index, and none is made twice.
    "plan_cache_mode": "force_generic_plan",
    "TimeZone": "UTC",
}
_UNHURRIED = {"statement_timeout": "0", "plan_cache_mode": "auto"}

# A client that freezes between the two messages of one statement holds its rows for as long as it likes:
# neither timeout above counts then. From PostgreSQL 17 on there is one that does.
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


# What says that the server is away, or cannot just now, as against a statement it refused: the same
# statement may go well in a moment.
_AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has said goodbye and not hung up yet: the driver's word for it
    asyncpg.PostgresConnectionError,
    asyncpg.PostgresSystemError,  # I/O
    asyncpg.OperatorInterventionError,  # shutdown, crash, a statement's timeout
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,  # we stood still for so long that it ended the session
    asyncpg.TransactionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby since a failover, or told to spare what disk is left
    asyncpg.InsufficientPrivilegeError,  # rights being changed; also its word for a read-only file system
    asyncpg.InvalidCachedStatementError,  # a migration changed a table; the driver has forgotten the old one
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    *away.MISSING,  # what a migration is about to make: an answer in hand waits for it
)


UNSTORABLE: tuple[type[Exception], ...] = (
    asyncpg.DataError,  # a value out of its column's range, or one the encoding cannot hold
    asyncpg.IntegrityConstraintViolationError,  # a CHECK, a key
    asyncpg.RaiseError,  # a trigger's word
    asyncpg.ProgramLimitExceededError,  # too large for a row or an index
)
"""Errors that speak of what was to be stored: the same again fails again, and something else may go well."""


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be used: {away.why(error, url)}") from error


# After these a session is not used again. A statement given up by its time limit may yet arrive: were it a
# BEGIN, what comes after would stand in a transaction that nobody commits. And one that says goodbye, or
# belongs to a standby now, answers no better the next time: a new one may reach the server that does.
_SPOILING = (TimeoutError, asyncpg.InternalClientError, asyncpg.ReadOnlySQLTransactionError)


async def _left_as_it_was(_driver: Connection) -> None:
    """What the pool does to a session that is given back: nothing.

    It would ask the server, every time, to drop locks, cursors, listeners and settings. There are none:
    locks are a transaction's, and a session that is still in one is closed; whoever listens or sets
    something has a connection of their own.
    """


def numbers(values: Iterable[float | Decimal | None]) -> str:
    """An array of numbers (or booleans) as PostgreSQL writes one, to be cast: `$1::text::bigint[]`.

    Given a list, the driver looks at every element twice, and asks the server on every connection what an
    array of numbers is, a question of several milliseconds.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Sequence[str | None]) -> str:
    """An array of texts as PostgreSQL writes one, to be cast: `x::text[]`. For an array within an array."""
    return "{" + ",".join(["NULL" if each is None else _quoted(each) for each in values]) + "}"


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def arrays(types: Sequence[str], *, first: int = 1) -> str:
    """The parameters of a call that takes arrays of these types, from `$first` on: texts as they are, numbers
    as `numbers` writes them.
    """
    return ", ".join(
        f"${place}::text[]" if kind == "text" else f"${place}::text::{kind}[]"
        for place, kind in enumerate(types, first)
    )


_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 0.5  # a server that comes and goes is met while it is there


async def insist(write: Callable[[], Awaitable[_T]], *, until: float) -> _T:
    """Write what is in hand, again and again while the database is away.

    Takes a write that may be done twice (a lease guards it) and a moment of the running loop's clock.
    Raises DatabaseUnavailable when the database is still away by then.
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
                reset=_left_as_it_was,
                timeout=_CONNECT_SECONDS,
                command_timeout=_COMMAND_SECONDS,
                server_settings=_NAME,
            )
            await self._pool  # without connections to begin with, it only makes their places: no wait
        return self._pool

    async def _begin(self, driver: Connection) -> None:
        """Make a new connection of the pool ours. Looks for poolers at the first: the address stays."""
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
        """The driver's own connection, in autocommit. Never to be held while a provider thinks.

        Raises DatabaseUnavailable when the server cannot be reached or goes away meanwhile. One that the
        server closed while nobody used it is replaced without a word: its restart costs no failed task.
        """
        with _translated(self._url):
            pool = await self._opened()
            async with pool.acquire(timeout=_PLACE_SECONDS) as driver:
                is_sound = False
                try:
                    yield driver
                    is_sound = True
                except _SPOILING:
                    raise
                except Exception:
                    is_sound = True
                    raise
                finally:
                    # Whoever was cancelled in the middle of a statement does not know what arrived either.
                    # And in a transaction left open the next user would write what nobody commits.
                    with suppress(asyncpg.InterfaceError):  # thrown away, or hung up on: the pool has it back
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
        """A connection of one's own, outside the pool: for intake (temporary tables) and export (cursors).

        Without a statement timeout: a million rows take their time. Raises DatabaseUnavailable, and
        DatabaseUnfit where a pooler would take its session away between two transactions.
        """
        with _translated(self._url):
            driver = await self._connect()
            try:
                await self._refuse_mixing(driver)
                await _set_up(driver, SETTINGS | _UNHURRIED, "0")
                yield driver
            finally:
                await driver.close(timeout=_CLOSE_SECONDS)

    async def close(self) -> None:
        """Close all connections, also those that are still in use some seconds later. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        with suppress(OSError):  # time has run out, or the server is gone: the pool has cut them all
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
