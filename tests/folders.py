"""Folders for embedded servers that a test makes and removes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passable_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder outside pytest's own, which every pytest that starts makes private again.

    Everybody may pass it, nobody look into it: root's servers run as another account, and would keep their
    data of a private folder elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder


def roomy_memory(free_bytes: int) -> Path | None:
    """Where a folder lies in memory, if so much is free there: a cluster is a thousand files, all synced."""
    memory = Path("/dev/shm")  # noqa: S108  an own directory is made in it
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > free_bytes else None
