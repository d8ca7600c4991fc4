"""A command that holds a stay with embedded servers, and what tests ask about such a stack."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from redis import Redis as RedisClient

from tests.folders import passable_folder, roomy_memory
from worker.stack.embedded import processes
from worker.stack.embedded.processes import Mark
from worker.stack.embedded.servers import ServerUrls

DEADLINE_SECONDS = 60
T = TypeVar("T")

needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads processes from /proc")

# A command with a stay of its own: says where the servers are, leaves when its input ends.
HOLDER = """
import os, signal, sys
from pathlib import Path
from worker.stack.embedded.servers import servers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
if len(sys.argv) > 2:
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
with servers(Path(sys.argv[1])) as urls:
    print(urls.database_url, flush=True)
    sys.stdin.read()
"""


def temporary() -> AbstractContextManager[Path]:
    """A folder in memory where there is room: a cluster is a thousand files, written and synced."""
    return passable_folder("campaigns-test-", roomy_memory(2**30))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


@contextmanager
def holder(data_dir: Path, *account: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(data_dir), *account]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://"), process.stderr and process.stderr.read()


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0


def left_of(data_dir: Path) -> dict[int, str]:
    """The processes that name `data_dir` or work in it: servers, their children, an initdb. Not our own."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            shown = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = str((entry / "cwd").readlink())
            if entry.name.isdigit() and HOLDER not in shown and str(data_dir) in f"{shown} {place}":
                found[int(entry.name)] = shown
    return found


def pid_of(data_dir: Path, program: str = "postgres") -> int:
    flag, folder = {"postgres": ("-D", "postgres"), "redis-server": ("--dir", "redis")}[program]
    pid = processes.find(Mark(program, (flag, str(data_dir / folder))))
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    return processes.program(pid) is not None


def socket_dir(urls: ServerUrls) -> Path:
    return Path(parse_qs(urlsplit(urls.database_url).query)["host"][0])


@asynccontextmanager
async def connected(urls: ServerUrls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(urls.database_url)
    try:
        yield connection
    finally:
        connection.terminate()
        await asyncio.sleep(0)  # a turn of the loop, in which the transport closes


def in_a_loop(work: Callable[[], Coroutine[None, None, T]]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(work())


def remember(urls: ServerUrls, word: str) -> None:
    with RedisClient.from_url(urls.redis_client_url) as client:
        client.rpush("words", word)

    async def write() -> None:
        async with connected(urls) as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
            await connection.execute("INSERT INTO words VALUES ($1)", word)

    in_a_loop(write)


def remembered(urls: ServerUrls) -> tuple[list[str], list[str]]:
    async def read() -> list[str]:
        async with connected(urls) as connection:
            return [row["word"] for row in await connection.fetch("SELECT word FROM words ORDER BY word")]

    with RedisClient.from_url(urls.redis_client_url, decode_responses=True) as client:
        return in_a_loop(read), sorted(client.lrange("words", 0, -1))


async def until_at_work(other: "asyncpg.Connection[asyncpg.Record]", backend: int, query: str) -> None:
    """Wait until `backend` runs a statement like `query`, asking through another session."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    asked = "SELECT state = 'active' AND query LIKE $2 FROM pg_stat_activity WHERE pid = $1"
    while not await other.fetchval(asked, backend, query):
        assert time.monotonic() < deadline
