"""What PostgreSQL refuses for its content, found by halving: one that cannot be stored stops no other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from campaigns.store.session import UNSTORABLE, Connection

_T = TypeVar("_T")


def why(error: Exception) -> str:
    """Why PostgreSQL refused it, without a value: the kind of error, and the constraint it names."""
    constraint = getattr(error, "constraint_name", None)
    kind = type(error).__name__
    return f"PostgreSQL refuses it: {kind} ({constraint})" if constraint else f"PostgreSQL refuses it: {kind}"


async def store_each(
    connection: Connection, items: Sequence[_T], store: Callable[[Sequence[_T]], Awaitable[None]]
) -> list[tuple[_T, Exception]]:
    """Store all that can be stored, halving around what PostgreSQL refuses; gives what it refused, and why.

    The caller's transaction goes on. Takes about two statements for each halving, of which one that cannot
    be stored costs as many as the number of items has binary digits.
    """
    if not items:
        return []
    await connection.execute("SAVEPOINT part")
    try:
        await store(items)
    except UNSTORABLE as error:
        await connection.execute("ROLLBACK TO SAVEPOINT part")
        await connection.execute("RELEASE SAVEPOINT part")
        if len(items) == 1:
            return [(items[0], error)]
    else:
        await connection.execute("RELEASE SAVEPOINT part")
        return []
    middle = len(items) // 2
    refused = await store_each(connection, items[:middle], store)
    return refused + await store_each(connection, items[middle:], store)
