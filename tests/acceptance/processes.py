"""The README's own commands as real processes, and the simulator's ledger as the judge."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaigns.providers.registry import PROVIDERS
from tests import law_trigger
from tests.acceptance import commands
from tests.acceptance.commands import BIN, Started
from tests.waiting import wait_until


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The machine's, without its own settings of ours, and these."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("CAMPAIGNS_")}
    return kept | {f"CAMPAIGNS_{name}": value for name, value in settings.items()}


Process = subprocess.Popen[bytes] | Started


class Stack:
    """Processes of one test, with a log each, ended by process id. They run this checkout's code, or that of
    another `tree`. `loaded`: the tree whose loaded commands are run; None: each command loads itself.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str], tree: Path | None = None) -> None:
        self.directory = directory
        self.loaded = commands.HERE if tree is None else None
        self.settings = dict(settings)
        self.of_tree = {} if tree is None else {"PYTHONPATH": str(tree)}
        self._processes: dict[str, Process] = {}
        self._laws: list[law_trigger.Embedded] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start one of our console scripts; its output goes to a log."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=environment(self.settings) | self.of_tree,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        if name in {"up", "demo"}:  # it makes a database of its own
            data_dir = self.directory / self.settings.get("DATA_DIR", ".campaigns")
            self._laws.append(law_trigger.Embedded(data_dir, process))
        return process

    def log(self, name: str) -> Path:
        """Where a process writes to."""
        return self.directory / f"{name}.log"

    def simulator(
        self,
        *options: str,
        provider: str = "lightsms",
        account: str = "main",
        at_default_pace: bool = False,
    ) -> str:
        """Start a provider's simulator, make it an account, give its URL.

        The account is spoken to faster than by default, so that thousands need no hour, but where it is said
        otherwise.
        """
        name = "simulator" if account == "main" else f"simulator-{account}"
        self._launch(name, "simulator", "--port", "0", "--provider", provider, *options)

        def listening() -> str | None:
            found = re.search(r"listening on (http://\S+)", self.log(name).read_text())
            return found[1] if found else None

        url = wait_until(listening, "the simulator listens")
        demo = PROVIDERS[provider].demo.settings
        credentials = {name: value.format(url=url) for name, value in demo.items()}
        said = {"PROVIDER": provider, "SENDER_ID": "Demo", **credentials}
        if not at_default_pace:
            said |= {"REQUESTS_PER_SECOND": "200"}
            if PROVIDERS[provider].settings.model_fields["questions_per_second"].default is not None:
                said |= {"QUESTIONS_PER_SECOND": "200"}
        self.settings |= {f"ACCOUNTS__{account.upper()}__{key}": value for key, value in said.items()}
        return url

    def worker(self, name: str = "worker", *options: str) -> Process:
        """A worker, by a process that has loaded it, or by the production command."""
        return self._launch(name, "worker", "--hostname", f"{name}@%h", *options)

    def beat(self, name: str = "beat") -> Process:
        """Beat, likewise."""
        return self._launch(name, "beat")

    def _launch(self, name: str, command: str, *options: str) -> Process:
        if self.loaded is not None:
            env = environment(self.settings) | self.of_tree
            started = commands.start(
                self.directory, env, [command, *options], log=self.log(name), loaded=self.loaded
            )
            if started is not None:
                self._processes[name] = started
                return started
        if command == "simulator":
            return self.start(name, "campaigns", command, *options)
        return self.start(name, "celery", "-A", "worker.app", command, *options)

    def run(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True, seconds: float = 100.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a `campaigns` command to its end. AssertionError at the deadline."""
        env = environment(self.settings) | self.of_tree
        done = commands.run(
            self.directory, env, arguments, stdin=stdin or b"", seconds=seconds, loaded=self.loaded
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments[0]} gave {done.returncode}: {done.stderr.decode()}")
        return done

    def json(self, *arguments: str, stdin: bytes | None = None) -> Any:
        """The JSON a command prints."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin).stdout)

    def finished(self, campaign_id: str, *, seconds: float = 90.0) -> dict[str, Any]:
        """The campaign's status once it is over, by one command that looks again and again."""
        done = self.run("status", campaign_id, "--watch", "--json", seconds=seconds)
        status: dict[str, Any] = json.loads(done.stdout)
        assert status["finished_at"], f"watched to no end: {status}"
        return status

    def export(self, campaign_id: str) -> list[dict[str, Any]]:
        """Every line of the export."""
        lines = self.run("export", campaign_id, "--format", "jsonl").stdout.decode().splitlines()
        return [json.loads(line) for line in lines]

    def pid(self, name: str) -> int:
        """The process id of one of ours."""
        return self._processes[name].pid

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM, *, seconds: float = 60.0) -> int:
        """Signal a process and wait for its end."""
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(seconds)

    def end(self) -> None:
        """End all that is left. AssertionError where the law of states was broken in a database made here."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
        self._processes.clear()
        for law in self._laws:
            law.check()
        self._laws.clear()


def ledger_counts(url: str) -> Counter[str]:
    """How often the simulator accepted each number (digits without +)."""
    with urllib.request.urlopen(f"{url}/_ledger?counts=1", timeout=30) as answer:
        lines = [json.loads(line) for line in answer.read().splitlines()]
    return Counter({line["phone"]: line["count"] for line in lines})


def post_fault(url: str, fault: Mapping[str, Any]) -> None:
    """Ask the simulator to misbehave."""
    request = urllib.request.Request(
        f"{url}/_faults", json.dumps(fault).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=30).close()


def csv_of(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Rows as a CSV file."""
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def processes_of(directory: Path) -> list[str]:
    """Command lines of living processes that work in, or on, a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((entry / "cwd").readlink())
        except OSError:
            continue  # it ended while we looked, or is not ours to look at
        ours = any(name in command for name in (str(BIN), "postgres", "redis", "worker"))
        if ours and "pytest" not in command and (str(directory) in where or str(directory) in command):
            found.append(command)
    return found
