"""The embedded servers after Ctrl-C, kill -9 and power loss: nothing left running, nothing lost."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.embedded.holding import (
    DEADLINE_SECONDS,
    connected,
    holder,
    in_a_loop,
    is_alive,
    leave,
    left_of,
    needs_proc,
    pid_of,
    remember,
    remembered,
    until_at_work,
    wait_for,
    wait_ready,
)
from worker.stack.embedded import users
from worker.stack.embedded.servers import running, servers


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
    account = users.unix_user_for(grown_dir)
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
