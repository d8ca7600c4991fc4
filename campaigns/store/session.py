"""Connections to PostgreSQL: one engine a process, made inside the loop that uses it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.gathering import Gathering

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_T = TypeVar("_T")
_A = TypeVar("_A")
_R = TypeVar("_R")

_ROUNDS = 2  # of one kind at once: while one waits for the disk, another is made ready

# Bounds on what a stuck statement or a forgotten transaction may hold up.
_SERVER_SETTINGS = {
    "application_name": "campaigns",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",  # statements of a millisecond: compiling them costs more than running them
    # By what stands in the tables a minute ago, all messages queued, a plan for "those handed over" reads
    # the whole table for each of them (measured: 8 s instead of 5 ms). Without a look at the values every
    # plan goes by index, and none is made twice.
    "plan_cache_mode": "force_generic_plan",
    "timezone": "UTC",
}

# A client that freezes between the two messages of one statement holds its rows for as long as it likes:
# neither timeout above counts then. From PostgreSQL 17 on there is one that does.
_WHOLE_TRANSACTION = "SET transaction_timeout = '30s'"
_WHOLE_TRANSACTION_SINCE = 17


async def _bound_transactions(driver: Connection) -> None:
    if driver.get_server_version().major >= _WHOLE_TRANSACTION_SINCE:
        await driver.execute(_WHOLE_TRANSACTION)


# What says that the server is away, or cannot just now, as against a statement it refused: the same
# statement may go well in a moment.
_AWAY = (
    OSError,
    TimeoutError,
    PoolTimeoutError,
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
)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise DatabaseUnavailable(f"PostgreSQL cannot be used: {type(error).__name__}") from error
    except DBAPIError as error:
        # SQLAlchemy wraps what the server answers while connecting: starting up, shutting down, full.
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, _AWAY) or error.connection_invalidated:
            raise DatabaseUnavailable(f"PostgreSQL cannot be used: {type(cause).__name__}") from error
        raise


@contextmanager
def _ends_with_its_transaction(driver: Connection) -> Iterator[None]:
    # A BEGIN that was given up by its time limit may yet arrive, and the driver counts it as begun: what
    # comes after would be a savepoint in a transaction that nobody commits.
    try:
        yield
    except BaseException:
        driver.terminate()
        raise


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
    """The pool of one process. Opens nothing before first use.

    Takes the same address twice, as SQLAlchemy (`postgresql+asyncpg://`) and as asyncpg want it.
    """

    def __init__(self, engine_url: str, driver_url: str, *, pool_size: int = 20) -> None:
        self._driver_url = driver_url
        self._engine = create_async_engine(
            engine_url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_recycle=1800,
            connect_args={"server_settings": _SERVER_SETTINGS, "timeout": 5, "command_timeout": 40},
        )
        self._gatherings: dict[Any, Gathering[Any, Any]] = {}
        event.listen(
            self._engine.sync_engine,
            "connect",
            lambda connection, _record: connection.run_async(_bound_transactions),
        )

    @property
    def engine(self) -> AsyncEngine:
        """For SQLModel reads and for alembic."""
        return self._engine

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """The driver's own connection, in autocommit. Never to be held while a provider thinks.

        Raises DatabaseUnavailable when the server cannot be reached or goes away meanwhile.
        """
        with _translated():
            while True:
                async with self._engine.connect() as pooled:
                    driver = (await pooled.get_raw_connection()).driver_connection
                    assert isinstance(driver, asyncpg.Connection)  # noqa: S101  narrows the type for mypy
                    if driver.is_closed():
                        # The server went away while it lay in the pool. The driver knows without
                        # asking: a restart of PostgreSQL costs no failed task, a check-out no ping.
                        await pooled.invalidate()
                        continue
                    try:
                        yield driver
                    except asyncpg.ReadOnlySQLTransactionError:
                        # This session will not write again. A new one may reach the server that does.
                        driver.terminate()
                        raise
                    except Exception:
                        raise
                    except BaseException:
                        # Cancelled in the middle of a statement: what it did is not known, and BEGIN may
                        # yet arrive. Closed, it is thrown away at the next check-out.
                        driver.terminate()
                        raise
                    finally:
                        if not driver.is_closed() and driver.is_in_transaction():
                            # The next user would write into a transaction that nobody commits.
                            driver.terminate()
                    return

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back by an exception."""
        async with self.connection() as driver:
            transaction = driver.transaction()
            with _ends_with_its_transaction(driver):
                await transaction.start()
            try:
                yield driver
            except BaseException:
                with _ends_with_its_transaction(driver):
                    await transaction.rollback()
                raise
            with _ends_with_its_transaction(driver):
                await transaction.commit()

    async def together(
        self, work: Callable[["Database", Sequence[_A]], Awaitable[Sequence[_R]]], asked: _A
    ) -> _R:
        """Do `work` for `asked`, in one transaction with whatever is asked of the same `work` meanwhile.

        Takes a function of this database and what is asked, which gives one result for each, in order, and
        has no effect when it raises. Sixteen batches that end at once cost one commit, one alone costs what
        it always did. Raises DatabaseUnavailable, and what `work` raises for `asked` alone.
        """
        gathering = self._gatherings.get(work)
        if gathering is None:
            gathering = Gathering(partial(work, self), rounds=_ROUNDS, shared=(DatabaseUnavailable,))
            self._gatherings[work] = gathering
        result: _R = await gathering(asked)
        return result

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Connection]:
        """A connection of one's own, outside the pool: for intake (temporary tables) and export (cursors).

        Without a statement timeout: a million rows take their time.
        """
        with _translated():
            driver: Connection = await asyncpg.connect(
                self._driver_url,
                timeout=5,
                server_settings=_SERVER_SETTINGS | {"statement_timeout": "0", "plan_cache_mode": "auto"},
            )
            try:
                yield driver
            finally:
                await driver.close(timeout=5)

    async def close(self) -> None:
        """Give all connections back. Idempotent."""
        await self._engine.dispose()
