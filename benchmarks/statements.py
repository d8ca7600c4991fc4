"""How many statements and tasks one batch costs: counted by the servers, not by us.

PostgreSQL is told to log every statement of the run's database with its time (the embedded build has no
pg_stat_statements); Redis counts its commands itself. What a batch costs is the difference between a large
and a small campaign divided by the batches between them: ticks and other constants fall out.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import ours
from benchmarks.calls import Job, report
from benchmarks.ground import Ground, say
from benchmarks.rivals import OURS, Process, session
from benchmarks.table import Row, Spread, at_most
from worker.bootstrap import Parts

_FEW, _MANY = 20, 120  # batches
_SMALL_BATCH = 10  # recipients
_SHOWN = 12
_CONSTANT = at_most(1.1)  # ten times the recipients, the same statements
# In every statement of a batch's own: whose the leases are. Ticks and deals go by time, not by batch.
_HOLDERS = "$1::text::bigint[], $2::text::int[], $3::text[]"
_ALONE = Process("worker", (*OURS.processes[0].command, "-c", "1"), OURS.processes[0].ready)
_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK")
_LINE = re.compile(
    r"^\S+ \S+ \S+ \[(?P<pid>\d+)\] LOG:  duration: (?P<milliseconds>[0-9.]+) ms"
    r"  (?P<step>statement|parse|bind|execute)(?: (?P<name>[^:]*))?: (?P<query>.*)$"
)
_NEW = re.compile(r"^\d{4}-\d\d-\d\d ")


@dataclass
class Statements:
    """What PostgreSQL was asked, by text."""

    calls: Counter[str] = field(default_factory=Counter)
    milliseconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, step: str, query: str, milliseconds: float) -> None:
        """One line of the log: parsing and binding cost time, and only an execution is a call."""
        self.milliseconds[query] += milliseconds
        if step in ("statement", "execute"):
            self.calls[query] += 1

    @property
    def control_count(self) -> int:
        """How many only began or ended a transaction."""
        return sum(n for query, n in self.calls.items() if query.upper().startswith(_CONTROL))

    @property
    def of_batches_count(self) -> int:
        """How many a batch asks for itself, or shares with others."""
        return sum(n for query, n in self.calls.items() if _HOLDERS in query)

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.calls.values())


def read_log(text: str) -> Statements:
    """What the log of PostgreSQL says, with its own line prefix (`%m [%p] `)."""
    found = Statements()
    for step, query, milliseconds in _entries(text):
        found.add(step, " ".join(query.split()), milliseconds)
    return found


def _entries(text: str) -> Iterator[tuple[str, str, float]]:
    entry: re.Match[str] | None = None
    query: list[str] = []
    for line in (*text.splitlines(), "9999-99-99 the end"):
        if not _NEW.match(line):
            query.append(line)  # of a statement of many lines
            continue
        if entry is not None:
            yield entry["step"], "\n".join(query), float(entry["milliseconds"])
        entry = _LINE.match(line)
        query = [entry["query"]] if entry is not None else []


@dataclass(frozen=True)
class _Counted:
    statements: Statements
    redis: Counter[str]
    ticks: int


def measure(ground: Ground, *, limit_seconds: float) -> list[Row]:
    """Statements of a batch that shares them with no other: as many for a small as for a full one. Then all
    of them, tasks and Redis commands a batch, as workers are.
    """
    rows: list[Row] = []
    of_small: Spread | None = None
    for size in (_SMALL_BATCH, 100):
        few, many = (_count(ground, _ALONE, size, batches, limit_seconds) for batches in (_FEW, _MANY))
        figure = Spread.of(
            [(many.statements.of_batches_count - few.statements.of_batches_count) / (_MANY - _FEW)]
        )
        rows.append(
            Row(
                "ours: SQL statements of a batch by itself (`-c 1`), submission to finished",
                f"batches of {size}",
                figure,
                "statements",
                "" if of_small is None else f"batches of {_SMALL_BATCH}",
                None if of_small is None else figure.over(of_small),
                None if of_small is None else _CONSTANT,
            )
        )
        of_small = figure
    for size in (_SMALL_BATCH, 100):
        few, many = (
            _count(ground, OURS.processes[0], size, batches, limit_seconds) for batches in (_FEW, _MANY)
        )
        batches = _MANY - _FEW
        sql = (many.statements.count - few.statements.count) / batches
        control = (many.statements.control_count - few.statements.control_count) / batches
        redis = {
            command: round((many.redis[command] - few.redis[command]) / batches, 2)
            for command in sorted(many.redis)
            if many.redis[command] - few.redis[command] > batches / 20
        }
        tasks = ((many.redis["lpush"] - many.ticks) - (few.redis["lpush"] - few.ticks)) / batches
        where = f"batches of {size}"
        top = _top(many.statements, _MANY)
        say(f"[statements] {where}: {sql:.1f} statements a batch, {tasks:.2f} tasks a batch")
        for line in top[:_SHOWN]:
            say(f"    {line['milliseconds']:8.2f} ms {line['calls']:6.2f} × {line['query'][:110]}")
        rows += [
            Row(
                "ours: SQL statements a batch, submission to finished",
                f"{where}; {control:.2g} of them BEGIN or COMMIT",
                Spread.of([sql]),
                "statements",
                raw={"by_statement": top},
            ),
            Row("ours: tasks a batch", where, Spread.of([tasks]), "tasks"),
            Row(
                "ours: Redis commands a batch",
                f"{where}: " + ", ".join(f"{command} {count}" for command, count in redis.items()),
                Spread.of([sum(redis.values())]),
                "commands",
                raw={"by_command": redis},
            ),
        ]
    return rows


@contextmanager
def logged(ground: Ground, database_url: str) -> Iterator[Statements]:
    """Every statement of sessions that begin in the block on this database; to be read after it."""
    log = ground.directory / "servers" / "postgres.log"
    name = ground.value(database_url, "SELECT current_database()")
    found = Statements()
    ground.sql(database_url, f"ALTER DATABASE {name} SET log_min_duration_statement = 0")
    began = log.stat().st_size
    try:
        yield found
    finally:
        ground.sql(database_url, f"ALTER DATABASE {name} RESET log_min_duration_statement")
        with log.open("rb") as lines:
            lines.seek(began)
            read = read_log(lines.read().decode(errors="replace"))
        found.calls.update(read.calls)
        found.milliseconds.update(read.milliseconds)


def _count(ground: Ground, worker: Process, size: int, batches: int, limit_seconds: float) -> _Counted:
    recipients = size * batches
    recipients_file = ground.recipients(recipients)
    with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
        with logged(ground, racing.database_url) as statements:
            racing.start(worker, *OURS.processes[1:])
            ground.redis().config_resetstat()
            racing.drive(recipients_file, sys.executable, "-m", "benchmarks.statements", str(size))
            redis = {
                str(command).removeprefix("cmdstat_"): stat["calls"]
                for command, stat in ground.redis().info("commandstats").items()
            }
        racing.check(recipients)
    ticks = sum(n for query, n in statements.calls.items() if _is_tick(query))
    return _Counted(statements, Counter(redis), ticks)


def _is_tick(query: str) -> bool:
    """Whether a statement is made once a tick and by nothing else: the probe of held accounts."""
    return "account_hold" in query and "probe_at" in query and "UPDATE" in query


def _top(statements: Statements, batches: int) -> list[dict[str, Any]]:
    """The costliest, with what they cost a batch."""
    costly = sorted(statements.milliseconds.items(), key=lambda item: -item[1])
    return [
        {"query": query, "calls": statements.calls[query] / batches, "milliseconds": spent / batches}
        for query, spent in costly
    ]


def _drive(size: int) -> None:
    """Submit in batches of `size`, and wait for the end."""
    job = Job.read()

    async def work(parts: Parts) -> None:
        taken = await ours.submit(parts, job.recipients_file, batch_size=size)
        await ours.finished(parts, taken.id)
        report()

    ours.with_parts(work)


if __name__ == "__main__":
    _drive(int(sys.argv[1]))
