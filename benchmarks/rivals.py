"""Who runs against whom: how each is started, driven, and held to the one result."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import ground as grounds
from benchmarks import ours
from benchmarks.calls import COUNT_UNSETTLED, MAKE_TABLE
from benchmarks.ground import IN_FLIGHT, Ground, Refused, drive, wait_for_log
from benchmarks.usage import Meter, peak_bytes

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
    most_recipients: int | None = None  # slow ones run with fewer, and are quoted by recipients/s
    settings: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Run:
    """One run of one rival, held to its result."""

    rival: str
    recipients: int
    latency_seconds: float
    seconds: float
    submission_seconds: float
    cpu_seconds: dict[str, float]  # by role
    worker_peak_bytes: int
    driver_peak_bytes: int
    requests: dict[str, int]

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
    "`submit` to `finished`: one `celery worker`, one `celery beat`, defaults",
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
    f"one worker, {IN_FLIGHT} jobs at once, a job a batch",
    _python("benchmarks.peer_arq", ARQ_BIN / "python"),
    processes=(
        Process("worker", (str(ARQ_BIN / "arq"), "benchmarks.peer_arq.WorkerSettings"), "Starting worker"),
    ),
    missing=_arq_missing,
)

TASKIQ = Rival(
    "taskiq",
    f"Redis stream, one worker, {IN_FLIGHT} tasks at once, a task a batch",
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
    f"jobs in PostgreSQL, one worker, {IN_FLIGHT} at once, a job a batch",
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

RIVALS: dict[str, Rival] = {rival.name: rival for rival in (FLOOR, OURS, NAIVE, ARQ, TASKIQ, PROCRASTINATE)}


def run(ground: Ground, rival: Rival, recipients: int, *, limit_seconds: float = 1800.0) -> Run:
    """One run: a fresh database, the rival's processes, its driver, the judge. Raises Refused."""
    recipients_file = ground.recipients(recipients)
    database_url = ground.fresh_database(migrated=rival.is_ours)
    ground.check_durable(database_url)
    if not rival.is_ours and not rival.makes_its_table:
        ground.sql(database_url, MAKE_TABLE)
    ground.clear()
    stack = ground.stack(rival.name, database_url, rival.settings)
    job = ground.job(stack, database_url, recipients_file)
    variables = [f"{name}={value}" for name, value in grounds.bench_environment(job).items()]
    try:
        for number, command in enumerate(rival.prepare):
            done = stack.start(f"prepare-{number}", "/usr/bin/env", *variables, *_found(command))
            if done.wait(60) != 0:
                raise Refused(f"{rival.name}: {stack.log(f'prepare-{number}').read_text()[-2000:]}")
        for process in rival.processes:
            stack.start(process.name, "/usr/bin/env", *variables, *_found(process.command))
        for process in rival.processes:
            wait_for_log(stack, process.name, process.ready)
        workers = [stack._processes[process.name].pid for process in rival.processes]
        meter = Meter(
            {
                "workers": workers,
                "postgresql": [ground.postgres_pid],
                "redis": [ground.redis_pid],
                "provider": [ground.provider_pid],
            }
        )
        found = drive(
            list(rival.driver), stack, job, what=f"{rival.name} × {recipients:,}", limit_seconds=limit_seconds
        )
        used = meter.used() | {"driver": found["cpu_seconds"]}
        peak = peak_bytes(workers)
        requests = ground.requests()
        ground.judge(grounds.phones(recipients))
        _check_settled(ground, rival, database_url, recipients)
    finally:
        stack.end()
    ground.drop(database_url)
    return Run(
        rival.name,
        recipients,
        ground.latency_seconds,
        found["seconds"],
        found["submission_seconds"],
        used,
        peak,
        found.get("peak_bytes", 0),
        requests,
    )


def _found(command: tuple[str, ...]) -> tuple[str, ...]:
    program = BIN / command[0]  # an absolute one stays what it is
    return (str(program), *command[1:])


def _check_settled(ground: Ground, rival: Rival, database_url: str, recipients: int) -> None:
    unsettled, whole = (
        (ours.COUNT_UNSETTLED, ours.COUNT_ALL)
        if rival.is_ours
        else (COUNT_UNSETTLED, "SELECT count(*) FROM recipient")
    )
    found: tuple[Any, Any] = (ground.value(database_url, whole), ground.value(database_url, unsettled))
    if found != (recipients, 0):
        raise Refused(
            f"{rival.name}: {found[1]} of its {found[0]} rows are not delivered; there should be"
            f" {recipients} rows, all delivered"
        )
