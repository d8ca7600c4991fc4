"""Refuses a pooler in transaction mode: it gives each transaction another server session.

Our settings, LISTEN and advisory locks would then apply to other clients' transactions.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from campaigns.domain.errors import DatabaseUnfit

_LOOKS = 8  # a busy pooler gives back the same session by chance, but not so often

# What is said when a statement was prepared in one session and used in another.
_STATEMENT_LOST = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)

MIXES = (
    "PostgreSQL cannot be used: there is a pooler before it that gives each transaction another session "
    "(pool_mode = transaction or statement); lists of recipients would mix: let it have pool_mode = session "
    "for us, or have CAMPAIGNS_DATABASE_URL lead past it"
)


async def is_between(connection: Any) -> bool:
    """Whether there is a pooler between us and the server: the process it named at the start is not the one
    that answers.

    Takes a fresh connection of the driver. Raises DatabaseUnfit when it takes sessions from us.
    """
    return bool(connection.get_server_pid() != await _backend(connection))


async def refuse_mixing(connection: Any, another: Callable[[], Awaitable[Any]]) -> None:
    """Raises DatabaseUnfit when the pooler before `connection` takes sessions from us.

    Takes a fresh connection and who opens another: two that are open at once have two server sessions,
    and keep them.
    """
    second = await another()
    try:
        first_backend, second_backend = await _backend(connection), await _backend(second)
        for _ in range(_LOOKS):
            now = await _backend(connection), await _backend(second)
            if first_backend == second_backend or now != (first_backend, second_backend):
                raise DatabaseUnfit(MIXES)
    finally:
        await second.close()


async def _backend(connection: Any) -> int:
    try:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))
    except _STATEMENT_LOST as error:
        raise DatabaseUnfit(MIXES) from error
