"""A large campaign against a small one: throughput, memory; then a tick and `status` on what it left.

The database a tick and `status` are measured on is the one the campaign ran through, with what its updates
left lying about and with statistics from its middle: first as it is, then after the VACUUM that autovacuum
would do in the end.
"""

import sys
import time
from statistics import median
from uuid import UUID

from benchmarks import ours
from benchmarks.calls import report
from benchmarks.ground import Ground, Refused, say
from benchmarks.rivals import OURS, Run, Session, measured, run, session
from benchmarks.table import Goal, Row, Spread, at_least, at_most, megabytes, number
from campaigns import reading
from worker.bootstrap import Parts

_KEEPS_ITS_SPEED = at_least(0.85)
_FLAT = at_most(1.15)
_TICK = at_most(1.2)
_STATUS = at_most(2.0)

_SMALL = 10_000  # the campaign that a large one's `status` and memory are compared with
_WARM = 20
_TIMES = 200
_SUMMED_UP_SECONDS = 60
_LOOK_SECONDS = 1.0  # each look counts all batches

_HALF_DONE = "SELECT count(*) FILTER (WHERE state = 'done') * 2 >= count(*) FROM batch WHERE campaign_id = $1"


def measure(ground: Ground, *, recipients: int, large: int, repeat: int, limit_seconds: float) -> list[Row]:
    """All of it, with the provider at its present latency. Takes `recipients`, the size throughput is held
    against.
    """
    medium_runs, large_runs, small_runs, looks = [], [], [], []
    for turn in range(repeat):
        small_runs.append(
            _told(run(ground, OURS, min(_SMALL, large), limit_seconds=limit_seconds), turn, repeat)
        )
        medium_runs.append(_told(run(ground, OURS, recipients, limit_seconds=limit_seconds), turn, repeat))
        with session(ground, OURS, limit_seconds=limit_seconds) as racing:
            file = ground.recipients(large)
            large_runs.append(_told(measured(racing, file, large, *_driver("run")), turn, repeat))
            racing.check(large)
            if turn == 0:  # once: their own figures are medians of hundreds
                looks = _look(ground, racing, large)
    speed = {
        name: Spread.of([each.per_second for each in runs])
        for name, runs in (("medium", medium_runs), ("large", large_runs))
    }
    rows = [
        Row(
            "ours: throughput of a large campaign",
            f"{large:,} recipients",
            speed["large"],
            "recipients/s",
            f"{recipients:,} recipients",
            speed["large"].over(speed["medium"]),
            _KEEPS_ITS_SPEED,
        )
    ]
    for process in ("worker", "beat"):
        held = {
            size: Spread.of([megabytes(each.peak_bytes[process]) for each in runs])
            for size, runs in ((_SMALL, small_runs), (large, large_runs))
        }
        rows.append(
            Row(
                f"ours: memory of the {process} at most",
                f"{large:,} recipients",
                held[large],
                "MB",
                f"{small_runs[0].recipients:,} recipients",
                held[large].over(held[_SMALL]),
                _FLAT,
            )
        )
    return rows + looks


def _told(done: Run, turn: int, repeat: int) -> Run:
    say(
        f"[large] round {turn + 1}/{repeat}: {done.recipients:,} recipients: {done.seconds:.2f} s,"
        f" {number(done.per_second)}/s, worker {number(megabytes(done.peak_bytes['worker']))} MB"
    )
    return done


def _look(ground: Ground, racing: Session, large: int) -> list[Row]:
    """A tick and `status`, on what the campaign left and on an idle database."""
    small = min(_SMALL, large)
    racing.drive(ground.recipients(small, first=large))
    racing.check(large + small)
    _wait_for_sums(ground, racing)
    for name in list(racing.pids()):
        racing.stack.stop(name)  # from here on only we tick
    rows = []
    with session(ground, OURS, processes=()) as idle:
        for state in ("as the campaign left it", "after VACUUM"):
            if state == "after VACUUM":
                ground.sql(racing.database_url, "VACUUM ANALYZE")
            where = f"{large:,} settled messages, {state}"
            rows.append(
                _compared(
                    "ours: one tick", where, "an idle database", _TICK, "milliseconds", racing, idle, "tick"
                )
            )
            rows.append(
                _compared(
                    f"ours: `status` of a campaign of {large:,}",
                    state,
                    f"a campaign of {small:,}",
                    _STATUS,
                    "large_milliseconds",
                    racing,
                    racing,
                    "status",
                )
            )
        ground.sql(racing.database_url, "UPDATE campaign SET totals = NULL")
        state = "while it runs: its batches are summed"
        rows.append(
            _compared(
                f"ours: `status` of a campaign of {large:,}",
                state,
                f"a campaign of {small:,}",
                None,
                "large_milliseconds",
                racing,
                racing,
                "status",
            )
        )
    return rows


def _wait_for_sums(ground: Ground, racing: Session) -> None:
    """Wait until the tick has summed up what is over."""
    ends_at = time.monotonic() + _SUMMED_UP_SECONDS
    while ground.value(racing.database_url, "SELECT count(*) FROM campaign WHERE totals IS NULL"):
        if time.monotonic() > ends_at:
            raise Refused("nobody sums up what is over")
        time.sleep(0.2)


def _compared(  # noqa: PLR0913, PLR0917  each is a cell of the row
    what: str,
    where: str,
    against: str,
    goal: Goal | None,
    field: str,
    here: Session,
    there: Session,
    driver: str,
) -> Row:
    figures, others = [], []
    nobody = here.ground.directory / "none"  # it submits no file
    for _ in range(3):
        found = here.drive(nobody, *_driver(driver), what=f"{driver}, {where}")
        figures.append(found[field])
        if driver == "status":
            others.append(found["small_milliseconds"])
        else:
            others.append(there.drive(nobody, *_driver(driver), what=f"{driver}, {against}")[field])
    figure = Spread.of(figures)
    return Row(what, where, figure, "ms", against, figure.over(Spread.of(others)), goal)


def _driver(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.large", name)


# --- what is measured, in a process with our settings --------------------------------------------------


async def _halfway(parts: Parts, campaign_id: UUID) -> None:
    """Take statistics when half is done. Autovacuum does so once a minute: before it, in it or after it, as
    chance has it, and the plans of what comes later follow from that.
    """
    await ours.wait_for(lambda: ours.ask(parts, _HALF_DONE, campaign_id), every=_LOOK_SECONDS)
    await ours.ask(parts, "ANALYZE")


def _tick() -> None:
    """The worker's own task, called here, again and again."""
    from worker import tasks
    from worker.app import runtime

    figures = []
    for number_ in range(_WARM + _TIMES):
        started = time.perf_counter()
        tasks.tick()
        if number_ >= _WARM:
            figures.append(time.perf_counter() - started)
    runtime.close()
    report(milliseconds=median(figures) * 1000)


def _status() -> None:
    """`reading.status` of the largest campaign and of the smallest there are."""

    async def work(parts: Parts) -> None:
        largest, smallest = (
            await ours.ask(parts, "SELECT id FROM campaign ORDER BY recipient_count DESC LIMIT 1"),
            await ours.ask(parts, "SELECT id FROM campaign ORDER BY recipient_count LIMIT 1"),
        )
        campaigns: dict[str, UUID] = {"large": largest, "small": smallest}
        figures: dict[str, list[float]] = {"large": [], "small": []}
        for number_ in range(_WARM + _TIMES):
            for name, campaign_id in campaigns.items():  # in turn
                started = time.perf_counter()
                await reading.status(parts.database, campaign_id)
                if number_ >= _WARM:
                    figures[name].append(time.perf_counter() - started)
        report(**{f"{name}_milliseconds": median(each) * 1000 for name, each in figures.items()})

    ours.with_parts(work)


if __name__ == "__main__":
    {"run": lambda: ours.main(_halfway), "tick": _tick, "status": _status}[sys.argv[1]]()
