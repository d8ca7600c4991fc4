"""Every rival: how it is started and driven, and how its result is checked."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import ground as grounds
from benchmarks import ours
from benchmarks.calls import COUNT_UNSETTLED, MAKE_TABLE
from benchmarks.ground import IN_FLIGHT, Ground, Refused, drive, ends_of_logs, wait_for_log
from benchmarks.usage import Meter, peak_bytes

_COMMAND_SECONDS = 60.0

BIN = Path(sys.executable).parent
ARQ_BIN = Path(sys.prefix) / "arq" / "bin"
"""arq wants an older redis-py than Celery does: it lives in an environment of its own."""


@dataclass(frozen=True)
class Process:
    """A process that runs while the rival is driven, and what its log says when it is ready."""

    name: str
    command: tuple[str, ...]
    ready: str


@dataclass(frozen=True)
class Rival:
    """One way to do the whole job."""

    name: str
    what: str
    driver: tuple[str, ...]
    processes: tuple[Process, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()  # commands that end, before the processes start
    is_ours: bool = False
    makes_its_table: bool = False
    most_recipients: int | None = None  # slow ones run with fewer; their speed is in recipients/s
    settings: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Run:
    """One run of one rival, its result checked."""

    rival: str
    recipients: int
    latency_seconds: float
    seconds: float
    submission_seconds: float
    cpu_seconds: dict[str, float]  # by role
    peak_bytes: dict[str, int]  # by process
    requests: dict[str, int]  # at the provider, by script

    @property
    def per_second(self) -> float:
        """Recipients a second, from submission to the end."""
        return self.recipients / self.seconds


def _module(name: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(name) else f"{name} is not installed: `make bench` installs it"


def _arq_missing() -> str | None:
    return None if (ARQ_BIN / "arq").exists() else "arq has no environment: `make bench` makes it"


def _python(module: str, python: Path = Path(sys.executable)) -> tuple[str, ...]:
    return (str(python), "-m", module)


FLOOR = Rival(
    "floor",
    "one asyncio process, bare aiohttp and asyncpg, no queue, no crash safety",
    _python("benchmarks.floor"),
)

OURS = Rival(
    "ours",
    "`submit` to `finished`: `celery worker` and `celery beat`, defaults",
    _python("benchmarks.ours"),
    processes=(
        Process("worker", ("celery", "-A", "worker.app", "worker"), r"\bready\b"),
        Process("beat", ("celery", "-A", "worker.app", "beat"), ""),
    ),
    is_ours=True,
    settings=ours.SETTINGS,
)

NAIVE = Rival(
    "naive",
    f"Celery prefork -c {IN_FLIGHT}, a task a recipient: one request, one ORM update; each polled by itself",
    _python("benchmarks.naive_orm"),
    processes=(
        Process(
            "worker",
            ("celery", "-A", "benchmarks.naive_orm", "worker", "-l", "INFO", "-c", str(IN_FLIGHT)),
            r"\bready\.",
        ),
    ),
    makes_its_table=True,
    most_recipients=2_000,
    missing=lambda: _module("requests")() or _module("psycopg")(),
)

ARQ = Rival(
    "arq",
    f"{IN_FLIGHT} jobs at once, a job a batch",
    _python("benchmarks.peer_arq", ARQ_BIN / "python"),
    processes=(
        Process("worker", (str(ARQ_BIN / "arq"), "benchmarks.peer_arq.WorkerSettings"), "Starting worker"),
    ),
    missing=_arq_missing,
)

TASKIQ = Rival(
    "taskiq",
    f"Redis stream, {IN_FLIGHT} tasks at once, a task a batch",
    _python("benchmarks.peer_taskiq"),
    processes=(
        Process(
            "worker",
            (
                *("taskiq", "worker", "--workers", "1", "--max-async-tasks", str(IN_FLIGHT)),
                "benchmarks.peer_taskiq:broker",
            ),
            "Listening started",
        ),
    ),
    missing=_module("taskiq_redis"),
)

PROCRASTINATE = Rival(
    "procrastinate",
    f"jobs in PostgreSQL, {IN_FLIGHT} at once, a job a batch",
    _python("benchmarks.peer_procrastinate"),
    processes=(
        Process(
            "worker",
            (
                *("procrastinate", "--verbose", "--app", "benchmarks.peer_procrastinate.app"),
                *("worker", "--concurrency", str(IN_FLIGHT)),
            ),
            "Starting worker",
        ),
    ),
    prepare=(("procrastinate", "--app", "benchmarks.peer_procrastinate.app", "schema", "--apply"),),
    missing=_module("procrastinate"),
)


def with_workers(rival: Rival, count: int) -> Rival:
    """The same with so many worker processes, each with the same number of requests in flight."""
    return replace(
        rival,
        processes=tuple(
            copy
            for process in rival.processes
            for copy in ([process] if process.name != "worker" else _copies(process, count))
        ),
    )


def _copies(process: Process, count: int) -> list[Process]:
    others = [replace(process, name=f"{process.name}-{number}") for number in range(2, count + 1)]
    if process.command[0] != "celery":
        return [process, *others]
    # Celery tells its workers apart by their names.
    return [replace(each, command=(*each.command, "-n", f"{each.name}@%h")) for each in (process, *others)]


RIVALS: dict[str, Rival] = {rival.name: rival for rival in (FLOOR, OURS, NAIVE, ARQ, TASKIQ, PROCRASTINATE)}


class Session:
    """One rival on a fresh database, its processes ready. Made by `session`."""

    def __init__(self, ground: Ground, rival: Rival, database_url: str, limit_seconds: float) -> None:
        self.ground = ground
        self.rival = rival
        self.database_url = database_url
        self.stack = ground.stack(rival.name, database_url, rival.settings)
        self.limit_seconds = limit_seconds
        self.job = ground.job(self.stack, database_url, self.stack.directory / "none")

    def start(self, *processes: Process) -> None:
        """Start processes and wait until they are ready."""
        for process in processes:
            self.start_process(process.name, process.command)
        for process in processes:
            wait_for_log(self.stack, process.name, process.ready)

    def finish(self, name: str, command: tuple[str, ...]) -> None:
        """Run a command to its end."""
        if self.start_process(name, command).wait(_COMMAND_SECONDS) != 0:
            raise Refused(f"{self.rival.name}, {name}: {ends_of_logs(self.stack)}")

    def start_process(self, name: str, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Start a process that is told of the run."""
        variables = [f"{key}={value}" for key, value in grounds.bench_environment(self.job).items()]
        program = str(BIN / command[0])  # an absolute path stays what it is
        return self.stack.start(name, "/usr/bin/env", *variables, program, *command[1:])

    def drive(self, recipients_file: Path, *command: str, what: str | None = None) -> dict[str, Any]:
        """Run a driver, the rival's own if none is named, and give what it says."""
        return drive(
            list(command or self.rival.driver),
            self.stack,
            replace(self.job, recipients_file=str(recipients_file)),
            what=what or f"{self.rival.name} × {recipients_file.stem.rpartition('-')[2]}",
            limit_seconds=self.limit_seconds,
        )

    def pids(self) -> dict[str, int]:
        """Its processes that live."""
        return {name: p.pid for name, p in self.stack._processes.items() if p.poll() is None}

    def meter(self) -> Meter:
        """Seconds of processor from now on, by role."""
        return Meter(
            {
                "workers": list(self.pids().values()),
                "postgresql": [self.ground.postgres_pid],
                "redis": [self.ground.redis_pid],
                "provider": [self.ground.provider_pid],
            }
        )

    def check(self, recipients: int) -> None:
        """Check its result. Raises Refused."""
        self.ground.judge(grounds.phones(recipients))
        count_all, count_unsettled = (
            (ours.COUNT_ALL, ours.COUNT_UNSETTLED)
            if self.rival.is_ours
            else ("SELECT count(*) FROM recipient", COUNT_UNSETTLED)
        )
        found = tuple(self.ground.value(self.database_url, each) for each in (count_all, count_unsettled))
        if found != (recipients, 0):
            raise Refused(
                f"{self.rival.name} has {found[0]} rows of {recipients}, of which {found[1]} are not settled"
            )


@contextmanager
def session(
    ground: Ground,
    rival: Rival,
    *,
    processes: Sequence[Process] | None = None,
    limit_seconds: float = 3600.0,
) -> Iterator[Session]:
    """A rival on a database of its own, with its processes (or those named) running. Raises Refused."""
    database_url = ground.fresh_database(migrated=rival.is_ours)
    ground.check_durable(database_url)
    if not rival.is_ours and not rival.makes_its_table:
        ground.sql(database_url, MAKE_TABLE)
    ground.clear()
    made = Session(ground, rival, database_url, limit_seconds)
    try:
        for number, command in enumerate(rival.prepare):
            made.finish(f"prepare-{number}", command)
        made.start(*(rival.processes if processes is None else processes))
        yield made
    finally:
        made.stack.end()
        ground.drop(database_url)


def run(ground: Ground, rival: Rival, recipients: int, *, limit_seconds: float = 3600.0) -> Run:
    """One run: a fresh database, the rival's processes, its driver, the judge. Raises Refused."""
    recipients_file = ground.recipients(recipients)
    with session(ground, rival, limit_seconds=limit_seconds) as racing:
        made = measured(racing, recipients_file, recipients)
        racing.check(recipients)
    return made


def measured(racing: Session, recipients_file: Path, recipients: int, *command: str) -> Run:
    """Drive a session once, and say what it took. Takes another driver than the rival's own, if need be."""
    meter = racing.meter()
    found = racing.drive(recipients_file, *command)
    return Run(
        racing.rival.name,
        recipients,
        racing.ground.latency_seconds,
        found["seconds"],
        found["submission_seconds"],
        meter.used() | {"driver": found["cpu_seconds"]},
        {name: peak_bytes([pid]) for name, pid in racing.pids().items()} | {"driver": found["peak_bytes"]},
        racing.ground.requests(),
    )
