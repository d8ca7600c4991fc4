"""A stack of real processes on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Stack
from tests.folders import passable_folder
from worker.stack.embedded.servers import ServerUrls


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of one's own outside pytest's."""
    with passable_folder("campaigns-acceptance-") as made:
        yield made


@pytest.fixture
def alone(folder: Path) -> Iterator[Stack]:
    """A folder with no servers and no settings."""
    running = Stack(folder, {})
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def stack(servers: ServerUrls, redis: object, database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """Settings that make a day's work a matter of seconds; nothing started yet."""
    running = Stack(
        tmp_path,
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": servers.redis_url,
            "DATA_DIR": str(tmp_path / "data"),
            "POLL__FIRST_SECONDS": "1",
            "POLL__MAX_SECONDS": "2",
            "POLL__AFTER_CALLBACK_SECONDS": "5",
            "POLL__GIVE_UP_SECONDS": "40",
            "LOG_FORMAT": "json",
        },
    )
    try:
        yield running
    finally:
        running.end()
