"""The law of states as triggers, for the databases of tests alone: made from `domain/states.py`, they refuse
every change of a message, a batch or a campaign that the law does not know. So each test, storm and property
run holds the product to that one file.

The function stands in a schema of its own: nothing that looks at ours sees it.
"""

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from campaigns.domain.states import (
    BATCH_INITIAL,
    BATCH_MOVES,
    CAMPAIGN_INITIAL,
    CAMPAIGN_MOVES,
    EVIDENCE,
    INITIAL,
    MOVES,
    MessageState,
    takes_evidence,
)
from campaigns.store.law import State, in_list, quoted
from worker.stack.embedded import servers as stack

T = TypeVar("T")

NAMES = frozenset({"law_of_beginnings", "law_of_moves"})
"""What the triggers are called, on each of the three tables."""


def _pairs(moves: Mapping[State, Iterable[State]]) -> str:
    return ", ".join(
        f"({quoted(before)}, {quoted(after)})" for before, ends in moves.items() for after in ends
    )


def _by_evidence() -> str:
    """Higher by rank, and of a message that a provider's word can be about."""
    always = [state for state in MessageState if takes_evidence(state, 0)]
    if_tried = [state for state in MessageState if takes_evidence(state, 1)]
    return (
        f"(NEW.state IN {in_list(EVIDENCE)} AND NEW.state > OLD.state AND"
        f" (OLD.state IN {in_list(always)} OR OLD.attempt >= 1 AND OLD.state IN {in_list(if_tried)}))"
    )


# What is allowed is said in the condition: a row that obeys calls no function. After the change, so that a
# row is locked and checked as it is in production. Each refusal is counted, for one that somebody caught and
# logged is a breach all the same; a sequence counts on when the transaction rolls back.
_FUNCTION = """
    CREATE SCHEMA law;
    CREATE SEQUENCE law.refused;
    CREATE FUNCTION law.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        PERFORM nextval('law.refused');
        IF TG_OP = 'INSERT' THEN
            RAISE 'the law knows no % that begins as %', TG_TABLE_NAME, NEW.state
                USING ERRCODE = 'triggered_action_exception';
        END IF;
        RAISE 'the law knows no move of a % from % to %', TG_TABLE_NAME, OLD.state, NEW.state
            USING ERRCODE = 'triggered_action_exception';
    END $$;
"""
_TRIGGERS = """
    CREATE TRIGGER law_of_beginnings AFTER INSERT ON {table} FOR EACH ROW
        WHEN (NEW.state NOT IN {initial}) EXECUTE FUNCTION law.refuse();
    CREATE TRIGGER law_of_moves AFTER UPDATE ON {table} FOR EACH ROW
        WHEN (NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN ({moves}) AND NOT {otherwise})
        EXECUTE FUNCTION law.refuse();
"""


def sql() -> str:
    """All of it, for a database that was migrated."""
    return _FUNCTION + "".join(
        _TRIGGERS.format(table=table, initial=in_list(initial), moves=_pairs(moves), otherwise=otherwise)
        for table, initial, moves, otherwise in (
            ("message", INITIAL, MOVES, _by_evidence()),
            ("batch", BATCH_INITIAL, BATCH_MOVES, "false"),
            ("campaign", CAMPAIGN_INITIAL, CAMPAIGN_MOVES, "false"),
        )
    )


async def put_on(database_url: str) -> None:
    """Put the law on a migrated database; one that has it keeps what it has."""
    async with _connection(database_url) as connection:
        if await connection.fetchval("SELECT to_regnamespace('law') IS NULL"):
            await connection.execute(sql())


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Do it on a loop of its own, whether or not one is running here."""

    def run() -> T:
        with asyncio.Runner() as runner:
            return runner.run(work)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


async def refused_count(database_url: str) -> int:
    """How many changes were refused since the last look, also those that somebody caught; 0 where there is
    no law.
    """
    async with _connection(database_url) as connection:
        if not await connection.fetchval("SELECT to_regclass('law.refused') IS NOT NULL"):
            return 0
        count: int = await connection.fetchval(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM law.refused"
        )
        await connection.execute("ALTER SEQUENCE law.refused RESTART")
    return count


class Embedded:
    """The law on the database that a command makes and migrates itself: put there by a thread as soon as it
    can be, which is before anything was submitted.
    """

    def __init__(self, data_dir: Path, command: "subprocess.Popen[bytes]") -> None:
        self._data_dir = data_dir
        self._command = command
        self._is_there = False
        self._thread = threading.Thread(target=lambda: apart(self._put()), daemon=True)
        self._thread.start()

    async def _put(self) -> None:
        while self._command.poll() is None and not self._is_there:
            await asyncio.sleep(0.05)
            urls = stack.running(self._data_dir, want_redis=False) if stack.is_made(self._data_dir) else None
            # It may not be there yet, may not be migrated, or end this very moment.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if urls is not None:
                    await put_on(urls.database_url)
                    self._is_there = True

    def check(self) -> None:
        """Once the command has ended: it obeyed the law, and the law was there."""
        self._thread.join(30)
        assert self._is_there, "the command ended before the law was there"
        with stack.servers(self._data_dir, want_redis=False) as urls:
            count = apart(refused_count(urls.database_url))
        assert not count, f"{count} change(s) that domain/states.py does not allow"


@asynccontextmanager
async def _connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()
