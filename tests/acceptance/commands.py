"""`campaigns` commands run to their end: forked off a process that has loaded them, or a process each.

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
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

BIN = Path(sys.executable).parent
HERE = Path(__file__).parents[2]


class Console:
    """A process that has loaded the commands of one tree and runs one at a time."""

    def __init__(self, environment: Mapping[str, str], tree: Path) -> None:
        self._busy = Lock()
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
                assert self._process.stdin is not None
                self._process.stdin.write(
                    json.dumps(asked | {name: str(path) for name, path in files.items()}) + "\n"
                )
                self._process.stdin.flush()
                code = int(self._answer(" ".join(arguments), seconds))
                written = files["stdout"].read_bytes(), files["stderr"].read_bytes()
                return subprocess.CompletedProcess(arguments, code, *written)
        finally:
            self._busy.release()

    def end(self) -> None:
        """End it; it has nothing to run."""
        self._process.communicate()

    def _answer(self, what: str, seconds: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            raise AssertionError(f"not within {seconds:g} s: {what}")
        return self._process.stdout.readline().strip()


_consoles: dict[Path, Console] = {}


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
        if loaded not in _consoles or _consoles[loaded].has_ended:
            _consoles[loaded] = console = Console(env, loaded)
            atexit.register(console.end)
        done = _consoles[loaded].run(directory, env, arguments, stdin, seconds)
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
