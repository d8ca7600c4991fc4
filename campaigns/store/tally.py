"""A batch's tally and what follows from it: counted anew whenever its messages change.

In the same transaction and under the row's lock, from at most a hundred index entries: exact by
construction, and constant in the number of statements. The counting itself is done by functions in the
database (migration 0015), one call for a round of batches.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from campaigns.store.session import Connection, arrays, numbers

HOW_TYPES = ("bigint", "float8", "float8", "smallint", "smallint", "text", "float8", "smallint", "bool")
"""What `how_values` gives, as the database's functions take it."""

_RECOUNT = f"SELECT recount_batches({arrays(['bigint'])}, {arrays(['bigint', 'float8'])})"
_LET_GO = f"SELECT * FROM let_go_batches({arrays(['bigint'])}, {arrays(HOW_TYPES)})"


@dataclass(frozen=True, slots=True)
class Release:
    """How a lease is given back: when the batch next wants work, in seconds from now.

    None leaves a value as it was; `trouble` is a sentence for people, None when all went well.
    """

    send_in_seconds: float | None = None
    poll_in_seconds: float | None = None
    retry_count: int | None = None
    poll_count: int | None = None
    give_up_in_seconds: float | None = None
    crash_count: int | None = None
    trouble: str | None = None
    asks_doubt: bool = True  # False: the provider cannot be asked about what is in doubt


def how_values(hows: Mapping[int, Release]) -> list[str | list[str | None]]:
    """How leases are given back, by batch id: one array for each of `HOW_TYPES`."""
    ways = list(hows.values())
    return [
        numbers(hows),
        numbers(how.send_in_seconds for how in ways),
        numbers(how.poll_in_seconds for how in ways),
        numbers(how.retry_count for how in ways),
        numbers(how.poll_count for how in ways),
        [how.trouble for how in ways],
        numbers(how.give_up_in_seconds for how in ways),
        numbers(how.crash_count for how in ways),
        numbers(how.asks_doubt for how in ways),
    ]


async def recount(connection: Connection, give_up_in: Mapping[int, float | None]) -> None:
    """Count the tallies of locked batches anew, by batch id, with their new deadlines in seconds from now
    (None: as it was). The caller's transaction holds their rows.
    """
    if give_up_in:
        await connection.execute(_RECOUNT, numbers(give_up_in), numbers(give_up_in.values()))


async def let_go(connection: Connection, hows: Mapping[int, Release]) -> None:
    """Count locked batches anew, give each lease back as said, and put each where its messages say it
    belongs.
    """
    if hows:
        await connection.execute(_LET_GO, *how_values(hows))
