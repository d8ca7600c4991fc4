"""Once a campaign is taken in, the command that did it cannot fail, and one that is tried again sends nothing
twice. With real processes, as cron and a shell run them.
"""

import re
import signal
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.processes import BIN, Stack, environment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

SUBMIT = "campaigns submit one.csv --account main --text 'once only'"


@pytest.fixture
def ready(stack: Stack) -> Stack:
    """A stack with an account whose provider is not there, and a file for it."""
    stack.settings |= {
        "ACCOUNTS__MAIN__PROVIDER": "lightsms",
        "ACCOUNTS__MAIN__LOGIN": "YourLogin",
        "ACCOUNTS__MAIN__API_KEY": "your_api_key",
        "ACCOUNTS__MAIN__SENDER_ID": "Demo",
        "ACCOUNTS__MAIN__BASE_URL": "http://127.0.0.1:9",
    }
    (stack.directory / "one.csv").write_text("phone\n+37061234521\n")
    return stack


def shell(stack: Stack, command: str) -> subprocess.CompletedProcess[bytes]:
    """What /bin/sh makes of it."""
    settings = environment(stack.settings)
    return subprocess.run(
        ["/bin/bash", "-c", command],
        env=settings | {"PATH": f"{BIN}:{settings['PATH']}"},
        cwd=stack.directory,
        capture_output=True,
        timeout=100,
        check=False,
    )


def id_in(said: bytes) -> str:
    """The campaign's id as standard error has it."""
    found = re.search(rb"^campaign ([0-9a-f-]{36}) ", said, flags=re.MULTILINE)
    assert found is not None, said
    return found[1].decode()


@pytest.mark.parametrize(
    "bad",
    [
        "> /dev/full",
        "--json > /dev/full 2> /dev/full",
        "--json >&-",
        ">&- 2>&- <&-",
        "| true; exit ${PIPESTATUS[0]}",
    ],
)
def test_what_is_taken_in_is_no_failure_whatever_becomes_of_the_output(ready: Stack, bad: str) -> None:
    """A full disk, a closed pipe, no output at all; tried again it is the same campaign, and says so."""
    first = shell(ready, f"{SUBMIT} {bad}")
    assert first.returncode == 0, first.stderr
    assert b"Traceback" not in first.stderr

    again = shell(ready, SUBMIT)

    assert again.returncode == 0
    assert re.search(rb"same recipients.* since 20\d\d-.*--again", again.stdout)
    (listed,) = ready.json("list")
    assert id_in(again.stderr) == listed["id"]
    if "2>" not in bad:
        assert id_in(first.stderr) == listed["id"]


def test_what_is_other_or_is_wanted_again_is_another_campaign(ready: Stack) -> None:
    """Another text, sender, file; `--again` as often as it is said; a key of one's own."""
    ids = [
        id_in(shell(ready, f"{SUBMIT} {more}").stderr)
        for more in ("", "--again", "--again", "--sender-id Else", "--submission-key k", "--text other")
    ]
    assert id_in(shell(ready, f"{SUBMIT} --submission-key k").stderr) == ids[4]
    assert shell(ready, f"{SUBMIT} --again --submission-key k").returncode == 2
    (ready.directory / "one.csv").write_text("phone\n+37061234522\n")
    ids.append(id_in(shell(ready, SUBMIT).stderr))
    assert len(set(ids)) == 7


async def test_tomorrow_the_same_is_another_campaign(ready: Stack, database_url: str) -> None:
    """Also of a job that runs each day and begins minutes earlier than the day before."""
    first = id_in(shell(ready, SUBMIT).stderr)
    connection = await asyncpg.connect(database_url)
    try:
        for ago, is_same in (("23 hours", True), ("23 hours 40 minutes", False)):
            await connection.execute("UPDATE campaign SET created_at = now() - $1::text::interval", ago)
            assert (id_in(shell(ready, SUBMIT).stderr) == first) is is_same, ago
    finally:
        await connection.close()


def test_two_at_the_same_instant_are_one(ready: Stack) -> None:
    """Both say its id."""
    done = shell(ready, " & ".join([f"{SUBMIT} 2>&1"] * 4) + " & wait")
    (listed,) = ready.json("list")
    assert done.stdout.count(f"campaign {listed['id']}".encode()) >= 4
    assert len(re.findall(rb"is taken in", done.stdout)) == 1


@pytest.mark.parametrize("form", ["", "--json"])
def test_watching_may_be_interrupted_or_lose_the_database(ready: Stack, form: str, database_url: str) -> None:
    """Ctrl-C; and a database that does not answer any more."""
    process = ready.start("watch", *SUBMIT.replace("'once only'", "once").split(), "--watch", *form.split())
    wait_until(lambda: "queued=1" in ready.log("watch").read_text(), "it is watched")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    said = ready.log("watch").read_text()
    assert "interrupted; see: campaigns status" in said
    assert "Traceback" not in said


async def test_a_database_that_goes_away_while_it_is_watched(ready: Stack, database_url: str) -> None:
    """Nothing that happens to the watch says that the campaign was not taken in."""
    process = ready.start("watch", *SUBMIT.replace("'once only'", "once").split(), "--watch")
    wait_until(lambda: "queued=1" in ready.log("watch").read_text(), "it is watched")
    name = database_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(database_url.replace(f"/{name}?", "/postgres?"))
    try:
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        assert process.wait(60) == 0
    finally:
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await connection.close()
    said = ready.log("watch").read_text()
    assert "after that: " in said
    assert "Traceback" not in said


def test_the_text_may_come_by_a_file_or_by_standard_input(ready: Stack) -> None:
    """Not in the list of processes; with or without a line end at its end, it is the same text."""
    (ready.directory / "text.txt").write_bytes(b"\xef\xbb\xbfonce only\r\n")
    command = "campaigns submit one.csv --account main --text-file"
    ids = {
        id_in(shell(ready, line).stderr)
        for line in (SUBMIT, f"{command} text.txt", f"printf 'once only\\n' | {command} -")
    }
    assert len(ids) == 1
    for wrong, code in (
        (f"{command} text.txt --text x", 2),
        ("campaigns submit one.csv --account main", 2),
        ("campaigns submit - --account main --text-file -", 2),
        (f"{command} nothere.txt", 1),
        (f"{command} .", 1),
        (f"{command} - < /dev/null", 1),
        (f"{command} - <&-", 1),
        (f"printf '\\xff' | {command} -", 1),
    ):
        done = shell(ready, wrong)
        assert done.returncode == code, (wrong, done.stderr)
        assert b"Traceback" not in done.stderr


def test_numbers_may_come_by_a_file_or_by_standard_input(ready: Stack, tmp_path: Path) -> None:
    """To the suppression list and off it."""
    (ready.directory / "numbers.txt").write_text("+37060000001\n\n+37060000002\n")
    assert b"2 added" in shell(ready, "campaigns suppression add --file numbers.txt").stdout
    removed = shell(ready, "echo '8 600 00002' | campaigns suppression remove --file - --region lt")
    assert b"1 removed" in removed.stdout
    assert shell(ready, "campaigns suppression add").returncode == 2
    assert shell(ready, "campaigns suppression add +37060000003 --file numbers.txt").returncode == 2
