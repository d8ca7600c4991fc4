"""Answers that the database could not take yet, kept on this worker's disk. A process that ends leaves them
there, and the next worker that starts with this DATA_DIR merges them.

One file for each process, JSON lines, readable by its owner only (0600). A living process locks its file.
"""

import asyncio
import fcntl
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from campaigns.domain.late import LateAnswer, as_line, of_line

_FOLDER = "late-answers"
_DISK_SECONDS = 10.0  # for the disk to keep answers


class Spool:
    """The file of this process in `data_dir`; made when there is something to keep."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        self._path = self._folder / "none"
        self._file: BinaryIO | None = None
        self._left: list[tuple[Path, BinaryIO]] = []
        self._one_at_a_time = asyncio.Lock()

    async def write(self, answers: Sequence[LateAnswer]) -> None:
        """Put answers on disk. If that fails it is logged, and they are in memory only."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(_DISK_SECONDS):
                    await asyncio.to_thread(self._write, answers)
            except OSError as error:  # TimeoutError is one: the disk does not answer
                from worker.logs.logger import get_logger  # noqa: PLC0415  no command needs it for this

                get_logger("campaigns").error(
                    "answers cannot be kept on disk",
                    answer_count=len(answers),
                    path=str(self._folder),
                    why=error.strerror or "it does not answer",
                )

    def _write(self, answers: Sequence[LateAnswer]) -> None:
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = self._folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for each in answers:
            self._file.write(json.dumps(as_line(each)).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def take_over(self) -> list[LateAnswer]:
        """The answers that ended processes left here. `forget` deletes their files."""
        found: list[LateAnswer] = []
        for path in sorted(self._folder.glob("*.jsonl")):
            file = _locked(path)
            if file is None:
                continue
            self._left.append((path, file))
            # A line cut off when its process ended was never confirmed to anybody.
            found += [answer for line in file if (answer := _read(line)) is not None]
        return found

    def close(self) -> None:
        """Close the files and leave them to the next process."""
        for file in [self._file, *(file for _, file in self._left)]:
            if file is not None:
                file.close()
        self._file = None
        self._left.clear()

    async def forget(self) -> None:
        """Delete the files: everything in them is in the database."""
        async with self._one_at_a_time:
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._left.append((self._path, self._file))
        for path, _ in self._left:
            path.unlink(missing_ok=True)
        self.close()


def _locked(path: Path) -> BinaryIO | None:
    """The file, locked; None if a living process holds it, or if we may not read it."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _read(line: bytes) -> LateAnswer | None:
    try:
        return of_line(json.loads(line))
    except ValueError:
        return None
