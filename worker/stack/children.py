"""Our own programs as processes of ours: started, watched, and stopped in the reverse order of starting.

Each is in a session of its own, so that Ctrl-C reaches only this process, which stops them in order: beat,
then workers (which end what they hold), then the servers.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from campaigns.domain.errors import CampaignError
from worker.settings import environment
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.stack.embedded.processes import wait_until
from worker.stack.interrupts import Interrupts

_STOP_SECONDS = 45.0  # longer than the longest request a worker may have to see to its end
_RESTART_SECONDS = 1.0  # before a process that ended is started again


@dataclass
class _Child:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path | None
    log: Path | None
    restart: bool
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | None = field(default=None, repr=False)


class Children:
    """Starts, watches and stops child processes.

    Takes the interrupts held meanwhile: a Ctrl-C between starting a process and remembering it would leave it
    behind.
    """

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._children: list[_Child] = []

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        directory: Path | None = None,
        log: Path | None = None,
        restart: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to `log`, or to our own terminal."""
        child = _Child(name, arguments, environment, directory, log, restart)
        self._children.append(child)
        return self._launch(child)

    @staticmethod
    def _launch(child: _Child) -> subprocess.Popen[bytes]:
        child.output = child.log.open("ab") if child.log else None
        child.process = subprocess.Popen(  # noqa: S603  our own programs, no shell
            child.arguments,
            env=dict(child.environment),
            cwd=child.directory,
            stdin=subprocess.DEVNULL,
            stdout=child.output or None,
            stderr=subprocess.STDOUT if child.output else None,
            start_new_session=True,
        )
        return child.process

    def look_after(self, say: Callable[[str], None]) -> None:
        """Restart the processes that have ended. Call it now and then.

        Raises CampaignError if one has ended that is not to be restarted.
        """
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            code = child.process.returncode
            if not child.restart:
                raise CampaignError(f"{child.name} ended with exit code {code}{_see(child.log)}")
            say(f"{child.name} ended with exit code {code}; starting it again")
            self._interrupts.pause(
                _RESTART_SECONDS
            )  # a process that cannot run must not be restarted in a busy loop
            self._close(child)
            self._launch(child)

    def stop(self) -> None:
        """Send SIGTERM in the reverse order of starting, then kill what has not ended in time or when another
        Ctrl-C comes. No message is lost by a kill: what was in flight is in doubt, or is rescued.
        """
        running = [child.process for child in reversed(self._children) if child.process is not None]
        with Interrupts() as further:
            try:
                for process in running:
                    process.terminate()
                wait_until(
                    lambda: all(process.poll() is not None for process in running), _STOP_SECONDS, further
                )
            finally:
                for process in running:
                    process.kill()
                    process.wait()
                for child in self._children:
                    self._close(child)

    @staticmethod
    def _close(child: _Child) -> None:
        if child.output is not None:
            child.output.close()
            child.output = None


def _see(log: Path | None) -> str:
    return f"; see {log}" if log else ""


@contextmanager
def children(interrupts: Interrupts) -> Iterator[Children]:
    """Child processes that are stopped when the block ends, however it ends."""
    own = Children(interrupts)
    try:
        yield own
    finally:
        own.stop()


def celery_command(*arguments: str) -> list[str]:
    """`campaigns worker` or `campaigns beat`, run by this very Python."""
    return [sys.executable, "-P", "-m", "worker.cli", *arguments]  # -P: no module of the working directory


def web_command(*arguments: str) -> list[str]:
    """`campaigns web`, run by this very Python."""
    return [sys.executable, "-P", "-m", "worker.cli", "web", *arguments]


def environment_for(
    located: Settings, changes: Mapping[str, str], *, without_ours: bool = False
) -> dict[str, str]:
    """A child's environment: this process's, the servers of `located`, and `changes`. `without_ours`: none of
    this process's CAMPAIGNS_ variables.
    """
    assert located.database_url is not None  # noqa: S101  located gave both
    assert located.redis_url is not None  # noqa: S101
    servers = {
        f"{PREFIX}DATABASE_URL": located.database_url,
        f"{PREFIX}REDIS_URL": located.redis_url,
        f"{PREFIX}DATA_DIR": str(located.data_dir),
    }
    return environment.for_children(servers | dict(changes), without_ours=without_ours)
