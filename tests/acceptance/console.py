"""A program that runs `campaigns` commands, of whichever release's code is on the path: one JSON line each, a
fork each. What Python loads, it loads once for all of them.

A command is run to its end, and its exit code is answered; or it is started, and its process id is answered,
and the exit code is written to a file when it ends.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, NoReturn

_LOADED_LATER = (
    *("rich.live", "phonenumbers", "celery.bin.worker", "celery.bin.beat"),
    *("celery.apps.worker", "celery.apps.beat", "celery.worker.consumer", "celery.concurrency.thread"),
    *("kombu.transport.redis", "simulator.command"),
)
"""What commands load once they need it."""

_exit_paths: dict[int, str] = {}
"""Of what was started and has not ended, by process id: where its exit code is to be written."""


def _run(asked: dict[str, Any]) -> NoReturn:
    if "exit" in asked:
        os.setsid()
    os.chdir(asked["directory"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(asked[name], flags, 0o600), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["campaigns", *asked["arguments"]]
    from worker.cli import main

    main()


def _note_end(pid: int, status: int) -> None:
    path = Path(_exit_paths.pop(pid))
    half = path.with_suffix(".half")
    half.write_text(str(os.waitstatus_to_exitcode(status)))
    half.replace(path)


def _fork(asked: dict[str, Any]) -> int:
    """Gives what is to be answered."""
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _run(asked)
    if "exit" in asked:
        _exit_paths[pid] = asked["exit"]
        return pid
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
        _note_end(ended, status)


def _note_ends() -> None:
    while _exit_paths:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _note_end(pid, status)


def _ours() -> Iterator[str]:
    """Every module of ours but migrations, which alembic runs."""
    for package in ("campaigns", "worker"):
        for each in walk_packages(import_module(package).__path__, f"{package}."):
            if ".migrations" not in each.name and not each.name.endswith("__main__"):
                yield each.name


def _serve() -> None:
    try:
        from worker.cli import app as commands  # what takes the time
    except ImportError:  # a release from before it was there
        from worker import commands
    for name in (*_ours(), *_LOADED_LATER):
        with suppress(ImportError):
            import_module(name)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    sys.stdout.write(f"{commands.__file__}\n")
    sys.stdout.flush()
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            _note_ends()
        if 0 in ready:
            line = sys.stdin.readline()  # one at a time: the next comes after the answer
            if not line:
                return
            sys.stdout.write(f"{_fork(json.loads(line))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _serve()
