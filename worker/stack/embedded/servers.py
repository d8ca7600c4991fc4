"""Use the embedded servers of a data directory, or start them; the last user stops them.

Several commands may use one data directory at once. Each holds a shared lock on `users.lock` for as long
as it lives; starting and stopping happen under an exclusive lock on `start.lock`. A command that leaves and
can turn its shared lock into an exclusive one is the last. The kernel releases the locks of a killed command,
so none is ever stale: the next user finds the servers running, uses them, and stops them.
"""

import atexit
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from worker.stack.embedded import home, processes
from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.postgres import DATABASE, PORT, USER, Postgres
from worker.stack.embedded.redis import Redis
from worker.stack.embedded.server import Directories, Server
from worker.stack.embedded.users import UnixUser, belongs, blocked, check_path, make_private, unix_user_for
from worker.stack.interrupts import Interrupts

_LONGEST_SOCKET_BYTES = 103  # macOS; Linux allows 107
_START_SECONDS = 1800.0  # longer than any start or stop of another command may take


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the servers of one data directory listen, in the form each client takes."""

    database_url: str  # asyncpg
    redis_url: str  # kombu and Celery
    redis_client_url: str  # redis-py


def running(data_dir: Path, *, want_postgres: bool = True, want_redis: bool = True) -> ServerUrls | None:
    """Where the wanted servers of `data_dir` listen, or None unless each lives and answers.

    Outside a `servers` block they may stop at any moment. Raises
    EmbeddedUnavailable when they run but this installation lacks the programs to ask them.
    """
    directories = _directories(home.home_of(data_dir.resolve()))
    wanted = _wanted(directories, want_postgres, want_redis)
    return _urls(directories) if all(server.is_ready() for server in wanted) else None


def is_made(data_dir: Path) -> bool:
    """Whether a cluster of `data_dir` was made, running or not. What cannot be looked at may be one.

    Raises EmbeddedUnavailable.
    """
    try:
        return (home.home_of(data_dir) / "postgres" / "PG_VERSION").exists()
    except OSError:
        return True


@contextmanager
def servers(data_dir: Path, *, want_postgres: bool = True, want_redis: bool = True) -> Iterator[ServerUrls]:
    """Use the servers of `data_dir` for the length of the block: starts those that do not run.

    Takes a directory, made when absent; what is stored there stays for the next time. Gives where they
    listen, ready; of a server not wanted the address is given all the same and may be dead. The first
    start in a directory takes about a second, later ones a fraction of one.
    Raises EmbeddedUnavailable, in one sentence: not installed, not startable, directory unusable.
    Promises: any number of commands, threads and nested uses at once; the last to leave stops all, also
    what a killed command left behind; KeyboardInterrupt at any moment leaves neither process nor half
    state. (A SIGTERM that Python does not handle is a kill: the servers stay for the next user.) A process
    forked inside neither counts as a user nor stops anything at its end.
    """
    stay = _Stay(data_dir)
    atexit.register(stay.leave)  # for a Ctrl-C that falls between two instructions of a `with` statement
    try:
        yield stay.enter(want_postgres, want_redis)
    finally:
        try:
            stay.leave()
        finally:
            atexit.unregister(stay.leave)


class _Stay:
    """One use of a stack: its locks, from entering to leaving."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()  # from entering on: the folder that holds its data
        self._process = os.getpid()
        self._open_files = ExitStack()
        self._start = self._users = -1
        self._is_user = False

    def enter(self, want_postgres: bool, want_redis: bool) -> ServerUrls:
        with Interrupts() as interrupts:
            try:
                self._data_dir = home.home_of(self._data_dir)
                self._open_locks()
                if not processes.wait_until(self._may_start, _START_SECONDS, interrupts):
                    raise EmbeddedUnavailable(
                        f"Another command is starting or stopping the servers of {self._data_dir}."
                    )
                try:
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                    self._is_user = True
                    directories = _claim_directories(self._data_dir)
                    _ensure(_wanted(directories, want_postgres, want_redis), interrupts)
                    return _urls(directories)
                finally:
                    fcntl.flock(self._start, fcntl.LOCK_UN)
            except OSError as error:
                raise EmbeddedUnavailable(
                    f"The embedded servers cannot keep their data in {self._data_dir}: "
                    f"{error.filename}: {error.strerror}."
                ) from error

    def leave(self) -> None:
        """Give the stay up; as the last user, stop the servers. Idempotent."""
        if self._process != os.getpid():
            return  # forked off inside the stay, which is our parent's
        with Interrupts(), self._open_files:
            if self._is_user:
                self._is_user = False
                fcntl.flock(self._start, fcntl.LOCK_EX)
                if _locks(self._users):
                    _stop(_directories(self._data_dir))

    def _may_start(self) -> bool:
        return _locks(self._start)

    def _open_locks(self) -> None:
        home.make(self._data_dir)
        self._start = self._open_lock("start.lock")
        self._users = self._open_lock("users.lock")

    def _open_lock(self, name: str) -> int:
        """Open a lock file, for ourselves alone: a server that inherited it would hold the lock."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._data_dir / name, flags, 0o600)
        self._open_files.callback(os.close, lock)
        if os.geteuid() == 0:  # root in another's directory: its owner comes back later
            owner = self._data_dir.stat()
            os.fchown(lock, owner.st_uid, owner.st_gid)
        return lock


def _locks(descriptor: int) -> bool:
    """Whether an exclusive lock was to be had without waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _claim_directories(data_dir: Path) -> Directories:
    """Where the running servers are; when none is, a clean place for new ones."""
    directories = _directories(data_dir)
    if not any(server.is_running() for server in _wanted(directories, True, True)):
        _forget_sockets(directories)
        directories = _directories(data_dir)
    check_path(directories.socket_dir, directories.unix_user, "set TMPDIR to a directory that it can pass")
    make_private(directories.socket_dir, directories.unix_user)
    link = _link(data_dir)
    if not link.is_symlink():
        link.symlink_to(directories.socket_dir)
    return directories


def _ensure(wanted: list[Server], interrupts: Interrupts) -> None:
    """Have `wanted` ready. What could not be made ready is stopped again before raising."""
    try:
        for server in wanted:
            if not server.is_running():
                server.launch(interrupts)
        for server in wanted:
            server.wait_ready(interrupts)
    except BaseException:
        with ExitStack() as stops:
            for server in wanted:
                if server.is_launched:
                    stops.callback(server.stop)
        raise


def _stop(directories: Directories) -> None:
    with ExitStack() as stops:  # one that does not stop must not keep the other running
        for server in _wanted(directories, True, True):
            stops.callback(server.stop)
    _forget_sockets(directories)


def _wanted(directories: Directories, postgres: bool, redis: bool) -> list[Server]:
    every: list[tuple[bool, type[Server]]] = [(postgres, Postgres), (redis, Redis)]
    return [kind(directories) for is_wanted, kind in every if is_wanted]


def _urls(directories: Directories) -> ServerUrls:
    sockets = quote(str(directories.socket_dir))
    redis = quote(str(Redis(directories).socket))
    return ServerUrls(
        database_url=f"postgresql://{USER}@/{DATABASE}?host={sockets}&port={PORT}",
        redis_url=f"redis+socket://{redis}?virtual_host=0",
        redis_client_url=f"unix://{redis}?db=0",
    )


def _directories(data_dir: Path) -> Directories:
    """The directories of the servers whose data is in `data_dir`.

    Sockets are elsewhere, because their path may have about 100 bytes only. Their directory is derived from
    the data directory. The link `sockets` in it records the one in use: TMPDIR may differ between commands.
    """
    unix_user = unix_user_for(data_dir)
    name = f"campaigns-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    with suppress(OSError):
        recorded = _link(data_dir).readlink()
        if recorded.is_absolute() and recorded.name == name:
            return Directories(data_dir, recorded, unix_user)
    return Directories(data_dir, _socket_dir(name, unix_user), unix_user)


def _socket_dir(name: str, unix_user: UnixUser | None) -> Path:
    longest = f".s.PGSQL.{PORT}"
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  the directory in it is checked to be ours
        path = Path(base).resolve() / name
        # Clients and server take the directory for a list of several when a comma is in it.
        is_named_well = len(os.fsencode(path / longest)) <= _LONGEST_SOCKET_BYTES and not set(str(path)) & {
            ",",
            '"',
        }
        if is_named_well and blocked(path, unix_user) is None:
            break
    return path


def _link(data_dir: Path) -> Path:
    return data_dir / "sockets"


def _forget_sockets(directories: Directories) -> None:
    """Remove the sockets and their directory if it is ours, and nothing else that may be in it."""
    if belongs(directories.socket_dir, directories.unix_user):
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock", Redis(directories).socket.name):
            (directories.socket_dir / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody keeps a file of his own in it
            directories.socket_dir.rmdir()
    _link(directories.data_dir).unlink(missing_ok=True)
