"""`campaigns` commands, run to their end or started: forked off a process that has loaded them, or a process
each.

Loading them is most of what a command costs. That the installed command itself works is for the tests of what
README and docs print.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

BIN = Path(sys.executable).parent
HERE = Path(__file__).parents[2]
_LOOK_SECONDS = 0.02  # between two looks whether a process has ended
_numbers = count()


class Started:
    """A process that a console forked: what tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, arguments: Sequence[str], exit_path: Path) -> None:
        self.pid = pid
        self.args = ["campaigns", *arguments]
        self._exit_path = exit_path

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return int(self._exit_path.read_text()) if self._exit_path.exists() else None

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end. Gives its exit code. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, where it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Have it end in order."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Console:
    """A process that has loaded the commands of one tree: runs one at a time, and starts any number."""

    def __init__(self, environment: Mapping[str, str], tree: Path) -> None:
        self._busy = Lock()
        self._folder = TemporaryDirectory(prefix="console-")
        self._process = subprocess.Popen(
            [str(BIN / Path(sys.executable).name), "-P", str(Path(__file__).with_name("console.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        where = self._answer("the commands are loaded", 60)
        assert Path(where).is_relative_to(tree), "each release runs its own code"

    @property
    def has_ended(self) -> bool:
        """Whether it runs nothing any more."""
        return self._process.poll() is not None

    def run(
        self,
        directory: Path,
        env: Mapping[str, str],
        arguments: tuple[str, ...],
        stdin: bytes,
        seconds: float,
    ) -> subprocess.CompletedProcess[bytes] | None:
        """Run a command to its end; None: another one runs. AssertionError at the deadline."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            with TemporaryDirectory() as folder:
                files = {name: Path(folder, name) for name in ("stdin", "stdout", "stderr")}
                files["stdin"].write_bytes(stdin)
                asked = {"arguments": arguments, "environment": dict(env), "directory": str(directory)}
                self._ask(asked | {name: str(path) for name, path in files.items()})
                code = int(self._answer(" ".join(arguments), seconds))
                written = files["stdout"].read_bytes(), files["stderr"].read_bytes()
                return subprocess.CompletedProcess(arguments, code, *written)
        finally:
            self._busy.release()

    def start(
        self, directory: Path, env: Mapping[str, str], arguments: Sequence[str], log: Path
    ) -> Started | None:
        """Start a command whose output goes to a log; None: another one is run to its end."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            log.touch()  # who starts it may read at once
            exit_path = Path(self._folder.name, str(next(_numbers)))
            asked = {"arguments": arguments, "environment": dict(env), "directory": str(directory)}
            files = {"stdin": os.devnull, "stdout": str(log), "stderr": str(log), "exit": str(exit_path)}
            self._ask(asked | files)
            return Started(int(self._answer("it is forked", 60)), arguments, exit_path)
        finally:
            self._busy.release()

    def end(self) -> None:
        """End it; it has nothing to run."""
        self._process.communicate()

    def _ask(self, asked: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def _answer(self, what: str, seconds: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            raise AssertionError(f"not within {seconds:g} s: {what}")
        return self._process.stdout.readline().strip()


_consoles: dict[Path, Console] = {}


def _console(tree: Path, env: Mapping[str, str]) -> Console:
    if tree not in _consoles or _consoles[tree].has_ended:
        _consoles[tree] = console = Console(env, tree)
        atexit.register(console.end)
    return _consoles[tree]


def start(
    directory: Path, env: Mapping[str, str], arguments: Sequence[str], *, log: Path, loaded: Path
) -> Started | None:
    """Start a command that the console of a tree has loaded; None where that is busy."""
    return _console(loaded, env).start(directory, env, arguments, log)


def run(
    directory: Path,
    env: Mapping[str, str],
    arguments: tuple[str, ...],
    *,
    stdin: bytes = b"",
    seconds: float = 100.0,
    loaded: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end. AssertionError at the deadline.

    `loaded`: the tree whose console runs it, unless that is busy; None: the installed command, in a process
    that loads it.
    """
    if loaded is not None:
        done = _console(loaded, env).run(directory, env, arguments, stdin, seconds)
        if done is not None:
            return done
    try:
        return subprocess.run(
            [str(BIN / "campaigns"), *arguments],
            env=env,
            cwd=directory,
            input=stdin,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode()
        raise AssertionError(f"not within {seconds:g} s: {' '.join(arguments)}: {said}") from late
