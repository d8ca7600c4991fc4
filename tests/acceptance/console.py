"""A program that runs `campaigns` commands, of whichever release's code is on the path: one JSON line each, a
fork each. What Python loads, it loads once for all of them.
"""

import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

_LOADED_LATER = ("worker.runtime", "worker.bootstrap", "worker.logs.logger", "rich.live")
"""What commands load once they need it."""


def _run(asked: dict[str, Any]) -> NoReturn:
    os.chdir(asked["directory"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(asked[name], flags, 0o600), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["campaigns", *asked["arguments"]]
    from worker.cli import main

    main()


def _serve() -> None:
    try:
        from worker.cli import app as commands  # what takes the time
    except ImportError:  # a release from before it was there
        from worker import commands
    for name in _LOADED_LATER:
        with suppress(ImportError):
            import_module(name)
    sys.stdout.write(f"{commands.__file__}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _run(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
