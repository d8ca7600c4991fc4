"""A program that runs a release's commands, of whichever release's code is on the path: one JSON line each, a
fork each. What Python loads, it loads once for all of them.
"""

import json
import os
import sys
from typing import Any, NoReturn


def _run(asked: dict[str, Any]) -> NoReturn:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(asked[name], flags, 0o600), number)
    os.environ.update(asked["environment"])
    sys.argv = ["campaigns", *asked["arguments"]]
    from worker.cli import main

    main()


def _serve() -> None:
    try:
        from worker.cli import app as commands  # what takes the time
    except ImportError:  # a release from before it was there
        from worker import commands

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
