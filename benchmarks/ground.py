"""What every run shares: one PostgreSQL, one Redis, one provider simulator, and one judge.

The servers are the embedded ones with their own settings, which keep every promise of durability; a server
that does not is refused. Each run gets a database of its own and an empty Redis and ledger.
"""

import asyncio
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import psutil
from redis import Redis

from benchmarks.calls import Job
from tests.acceptance.processes import Stack, environment, ledger_counts
from tests.folders import passable_folder
from worker.settings.addresses import broker_url
from worker.stack.embedded.servers import ServerUrls, servers

ROOT = Path(__file__).parents[1]
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
IN_FLIGHT = 16
"""Requests in flight at once, of every rival: the default of our worker."""

_TEMPLATE = "migrated"
_SIMULATOR_NAME = "simulator"
_READY_SECONDS = 60.0
_HEARTBEAT_SECONDS = 5.0
_T = TypeVar("_T")


class Refused(Exception):
    """The benchmark cannot run, or its result does not count. One sentence."""


def say(text: str, *, end: str = "\n") -> None:
    """Progress, for people."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


@dataclass(frozen=True)
class Where:
    """Where the processes of one run find everything."""

    directory: Path
    database_url: str
    environment: Mapping[str, str]


class Ground:
    """The servers, the provider and the judge. Made by `ground`."""

    def __init__(self, directory: Path, urls: ServerUrls, runner: asyncio.Runner) -> None:
        self.directory = directory
        self.urls = urls
        self.url = ""  # the simulator's
        self.latency_seconds = 0.0
        self.is_personal = False  # whether each recipient gets a text of its own
        self._runner = runner
        self._numbers = itertools.count(1)
        self._provider: Stack | None = None
        self._of_account: dict[str, str] = {}
        self.postgres_pid = int(
            (directory / "servers" / "postgres" / "postmaster.pid").read_text().split()[0]
        )
        self.redis_pid = int(self.redis().info("server")["process_id"])

    # --- servers -------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something asynchronous."""
        return self._runner.run(work)

    def redis(self) -> Redis:
        """A client."""
        return Redis.from_url(self.urls.redis_client_url)

    def sql(self, database_url: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask a database."""

        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(database_url)
            try:
                return list(await connection.fetch(query, *arguments, timeout=600))
            finally:
                await connection.close()

        return self.run(ask())

    def value(self, database_url: str, query: str, *arguments: Any) -> Any:
        """The first value of the first row."""
        return self.sql(database_url, query, *arguments)[0][0]

    def check_durable(self, database_url: str) -> dict[str, str]:
        """What PostgreSQL says of itself. Raises Refused when it would forget what it committed."""
        shown = {name: self.value(database_url, f"SHOW {name}") for name in DURABLE}
        if shown != DURABLE:
            raise Refused(f"PostgreSQL must run with {DURABLE}, and says {shown}")
        return shown

    def migrate(self) -> None:
        """Make the template of our own databases."""
        url = self._database(_TEMPLATE)
        settings = {"DATABASE_URL": url, "REDIS_URL": self.urls.redis_url}
        stack = Stack(self.directory, settings)
        stack.run("migrate")

    def fresh_database(self, *, migrated: bool) -> str:
        """A new database. Gives its URL."""
        return self._database(f"run_{next(self._numbers)}", _TEMPLATE if migrated else "template1")

    def drop(self, database_url: str) -> None:
        """Drop a database."""
        self.sql(self.urls.database_url, f"DROP DATABASE {_name(database_url)} WITH (FORCE)")

    def _database(self, name: str, template: str = "template1") -> str:
        self.sql(self.urls.database_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return urlsplit(self.urls.database_url)._replace(path=f"/{name}").geturl()

    def clear(self) -> None:
        """Nothing of the last run is left to the next: queues, ledger, pages to be written out."""
        self.redis().flushall()
        if self.url:
            _request(f"{self.url}/_ledger", "DELETE")
        self.sql(self.urls.database_url, "CHECKPOINT")

    # --- the provider --------------------------------------------------------------------------------

    @contextmanager
    def personal(self, is_personal: bool) -> Iterator[None]:
        """Whether the runs within have a text of its own for each recipient."""
        self.is_personal = is_personal
        try:
            yield
        finally:
            self.is_personal = False

    @contextmanager
    def provider(self, latency_seconds: float) -> Iterator[None]:
        """One simulator process, for all runs within."""
        folder = self.directory / f"provider-{next(self._numbers)}"
        folder.mkdir()
        stack = Stack(folder, {})
        try:
            self.url = stack.simulator("--delivery-seconds", "0", "--latency-seconds", f"{latency_seconds:g}")
            self.latency_seconds = latency_seconds
            self._of_account = dict(stack.settings)
            self._provider = stack
            yield
        finally:
            self.url, self._provider = "", None
            stack.end()

    @property
    def provider_pid(self) -> int:
        """The simulator's process."""
        assert self._provider is not None
        return self._provider._processes[_SIMULATOR_NAME].pid

    def requests(self) -> dict[str, int]:
        """How many requests the simulator had since the ledger was cleared, by script."""
        found: dict[str, int] = _request(f"{self.url}/_ledger")["requests"]
        return found

    def judge(self, phones: list[str]) -> None:
        """Raises Refused unless the provider accepted each of `phones` (digits) exactly once and no other."""
        judge(ledger_counts(self.url), phones)

    # --- processes -----------------------------------------------------------------------------------

    def stack(self, name: str, database_url: str, settings: Mapping[str, str]) -> Stack:
        """Processes of one run with our settings, in a folder of their own."""
        folder = self.directory / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        return Stack(
            folder,
            self._of_account
            | {
                "DATABASE_URL": database_url,
                "REDIS_URL": self.urls.redis_url,
                "DATA_DIR": str(folder / "data"),
            }
            | dict(settings),
        )

    def job(self, stack: Stack, database_url: str, recipients_file: Path) -> Job:
        """What the processes of a run are told."""
        return Job(
            recipients_file=str(recipients_file),
            database_url=database_url,
            redis_url=self.urls.redis_client_url,
            broker_url=broker_url(self.urls.redis_url),
            base_url=self.url,
            in_flight=IN_FLIGHT,
            done_file=str(stack.directory / "done"),
            is_personal=self.is_personal,
        )

    def recipients(self, count: int, first: int = 0) -> Path:
        """A CSV with so many recipients from the `first` on, all of whom are delivered to. Made once."""
        kind = "personal" if self.is_personal else "recipients"
        path = self.directory / f"{kind}-{first}-{count}.csv"
        if not path.exists():
            with path.open("w") as out:
                out.write("phone,name,order,city,day,link\n" if self.is_personal else "phone,name\n")
                for n, phone in enumerate(phones(count, first)):
                    more = f",LT{n:08d},Vilnius,2026-12-{n % 31 + 1:02d},https://example.com/o/{n:06x}"
                    out.write(f"+{phone},N{n % 1000}{more if self.is_personal else ''}\n")
        return path


def phones(count: int, first: int = 0) -> list[str]:
    """So many numbers whose fate at the simulator is delivery, digits without +."""
    return [f"3706{n // 80:05d}{n % 80:02d}" for n in range(first, first + count)]


def judge(ledger: Counter[str], phones: list[str]) -> None:
    """Raises Refused unless `ledger` holds each of `phones` exactly once and no other."""
    twice = sum(count > 1 for count in ledger.values())
    missing = len(set(phones) - ledger.keys())
    strange = len(ledger.keys() - set(phones))
    if twice or missing or strange:
        raise Refused(
            f"of {len(phones)} recipients {missing} were not sent to, {twice} more than once,"
            f" and {strange} were nobody's"
        )


def drive(command: list[str], stack: Stack, job: Job, *, what: str, limit_seconds: float) -> dict[str, Any]:
    """Run a driver to its end and give the last line it says. Raises Refused when it fails or is too slow."""
    log = stack.log("driver")
    started = beat_at = time.monotonic()
    with log.open("wb") as errors, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603  our own modules
            command,
            env=environment(stack.settings) | bench_environment(job),
            cwd=stack.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                now = time.monotonic()
                if now - started > limit_seconds:
                    raise Refused(f"{what} did not end within {limit_seconds:g} s: {ends_of_logs(stack)}")
                if now - beat_at > _HEARTBEAT_SECONDS:
                    beat_at = now
                    say(f"  … {what}: {now - started:.0f} s")
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        lines = output.read().decode().strip().splitlines()
    if process.returncode != 0 or not lines:
        raise Refused(f"{what} failed: {ends_of_logs(stack)}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def bench_environment(job: Job) -> dict[str, str]:
    """What a process of a run finds in its environment, whatever folder it runs in."""
    return {"BENCH": json.dumps(asdict(job)), "PYTHONPATH": str(ROOT)}


def ends_of_logs(stack: Stack) -> str:
    """What its processes said last."""
    logs = sorted(stack.directory.glob("*.log"))
    return "".join(f"\n--- {log.stem}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def wait_for_log(stack: Stack, name: str, pattern: str) -> None:
    """Wait until a process says that it is ready. Raises Refused with the end of its log."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        text = stack.log(name).read_text(errors="replace")
        if re.search(pattern, text):
            return
        if stack._processes[name].poll() is not None or time.monotonic() > deadline:
            raise Refused(f"{name} did not get ready: {ends_of_logs(stack)}")
        time.sleep(0.02)


def _request(url: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method)  # noqa: S310  our own simulator's
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.load(answer)


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.lstrip("/")


@contextmanager
def ground(directory: Path | None = None) -> Iterator[Ground]:
    """Servers of the benchmark's own, in `directory` or a temporary one, until the block ends.

    Raises Refused when they would not keep what they commit.
    """
    with (
        passable_folder("campaigns-bench-", directory) as folder,
        servers(folder / "servers") as urls,
        asyncio.Runner() as runner,
    ):
        made = Ground(folder, urls, runner)
        made.check_durable(urls.database_url)
        if filesystem(made.directory) in {"tmpfs", "ramfs"}:
            raise Refused(f"{folder} lies in memory, where fsync costs nothing; name another --directory")
        made.migrate()
        yield made


# --- the machine -----------------------------------------------------------------------------------------


def filesystem(directory: Path) -> str:
    """What a directory lies on, where the system says so."""
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def fsync_milliseconds(directory: Path) -> float:
    """What one fsync of 8 kB costs there: the price of a commit. The median of 50."""
    costs = []
    path = directory / "fsync"
    with path.open("wb") as out:
        for _ in range(50):
            out.write(b"\0" * 8192)
            out.flush()
            started = time.perf_counter()
            os.fsync(out.fileno())
            costs.append(time.perf_counter() - started)
    path.unlink()
    return sorted(costs)[len(costs) // 2] * 1000


def machine(ground: Ground) -> dict[str, Any]:
    """What the figures were taken on."""
    git = shutil.which("git")
    commit = (
        subprocess.run(  # noqa: S603  git, to name the commit
            [git, "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
        if git
        else ""
    )
    return {
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "processor": _processor(),
        "load_at_start": psutil.getloadavg()[0],
        "python": platform.python_version(),
        "postgresql": ground.value(ground.urls.database_url, "SHOW server_version"),
        "redis": ground.redis().info("server")["redis_version"],
        "filesystem": filesystem(ground.directory),
        "fsync_milliseconds": fsync_milliseconds(ground.directory),
        "commit": commit,
        "in_flight": IN_FLIGHT,
        **ground.check_durable(ground.urls.database_url),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
