"""The production commands when something is not as it should be: one sentence, and they stop."""

from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.processes import Stack, processes_of
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_without_servers_it_says_what_to_set_or_start(alone: Stack, kind: str) -> None:
    """No URLs and no embedded stack: one sentence, no traceback."""
    process = alone.start(kind, "celery", "-A", "worker.app", kind)

    assert process.wait(30) == 2
    said = alone.log(kind).read_text()
    assert "campaigns up" in said
    assert "CAMPAIGNS_DATABASE_URL" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_a_wrong_setting_is_one_sentence_that_names_it(alone: Stack, kind: str) -> None:
    """Before anything starts."""
    alone.settings["POLL__FACTOR"] = "abc"
    process = alone.start(kind, "celery", "-A", "worker.app", kind)

    assert process.wait(30) == 2
    said = alone.log(kind).read_text()
    assert "CAMPAIGNS_POLL__FACTOR" in said
    assert "Traceback" not in said


async def test_a_worker_that_meets_another_schema_stops(stack: Stack, database_url: str) -> None:
    """Newer: run a newer version. None yet: migrate."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999', oldest_code = '9999'")
    await connection.close()

    process = stack.worker()

    assert process.wait(30) == 1
    said = stack.log("worker").read_text()
    assert "newer than this code" in said
    assert "Traceback" not in said


async def test_migrate_brings_an_empty_database_to_head(stack: Stack, empty_database_url: str) -> None:
    """A worker says so before, and works after."""
    stack.settings["DATABASE_URL"] = empty_database_url
    before = stack.run("list", check=False)
    assert before.returncode == 1
    assert b"campaigns migrate" in before.stderr

    stack.run("migrate", "--index-phones")

    assert stack.json("list") == []


def test_up_runs_everything_and_leaves_nothing_behind(alone: Stack) -> None:
    """Embedded servers, worker and beat in one terminal; other commands and workers use what runs; SIGTERM
    ends it all.
    """
    alone.simulator("--delivery-seconds", "0")
    alone.settings |= {"POLL__FIRST_SECONDS": "1"}
    up = alone.start("up", "campaigns", "up")
    wait_until(lambda: "running:" in alone.log("up").read_text(), "the stack is up", seconds=60)
    alone.worker("second")  # without URLs: it finds the running stack

    done = alone.json("submit", "-", "--account", "main", "--text", "Hi", stdin=b"phone\n+37060000001\n")
    assert alone.finished(done["id"])["totals"]["delivered"] == 1
    assert alone.stop("second") == 0

    assert alone.stop("up") == 0
    assert up.returncode == 0
    alone.stop("simulator")
    assert processes_of(alone.directory) == []
    assert (
        alone.json("status", done["id"])["state"] == "finished"
    )  # durable, and started for this one question


def test_two_stacks_in_different_folders_run_side_by_side(folder: Path) -> None:
    """Each with its own data."""
    stacks = [Stack(folder / name, {}) for name in ("one", "two")]
    try:
        for stack in stacks:
            stack.directory.mkdir()
            stack.start("up", "campaigns", "up")
        for stack in stacks:
            wait_until(lambda stack=stack: "running:" in stack.log("up").read_text(), "up", seconds=60)
        assert [stack.json("list") for stack in stacks] == [[], []]
        assert [stack.stop("up") for stack in stacks] == [0, 0]
    finally:
        for stack in stacks:
            stack.end()
    assert processes_of(folder) == []
