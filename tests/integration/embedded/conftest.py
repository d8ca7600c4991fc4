"""Data directories of embedded servers, checked to be clean at the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.embedded.holding import left_of, temporary
from worker.stack.embedded import servers as stack
from worker.stack.embedded.servers import servers


@pytest.fixture(scope="session")
def first_start() -> Iterator[Path]:
    """A data directory after its first start, to be copied: making one anew is most of a test's time."""
    with temporary() as top:
        with servers(top / "data"):
            pass
        yield top / "data"


@pytest.fixture
def grown_dir(data_dir: Path, first_start: Path) -> Path:
    """A data directory after its first start."""
    subprocess.run(["/bin/cp", "-a", str(first_start), str(data_dir)], check=True)
    for log in data_dir.glob("*.log"):
        log.unlink()
    return data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory; at the end no process and no socket of it may be left."""
    with temporary() as top:
        directory = top / "data"
        sockets = stack._directories(directory).socket_dir
        yield directory
        if sys.platform == "linux":
            left = left_of(directory)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            assert left == {}
        assert not sockets.exists()
        assert not (directory / "sockets").is_symlink()
