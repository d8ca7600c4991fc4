"""`campaigns doctor`, `alive` and `status` know whether anybody works on what is due."""

import asyncio
import json
import re
import socket
from typing import Any

import asyncpg
import pytest

from tests.acceptance.processes import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def examined(stack: Stack) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """The doctor's exit code and its findings by name."""
    done = stack.run("doctor", "--json", check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    said: dict[str, list[dict[str, str]]] = {}
    document = json.loads(done.stdout)
    for finding in document["findings"]:
        said.setdefault(finding["name"], []).append(finding)
    assert document["healthy"] is (done.returncode == 0)
    return done.returncode, said


def submit(stack: Stack) -> str:
    stack.run("submit", "-", "--account", "main", "--text", "Hello", stdin=b"phone\n+37060000001\n")
    (campaign,) = stack.json("list")
    found: str = campaign["id"]
    return found


def test_before_the_schema_is_there_it_says_what_to_run(stack: Stack, empty_database_url: str) -> None:
    """And skips what needs it, without a traceback."""
    stack.simulator()
    stack.settings["DATABASE_URL"] = empty_database_url

    code, said = examined(stack)

    assert code == 1
    assert said["schema"][0]["status"] == "fail"
    assert "run: campaigns migrate" in said["schema"][0]["sentence"]
    assert {said[name][-1]["status"] for name in ("work", "doubt", "set aside", "totals")} == {"skip"}
    assert said["account main"][0]["status"] == "ok"


def test_an_env_file_that_others_can_read_is_said(stack: Stack) -> None:
    stack.simulator()
    file = stack.directory / ".env"
    file.write_text("CAMPAIGNS_TICK_SECONDS=1\n")
    for mode, is_said in ((0o644, True), (0o600, False)):
        file.chmod(mode)
        code, said = examined(stack)
        assert code == 0
        assert ("chmod 600 .env" in str(said["settings"])) is is_said


def test_with_everything_away_each_is_said(stack: Stack) -> None:
    stack.simulator()
    stack.settings |= {
        "DATABASE_URL": "postgresql://somebody:hidden-1@127.0.0.1:1/d",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }

    code, said = examined(stack)

    assert code == 1
    assert "connection refused (127.0.0.1:1/d); start it" in said["database"][0]["sentence"]
    assert "start it, or mend CAMPAIGNS_REDIS_URL" in said["redis"][0]["sentence"]
    assert said["account main"][0]["status"] == "ok"


@pytest.mark.timeout(400)  # twenty commands, one after the other
def test_nobody_who_works_is_missed_by_doctor_status_and_probe(stack: Stack) -> None:
    """Worker and beat come one after the other, and go."""
    stack.simulator("--delivery-seconds", "3600")
    campaign_id = submit(stack)

    code, said = examined(stack)
    assert code == 1
    assert "no worker was seen yet: is `celery -A worker.app worker` running?" in said["work"][0]["sentence"]
    assert "a batch to hand over for" in said["work"][0]["sentence"]
    assert b"no worker was seen yet" in stack.run("status", campaign_id).stdout
    working = stack.json("status", campaign_id)["working"]
    assert working["last_tick_at"] is None
    assert working["due_since"] is not None
    assert stack.run("alive", "--worker", check=False).returncode == 1
    assert stack.run("alive", "--beat", check=False).returncode == 0  # nobody could have seen it

    stack.worker()
    wait_until(lambda: stack.run("alive", "--worker", check=False).returncode == 0, "the worker is seen")
    assert stack.run("alive", "--beat", check=False).returncode == 1
    # Without a tick what was handed over is not asked about.
    wait_until(lambda: "no tick yet" in str(stack.json("status", campaign_id)["working"]), "no tick")

    stack.beat()
    wait_until(lambda: stack.run("alive", "--beat", check=False).returncode == 0, "the beat is seen")
    status = stack.json("status", campaign_id)["working"]
    assert status["trouble"] is None
    assert status["worker_count"] == 1
    assert status["last_tick_at"] is not None
    code, said = examined(stack)
    assert code == 0
    assert "1 worker(s), last tick" in said["work"][0]["sentence"]

    assert stack.stop("worker") == 0
    assert stack.run("alive", "--worker", check=False).returncode == 1


def test_a_beat_that_ended_is_missed_by_its_ticks(stack: Stack, database_url: str) -> None:
    """By the age of the last tick, which the test sets back."""
    stack.simulator("--delivery-seconds", "3600")
    stack.worker()
    stack.beat()
    campaign_id = submit(stack)
    wait_until(lambda: stack.json("status", campaign_id)["working"]["last_tick_at"], "a tick")
    assert stack.stop("beat") == 0

    async def set_back() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE pulse SET seen_at = now() - interval '94 s' WHERE kind <> 'worker'")
        names = await connection.fetch("SELECT name FROM pulse WHERE kind IN ('worker', 'beat')")
        await connection.close()
        return [record["name"].partition(":")[0] for record in names]

    loop = asyncio.new_event_loop()
    assert set(loop.run_until_complete(set_back())) == {socket.gethostname()}
    loop.close()

    wait_until(
        lambda: re.search(
            r"no tick for (9\d s|1\d\d s|\d+ min)",
            str(stack.json("status", campaign_id)["working"]["trouble"]),
        ),
        "the beat is missed",
    )
    assert "is `celery -A worker.app beat` running" in examined(stack)[1]["work"][0]["sentence"]
    assert stack.run("alive", "--beat", check=False).returncode == 1
