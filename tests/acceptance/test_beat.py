"""Beat, as a process: it says why nothing is published, and ends when it is asked to."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from tests.acceptance.processes import Stack
from tests.waiting import wait_until
from worker.stack.embedded.servers import ServerUrls

pytestmark = pytest.mark.acceptance

_DATABASE = "postgresql://nobody@127.0.0.1:1/nowhere"


@contextmanager
def _silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def _ends(stack: Stack, number: signal.Signals) -> None:
    assert stack.stop("beat", number, seconds=5) == 0  # half a second, on a machine that has time for it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_redis_nowhere(alone: Stack, number: signal.Signals) -> None:
    """The reason stands in the log in the system's own words, not once a second; and a signal ends it."""
    alone.settings |= {"DATABASE_URL": _DATABASE, "REDIS_URL": "redis://127.0.0.1:1/0", "LOG_FORMAT": "json"}
    alone.beat()
    log = alone.log("beat")
    wait_until(lambda: "no tick could be published" in log.read_text(), "it says so")
    assert "Connection refused" in log.read_text()
    assert "[hidden]" not in log.read_text()
    _ends(alone, number)
    assert log.read_text().count("no tick could be published") <= 2


def test_redis_that_does_not_answer(alone: Stack) -> None:
    """Beat waits for it in no place where a signal does not reach."""
    with _silent() as url:
        alone.settings |= {"DATABASE_URL": _DATABASE, "REDIS_URL": url, "LOG_FORMAT": "json"}
        alone.beat()
        log = alone.log("beat")
        wait_until(lambda: "no tick could be published" in log.read_text(), "it says so")
        _ends(alone, signal.SIGTERM)
        assert "imeout" in log.read_text()


def test_redis_that_changes_its_mind(stack: Stack, servers: ServerUrls) -> None:
    """It wants a password, or takes no writes: its own words; when it relents, ticks come again."""
    stack.beat()
    log = stack.log("beat")
    with Redis.from_url(servers.redis_client_url) as redis:
        wait_until(lambda: redis.llen("campaigns.tick"), "a tick")
        try:
            redis.config_set("maxmemory", 1)
            wait_until(lambda: "no tick could be published" in log.read_text(), "it says so")
            assert "OOM command not allowed" in log.read_text()
        finally:
            redis.config_set("maxmemory", 0)
        wait_until(lambda: "ticks are published again" in log.read_text(), "it goes on")
    _ends(stack, signal.SIGTERM)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("celeryconfig.py", ("celery", "-A", "worker.app", "worker")),
        ("campaigns.py", ("celery", "-A", "worker.app", "worker")),
        ("worker.py", ("campaigns", "worker")),
    ],
)
def test_another_projects_module_in_the_working_directory_replaces_none_of_ours(
    stack: Stack, tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    """It stands first on the path there."""
    (tmp_path / name).write_text("task_acks_late = True\nworker_pool = 'prefork'\n")
    stack.start("worker", *command)
    log = stack.log("worker")
    wait_until(lambda: "ready." in log.read_text(), "it is ready")
    said = log.read_text()
    assert "16 (thread)" in said
    assert "campaigns.submit" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-Q", "nothere"), "there is no queue nothere"),
        (("-P", "solo"), "no other pool"),
        (("-b", "amqp://elsewhere"), "CELERY_BROKER_URL is set, or -b"),
    ],
)
def test_options_that_would_leave_us_somewhere_else_are_refused(
    alone: Stack, options: tuple[str, ...], sentence: str
) -> None:
    """One sentence, before anything is connected."""
    alone.settings |= {"DATABASE_URL": _DATABASE, "REDIS_URL": "redis://127.0.0.1:1/0"}
    before = ("-b", options[1]) if options[0] == "-b" else ()
    after = () if before else options
    worker = alone.start("worker", "celery", "-A", "worker.app", *before, "worker", *after)
    assert worker.wait(30) in (1, 2)
    said = alone.log("worker").read_text()
    assert sentence in said
    assert "Traceback" not in said
