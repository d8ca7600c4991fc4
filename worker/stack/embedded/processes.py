"""Starting, finding and ending processes of ours that may outlive the command that started them."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.users import UnixUser
from worker.stack.interrupts import Interrupts

POLL_SECONDS = 0.02  # between two looks at a process

_STEP_SECONDS = 15.0  # for each step of ending one: ask, then kill

_PROC = Path("/proc")

# Nothing of our own environment reaches a server: it may hold credentials, and PGDATA or PGOPTIONS of the
# machine would change what is started.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}

# Kept so that a server which ends before we do is reaped; dropping a running Popen would also warn.
_children: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a server of ours from every other process: its program and its first arguments.

    A process id alone does not: after a crash the number in a pid file may be another program's. That is why
    `pg_ctl` is not used: it believes the file, says that the server runs, and stops the other program.
    """

    program: str
    arguments: tuple[str, ...]

    def fits(self, shown: str, separator: str) -> bool:
        """Whether a command line, its arguments ended by `separator`, is this server's."""
        program, found, _ = shown.partition(separator.join(("", *self.arguments, "")))
        exact = separator == " " or separator not in program
        return bool(found) and exact and program.rpartition("/")[2] == self.program


def find(mark: Mark) -> int | None:
    """The process id of the running process that bears `mark`, or None.

    A child just forked still shows its parent's arguments, so the one without a parent of its kind is it.
    """
    bearers = {pid: parent for pid, parent, shown, separator in _processes() if mark.fits(shown, separator)}
    return next((pid for pid, parent in bearers.items() if parent not in bearers), None)


def program(pid: int) -> str | None:
    """The name of the program that process `pid` runs, or None when there is no such process."""
    for other, _, shown, separator in _processes():
        if other == pid:
            return shown.partition(separator)[0].rpartition("/")[2]
    return None


def _processes() -> Iterator[tuple[int, int, str, str]]:
    """Process id, parent's id, command line and what separates its arguments; zombies are left out."""
    if not (_PROC / "self" / "cmdline").exists():
        yield from _listed_processes()
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # gone meanwhile, or hidden from us
                shown = os.fsdecode((entry / "cmdline").read_bytes())
                if shown:
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    yield int(entry.name), int(fields[1]), shown, "\0"


def _listed_processes() -> Iterator[tuple[int, int, str, str]]:
    """The same where there is no /proc (macOS)."""
    command = ["/bin/ps", "-axww", "-o", "pid=,ppid=,stat=,args="]
    listing = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  fixed arguments
    for line in os.fsdecode(listing.stdout).splitlines():
        pid, parent, state, shown = [*line.split(None, 3), ""][:4]
        if not state.startswith("Z"):
            yield int(pid), int(parent), shown + " ", " "


def spawn(
    command: Sequence[str], *, log: Path, unix_user: UnixUser | None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, so that Ctrl-C in the terminal does not reach it.

    What it says goes to the end of `log`; it inherits no descriptor and nothing of our environment, and
    what it creates is for its owner alone. Raises EmbeddedUnavailable.
    """
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(log, flags, 0o600), "wb") as out:
            if unix_user is not None:
                os.fchown(out.fileno(), unix_user.uid, unix_user.gid)
            child = subprocess.Popen(  # noqa: S603  the program is a file of an installed wheel
                command,
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
                umask=0o077,
                user=unix_user.uid if unix_user else None,
                group=unix_user.gid if unix_user else None,
                extra_groups=[] if unix_user else None,
            )
    except OSError as error:
        whom = f" as {unix_user.name}" if unix_user else ""
        raise EmbeddedUnavailable(f"{command[0]} cannot be run{whom}: {error.strerror}.") from error
    _children.add(child)
    return child


def run(
    command: Sequence[str],
    *,
    log: Path,
    unix_user: UnixUser | None,
    interrupts: Interrupts,
    said: bytes = b"",
    seconds: float,
) -> bool:
    """Run `command` to its end, `said` on its input; whether it succeeded within `seconds`.

    Leaves no process, also when interrupted or too slow. Raises EmbeddedUnavailable, KeyboardInterrupt.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, said)  # a line or two: far below what a pipe holds
        os.close(writing)
        child = spawn(command, log=log, unix_user=unix_user, stdin=reading)
    finally:
        os.close(reading)
    try:
        wait_until(lambda: child.poll() is not None, seconds, interrupts)
        return child.returncode == 0
    finally:
        if child.poll() is None:
            _end_group(child)
        reap()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End `child` and its own children.

    An initdb asked to end first lets its current step finish, a second or so, and then clears up. What
    it runs is not asked: a PostgreSQL bootstrap would die at once and leave its shared memory behind.
    """
    child.send_signal(SIGTERM)
    wait_until(lambda: child.poll() is not None, _STEP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, SIGKILL)
    child.wait()


def end(mark: Mark, name: str, steps: Sequence[tuple[Signals, float]]) -> None:
    """End the process that bears `mark`, ours or another command's child: each signal and its patience.

    Gives once it is gone. Raises EmbeddedUnavailable when it outlived every step. Idempotent.
    """
    for number, patience_seconds in steps:
        pid = find(mark)
        if pid is None:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise EmbeddedUnavailable(f"{name} (process {pid}) belongs to another user.") from None
        wait_until(lambda: find(mark) is None, patience_seconds)
    if (pid := find(mark)) is not None:
        raise EmbeddedUnavailable(f"{name} (process {pid}) could not be stopped: end that process.")


def reap() -> None:
    """Collect the exit codes of children that ended, so that none stays a zombie while we live."""
    for child in list(_children):
        if child.poll() is not None:
            _children.discard(child)


def wait_until(condition: Callable[[], bool], seconds: float, interrupts: Interrupts | None = None) -> bool:
    """Whether `condition` came true within `seconds`. Raises KeyboardInterrupt if `interrupts` holds one."""
    deadline = time.monotonic() + seconds
    while not condition():
        reap()
        if interrupts is not None:
            interrupts.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    reap()
    return True
