"""What PostgreSQL and Redis have in common: launch, wait until ready, stop."""

import importlib.util
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from signal import Signals
from typing import ClassVar

from worker.stack.embedded import processes
from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.processes import Mark
from worker.stack.embedded.users import UnixUser, check_path
from worker.stack.interrupts import Interrupts

SILENT_SECONDS = 60.0  # no answer at all for so long: it will not come
RECOVERY_SECONDS = 900.0  # it answers 'starting up': 2 GB of WAL on a slow disk take minutes, not hours

_TOLD_LINES = 5
_TOLD_FROM_BYTES = 65_536  # of the log's end that are read
_TOLD_CHARACTERS = 1000  # of it that an error repeats


@dataclass(frozen=True, slots=True)
class Directories:
    """The directories of one pair of servers, and the Unix user that runs them."""

    data_dir: Path  # resolved
    socket_dir: Path
    unix_user: UnixUser | None  # None: oneself


class Answer(Enum):
    """What a server says on its socket."""

    READY = "ready"
    STARTING = "starting"  # it recovers or loads; asking again is worth it
    SILENT = "silent"


class Server(ABC):
    """One of the two servers. Start or stop it only while holding the lock `start.lock`."""

    name: ClassVar[str]
    steps: ClassVar[Sequence[tuple[Signals, float]]]  # how it is ended: signals and patience in seconds
    passing: ClassVar[str | None] = None  # an ending at start, told in the log, that passes by itself

    def __init__(self, directories: Directories) -> None:
        self.directories = directories
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    @abstractmethod
    def data(self) -> Path:
        """Its data directory, under the stack's."""

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self.directories.data_dir / f"{self.data.name}.log"

    @property
    @abstractmethod
    def mark(self) -> Mark:
        """What its process is known by."""

    @abstractmethod
    def prepare(self, interrupts: Interrupts) -> None:
        """Make its data directory fit to start from. Raises EmbeddedUnavailable, KeyboardInterrupt."""

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments; the first of them are its mark."""

    @abstractmethod
    def answer(self) -> Answer:
        """What it says now. Takes at most a few seconds."""

    @property
    def is_launched(self) -> bool:
        """Whether this object started it (and not an earlier command)."""
        return self._child is not None

    def is_running(self) -> bool:
        """Whether its process lives, ready or not."""
        return processes.find(self.mark) is not None

    def is_ready(self) -> bool:
        """Whether its process lives and answers."""
        return self.is_running() and self.answer() is Answer.READY

    def check_path(self) -> None:
        """See that its account can get to its data. Raises EmbeddedUnavailable."""
        mend = "move the data to where it can, and name that by CAMPAIGNS_DATA_DIR"
        check_path(self.data, self.directories.unix_user, mend)

    def launch(self, interrupts: Interrupts) -> None:
        """Start it; does not wait until it is ready. Raises EmbeddedUnavailable, KeyboardInterrupt."""
        self.prepare(interrupts)
        interrupts.check()
        self.mark_log()
        self._child = processes.spawn(self.command(), log=self.log, unix_user=self.directories.unix_user)

    def mark_log(self) -> None:
        """Remember where its log ends now: what it says from here on is what an error tells."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0

    def wait_ready(self, interrupts: Interrupts) -> None:
        """Wait until it answers, also through a recovery after a crash, launching it if it went away.

        Raises EmbeddedUnavailable with the last lines of its log, KeyboardInterrupt.
        """
        deadline = time.monotonic() + RECOVERY_SECONDS
        silent_deadline = time.monotonic() + SILENT_SECONDS
        while (answer := self.answer()) is not Answer.READY or not self.is_running():
            interrupts.check()
            now = time.monotonic()
            if answer is Answer.STARTING:
                silent_deadline = now + SILENT_SECONDS
            if now > min(deadline, silent_deadline):
                raise EmbeddedUnavailable(f"{self.name} runs but does not answer. {self._told()}")
            if self._child is None:
                if not self.is_running():  # started by another command, and gone while we waited
                    self.launch(interrupts)
            elif self._child.poll() is not None:
                if self.passing is None or self.passing not in self._told():
                    raise EmbeddedUnavailable(f"{self.name} did not start. {self._told()}")
                time.sleep(10 * processes.POLL_SECONDS)
                self.launch(interrupts)
            time.sleep(processes.POLL_SECONDS)

    def stop(self) -> None:
        """End it, whoever started it, and wait until it is gone. Idempotent. Raises EmbeddedUnavailable."""
        processes.end(self.mark, self.name, self.steps)
        processes.reap()

    def _told(self) -> str:
        """The last lines of its log since the launch, as one line."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - _TOLD_FROM_BYTES))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()][-_TOLD_LINES:]
        return f"The end of {self.log}: {' | '.join(lines)[-_TOLD_CHARACTERS:] or 'nothing'}"


def wheel(package: str, program: str) -> Path:
    """The path of `program`, given from the folder of an installed package, which is not imported.

    Raises EmbeddedUnavailable when it is not installed, as in production.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder).resolve() / program
        if path.exists():
            return path
    raise EmbeddedUnavailable(
        "The embedded PostgreSQL and Redis are not installed: pip install 'campaigns[embedded]', "
        "or set CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL to servers of your own."
    )
