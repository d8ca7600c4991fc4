"""A submission that dies half-way leaves nothing; one of any size holds nobody up."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from campaigns import batching, sending, staging, submission
from campaigns.domain.blocks import Row, in_blocks
from campaigns.domain.errors import DatabaseUnavailable, SubmissionError
from campaigns.domain.limits import AccountTerms
from campaigns.domain.states import CampaignState
from campaigns.store import submission as intake
from campaigns.store.filling import Filling
from campaigns.store.session import Database
from campaigns.store.submission import Intake, TakenIn
from tests.conftest import POLICY, MakeDesk
from tests.integration.rows import cut_everywhere, query
from tests.integration.submitted import (
    LATE,
    assert_nothing_is_stored,
    cut_into_portions,
    kill,
    locked,
    stored,
    take_in,
    waiting,
)
from tests.river import flow, numbered, phones, submit
from tests.stub import Stub
from tests.waiting import until

DEADLINE_SECONDS = 60


# --- dying half-way ---------------------------------------------------------------------------------


async def assert_it_can_be_submitted_again(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    taken = await submit(database, phones(250), submission_key="key")
    assert (taken.created, taken.recipient_count) == (True, 250)
    overview = await flow(database, make_desk(stub), taken.id)
    assert (overview.state, len(stub.ledger)) == (CampaignState.FINISHED, 250)


@pytest.mark.parametrize(
    ("trouble", "raised"), [(OSError(5, "Input/output error"), SubmissionError), (KeyError("x"), KeyError)]
)
async def test_rows_that_break_off_leave_nothing(
    database: Database, make_desk: MakeDesk, trouble: Exception, raised: type[Exception]
) -> None:
    """And say so: a file that cannot be read is not a database that is away."""

    def rows() -> Iterator[Row]:
        yield from enumerate(phones(LATE), 2)
        raise trouble

    with pytest.raises(raised, match=r"Input/output error|x"):
        await take_in(database, in_blocks(rows()))

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_connection_cut_between_two_portions_leaves_nothing(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_portions(monkeypatch, 5_000)
    loop = asyncio.get_running_loop()

    async def cut() -> None:
        (row,) = await until(copying, "the first portion is staged")
        await kill(database, row["pid"])

    async def copying() -> list[dict[str, Any]]:
        return await query(
            database,
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'",
        )

    def rows() -> Iterator[Row]:
        for row in enumerate(phones(12_000), 2):
            if row[0] == 7_000:
                asyncio.run_coroutine_threadsafe(cut(), loop).result(DEADLINE_SECONDS)
            yield row

    with pytest.raises(DatabaseUnavailable):
        await take_in(database, in_blocks(rows()))

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_connection_cut_while_it_takes_no_more_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver waits for room in the socket, which never comes, and hears nothing of the end."""
    fillings: list[Filling] = []
    copy = Filling._copy

    async def noted(self: Filling) -> str:
        fillings.append(self)
        return await copy(self)

    def is_stuck() -> bool:
        return fillings[0]._lines.full() and fillings[0]._connection._transport.get_write_buffer_size() > 0

    monkeypatch.setattr(Filling, "_copy", noted)
    async with database.own_connection() as other:
        await other.execute("BEGIN; LOCK TABLE message IN SHARE MODE")
        dying = asyncio.ensure_future(submit(database, phones(80_000)))
        (pid,) = await waiting(database, count=1)
        await until(is_stuck, "no more rows are taken")
        await kill(database, pid)
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(dying, DEADLINE_SECONDS / 2)

    await assert_nothing_is_stored(database)


async def test_a_connection_cut_while_the_campaign_is_made_leaves_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    async with locked(database, "batch"):
        dying = asyncio.ensure_future(submit(database, phones(250), submission_key="key"))
        (pid,) = await waiting(database, count=1)
        await kill(database, pid)
        with pytest.raises(DatabaseUnavailable):
            await dying

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_submission_cancelled_anywhere_is_whole_or_not_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at its first wait, at its second, at each: half a campaign is never seen, and a whole one stays
    once its COMMIT was answered.
    """
    cut_into_portions(monkeypatch, 4)
    rows = [*phones(9), {"phone": "12"}]
    whole = {"campaign": 1, "batch": 3, "message": 9, "refusal": 1}
    is_committed = False
    committed = Intake._committed

    @asynccontextmanager
    async def noted(self: Intake) -> AsyncIterator[None]:
        nonlocal is_committed
        async with committed(self):
            yield
        is_committed = True

    monkeypatch.setattr(Intake, "_committed", noted)

    async def submitted() -> Coroutine[Any, Any, TakenIn]:
        nonlocal is_committed
        is_committed = False
        await query(database, "TRUNCATE campaign, batch, message CASCADE")
        return submit(database, rows, submission_key="key", batch_size=4)

    async def look(was_cut: bool) -> None:
        found = {table: count for table, count in (await stored(database)).items() if count}
        assert found == whole or (was_cut and not found and not is_committed)
        seen.add((bool(found), was_cut))

    seen: set[tuple[bool, bool]] = set()
    assert await cut_everywhere(submitted, look) > 15
    assert seen == {(False, True), (True, True), (True, False)}
    await query(database, "TRUNCATE campaign, batch, message CASCADE")
    await assert_nothing_is_stored(database)


async def test_nothing_is_seen_or_dealt_before_everything_is_stored(
    database: Database, make_desk: MakeDesk
) -> None:
    """The campaign, its batches and its messages appear in one moment."""
    desk = make_desk()
    async with asyncio.TaskGroup() as group, locked(database, "message") as let_go:
        group.create_task(submit(database, phones(250)))
        await waiting(database, count=1)  # its batches are written, its messages are not
        assert await query(database, "SELECT id FROM campaign") == []  # the list reads messages, too
        assert await batching.deal_sending(database, desk) == []
        await let_go()

    dealt = await batching.deal_sending(database, desk)
    sent = [(await sending.send_batch(database, desk, one)).handed_over_count for one in dealt]
    assert sent == [100, 100, 50]


# --- size -------------------------------------------------------------------------------------------


async def test_the_loop_goes_on_while_rows_are_read(database: Database) -> None:
    """Rows are read beside the loop: a source that waits for something the loop must do gets it."""
    asked, answered = threading.Event(), threading.Event()

    def rows() -> Iterator[Row]:
        for row in enumerate(phones(20), 2):
            if row[0] == 10:
                asked.set()
                assert answered.wait(DEADLINE_SECONDS / 2), "the loop stood still while rows were read"
            yield row

    async def answer() -> None:
        await until(has_asked, "the rows are read")
        answered.set()

    async def has_asked() -> bool:
        return asked.is_set()

    heard: list[int] = []
    wanted = submission.Submission(AccountTerms("main"), "Hello", "Demo", "test")
    taken, _ = await asyncio.gather(
        submission.submit(database, POLICY, wanted, in_blocks(rows()), batch_size=100, progress=heard.append),
        answer(),
    )

    assert taken.recipient_count == 20
    assert heard == [20]


async def test_the_next_rows_are_read_while_these_are_stored_and_no_more_of_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_portions(monkeypatch, 10)
    read = 0
    read_while_stored: list[int] = []
    store = staging._store

    async def wait_and_store(*portion: Any) -> None:
        last = min(10 * (len(read_while_stored) + 2), 45)
        await until(has_read(last), f"{last} rows are read")
        await store(*portion)
        read_while_stored.append(read)

    def has_read(count: int) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return read >= count

        return look

    def rows() -> Iterator[Row]:
        nonlocal read
        for row in enumerate(phones(45), 2):
            read += 1
            yield row

    monkeypatch.setattr(staging, "_store", wait_and_store)
    assert (await take_in(database, in_blocks(rows()))).recipient_count == 45
    assert read_while_stored == [20, 30, 40, 45, 45]


async def test_nobody_reads_rows_any_more_once_storing_has_failed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who called may close the file then."""
    cut_into_portions(monkeypatch, 10)
    reading, has_failed = threading.Event(), threading.Event()
    read = 0

    real = intake.intake

    async def fail(*_: object) -> None:
        await until(is_reading, "the second portion is read")
        raise DatabaseUnavailable("gone")

    @asynccontextmanager
    async def opened(database: Database) -> AsyncIterator[Intake]:
        try:
            async with real(database) as door:
                yield door
        finally:  # the connection is closed; who does not wait raises before this is heard
            asyncio.get_running_loop().call_soon(has_failed.set)

    async def is_reading() -> bool:
        return reading.is_set()

    def rows() -> Iterator[Row]:
        nonlocal read
        for row in enumerate(phones(20), 2):
            if row[0] == 15:
                reading.set()
                assert has_failed.wait(DEADLINE_SECONDS / 2)
            read += 1
            yield row

    monkeypatch.setattr(staging, "_store", fail)
    monkeypatch.setattr(staging, "intake", opened)
    with pytest.raises(DatabaseUnavailable):
        await take_in(database, in_blocks(rows()))
    assert read == 20


async def test_progress_is_heard_after_each_portion(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_portions(monkeypatch, 10)
    heard: list[int] = []
    rows = [*phones(15), *({"phone": ""} for _ in range(10))]
    wanted = submission.Submission(AccountTerms("main"), "Hello", "Demo", "test")

    await submission.submit(database, POLICY, wanted, numbered(rows), batch_size=100, progress=heard.append)

    assert heard == [10, 20, 25]


MEASURER = """
import asyncio, json, resource, sys
from campaigns import submission
from campaigns.domain.blocks import in_blocks
from campaigns.domain.limits import AccountTerms
from tests.conftest import POLICY, open_database

def rows(count):
    for n in range(count):
        yield n + 2, {"phone": f"+3706{n:07d}", "name": f"name {n}", "note": f"{n:0200d}"}

async def main(url):
    database = open_database(url)
    peaks = []
    for key, count in (("small", 20_000), ("large", 200_000)):
        terms = AccountTerms("main")
        wanted = submission.Submission(terms, "Hi {name}, {note}", "Demo", "test", submission_key=key)
        taken = await submission.submit(database, POLICY, wanted, in_blocks(rows(count)), batch_size=100)
        assert taken.recipient_count == count, taken
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(json.dumps(peaks), flush=True)
    await database.close()

with asyncio.Runner() as runner:
    runner.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
async def test_memory_stays_flat_over_two_hundred_thousand_rows(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURER, database_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    small_kilobytes, large_kilobytes = json.loads(out)

    # Ten times the rows; held all at once they would be 200 MB and more.
    assert large_kilobytes - small_kilobytes < 40_000
