"""A batch's tally and what follows from it: counted again whenever its messages change.

In the same transaction and under the row's lock, from at most a hundred index entries: exact by
construction, and constant in the number of statements. The counting itself is done by functions in the
database (`functions/`), one call for a group of batches.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from campaigns.store.database_functions import as_group
from campaigns.store.session import Connection


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


def release_fields(how: Release) -> dict[str, object]:
    """How a batch's lease is given back, as `let_go_batches` takes it."""
    return {
        "send_in": how.send_in_seconds,
        "poll_in": how.poll_in_seconds,
        "retry_count": how.retry_count,
        "poll_count": how.poll_count,
        "give_up_in": how.give_up_in_seconds,
        "crash_count": how.crash_count,
        "trouble": how.trouble,
        "asks_doubt": how.asks_doubt,
    }


async def recount(connection: Connection, give_up_in: Mapping[int, float | None]) -> None:
    """Count the tallies of locked batches again, by batch id, with their new deadlines in seconds from now
    (None: as it was). The caller's transaction holds their rows.
    """
    if give_up_in:
        group = as_group({"id": each, "give_up_in": seconds} for each, seconds in give_up_in.items())
        await connection.execute("SELECT recount_batches($1)", group)


async def let_go(connection: Connection, hows: Mapping[int, Release]) -> None:
    """Count locked batches again, release each lease as said, and set each batch's state by its messages."""
    if hows:
        group = as_group({"id": each, **release_fields(how)} for each, how in hows.items())
        await connection.execute("SELECT let_go_batches($1)", group)
