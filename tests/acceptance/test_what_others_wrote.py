"""Names and words that others chose, through the commands, on a terminal and in a file; and where data is."""

import csv
import io
import os
import pty
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.processes import BIN, Stack, environment
from tests.waiting import wait_until
from worker.stack.embedded.home import OWN

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

NASTY = (
    "Sale [/b] -20%", "[red on white]PAID[/]", "[link=https://evil.example]click[/link]",
    "\x1b[2J\x1b]0;PWNED\x07x", "\x9b31mred", "a\r\nfinished  b", "\x1b]52;c;ZWNobw==\x07x",
    "abc\u202egpj.exe", "=1+1", "x\rtorn",
)  # fmt: skip
RAW = (b"\x1b[2J", b"\x1b]0;", b"\x1b]8;", b"\x1b]52;", b"\xc2\x9b", b"\r\nfinished", "\u202e".encode())


def on_terminal(stack: Stack, *arguments: str) -> tuple[int, bytes]:
    """Run it on a terminal of its own: its exit code, and what would reach the terminal."""
    ours, theirs = pty.openpty()
    settings = environment(stack.settings) | {"TERM": "xterm-256color", "COLUMNS": "200"}
    process = subprocess.Popen(
        [str(BIN / "campaigns"), *arguments],
        env=settings, cwd=stack.directory, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # EIO: nobody holds the other end any more
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    return process.wait(60), said


async def test_no_word_of_others_commands_a_terminal(stack: Stack, database_url: str) -> None:
    """Stored by whatever way it came; `list`, `status`, `message` and `export` show it without effect."""
    stack.simulator()
    rows = "".join(f'+3706000{n:04d},"{name}"\n' for n, name in enumerate(NASTY)).replace("\r\n", "\n")
    campaign_id = stack.json(
        "submit", "-", "--account", "main", "--text", "Hi", stdin=f"phone,name\n{rows}".encode()
    )["id"]
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE campaign SET name = $1", " ".join(NASTY))
        await connection.execute("UPDATE message SET provider_state = $1, reason = $1", " ".join(NASTY))
    finally:
        await connection.close()
    for command in (
        ("list",),
        ("list", "--json"),
        ("status", campaign_id),
        ("export", campaign_id),
        ("message", "--phone", "+37060000000"),
    ):
        code, said = on_terminal(stack, *command)
        assert code == 0, (command, said)
        assert b"[link=" in said, command
        assert [raw for raw in RAW if raw in said] == [], command
        assert b"Traceback" not in said


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_an_export_is_utf8_and_each_row_one_recipient(stack: Stack, locale: dict[str, str]) -> None:
    """Whatever the locale; formulas are disarmed unless it is asked otherwise; `head` ends it silently."""
    stack.simulator()
    cells = ["Žąsis", "=1+1", "x\rtorn", "+1", "plain"]
    given = io.StringIO()
    csv.writer(given, quoting=csv.QUOTE_ALL).writerows(
        [("phone", "=name"), *((f"+3706000000{n}", cell) for n, cell in enumerate(cells))]
    )
    data = given.getvalue().encode()
    campaign_id = stack.json("submit", "-", "--account", "main", "--text", "Hi", stdin=data)["id"]

    def export(more: str) -> subprocess.CompletedProcess[bytes]:
        command = f"campaigns export {campaign_id} {more}; exit ${{PIPESTATUS[0]}}"
        settings = environment(stack.settings) | locale
        return subprocess.run(
            ["/bin/bash", "-c", command], env=settings | {"PATH": f"{BIN}:{settings['PATH']}"},
            capture_output=True, timeout=60, check=False, cwd=stack.directory,
        )  # fmt: skip

    def read(more: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(export(more).stdout.decode(), newline="")))

    safe, raw, excel = read(""), read("--raw"), read("--excel")
    assert [row[-1] for row in raw] == ["=name", *cells]
    assert [row[-1] for row in safe] == ["'=name", "Žąsis", "'=1+1", "x\rtorn", "'+1", "plain"]
    assert [row[1] for row in safe[1:]] == [f"+3706000000{n}" for n in range(5)]
    assert excel[0][0] == "\ufeffrow"
    assert excel[1][1] == '="+37060000000"'
    assert "'" not in export("--format jsonl").stdout.decode()
    ended = export("| head -1")
    assert (ended.returncode, ended.stderr) == (0, b"")
    full = export("> /dev/full")
    assert full.returncode == 1
    assert full.stderr.count(b"\n") == 1
    assert export("--format jsonl --raw").returncode == 2


def test_reading_makes_no_data_and_every_command_says_where_it_is(alone: Stack, folder: Path) -> None:
    """In another folder a question finds nothing, and an opt-out is not written where nobody looks."""
    for command in (
        ["list"],
        ["export", "0" * 32],
        ["suppression", "add", "+37060000001"],
        ["doctor"],
    ):
        done = alone.run(*command, check=False)
        assert done.returncode == 1, command
        assert str(folder / ".campaigns").encode() in done.stderr + done.stdout, command
        assert b"campaigns up" in done.stderr + done.stdout
    assert not (folder / ".campaigns").exists()
    alone.start("up", "campaigns", "up")
    wait_until(lambda: "running:" in alone.log("up").read_text(), "the stack is up", seconds=60)
    assert f"making new embedded data in {folder / '.campaigns'}" in alone.log("up").read_text()
    listed = alone.run("list", "--json")
    assert (listed.stdout, listed.stderr) == (b"[]\n", f"embedded data in {folder / '.campaigns'}\n".encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another account")
def test_root_below_a_private_home_opens_it_to_nobody(folder: Path) -> None:
    """The data lies apart, in a folder that each command names; other accounts get in as little as before."""
    home = folder / "home"
    home.mkdir()
    home.chmod(0o700)
    project = home / f"project-{folder.name[-8:]}"
    project.mkdir()
    alone = Stack(project, {})
    made = []
    try:
        said = alone.run("migrate").stderr.decode()
        made = list(OWN.glob(f"{project.name}-*"))
        assert len(made) == 1
        assert f"making new embedded data in {made[0]}" in said
        alone.start("up", "campaigns", "up")
        wait_until(lambda: "running:" in alone.log("up").read_text(), "the stack is up", seconds=60)
        assert f"embedded PostgreSQL and Redis in {made[0]} " in alone.log("up").read_text()
        assert alone.run("list", "--json").stderr.decode() == f"embedded data in {made[0]}\n"
        assert alone.stop("up") == 0
        assert alone.run("list", "--json").stdout == b"[]\n"
        assert home.stat().st_mode & 0o777 == 0o700
    finally:
        alone.end()
        for path in made:
            shutil.rmtree(path)
