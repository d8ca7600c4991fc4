"""Ours, the floor, the naive way and the peers on one machine; one table in Markdown, and JSON.

    python -m benchmarks.run --recipients 100000 --repeat 5 --latency 0 --latency 0.05
    python -m benchmarks.run --only floor,ours --recipients 5000 --repeat 1 --latency 0
    python -m benchmarks.run --only statements

Progress goes to standard error, the table to standard output. Exits with 1 when a rival did not do its job
(a message lost, doubled or not settled: then there is no figure), and 0 whether or not a goal was reached.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import calling_back, fairness, front_door, large, pages, race, statements, submitting
from benchmarks.ground import ROOT, Ground, Refused, ground, machine, say
from benchmarks.rivals import RIVALS, with_workers
from benchmarks.table import Row, markdown
from worker.stack.up import usual_workers


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    recipients: int
    repeat: int
    workers: int
    is_personal: bool
    latencies: tuple[float, ...]
    only: frozenset[str]
    sizes: tuple[int, ...]
    large: int
    large_repeat: int
    messages: int
    limit_seconds: float
    directory: Path | None
    json: Path | None


SINGLES: dict[str, Callable[[Ground, Wanted], list[Row]]] = {
    "submission": lambda ground, wanted: submitting.measure(
        ground, sizes=wanted.sizes, repeat=wanted.large_repeat, limit_seconds=wanted.limit_seconds
    ),
    "statements": lambda ground, wanted: statements.measure(ground, limit_seconds=wanted.limit_seconds),
    "fairness": lambda ground, wanted: fairness.measure(
        ground,
        large=wanted.large,
        many=wanted.recipients,
        repeat=wanted.large_repeat,
        limit_seconds=wanted.limit_seconds,
    ),
    "large": lambda ground, wanted: large.measure(
        ground,
        recipients=wanted.recipients,
        large=wanted.large,
        repeat=wanted.large_repeat,
        limit_seconds=wanted.limit_seconds,
    ),
    "front-door": lambda ground, wanted: front_door.measure(
        ground, large=wanted.large, repeat=wanted.large_repeat, limit_seconds=wanted.limit_seconds
    ),
    "pages": lambda ground, wanted: pages.measure(
        ground, messages=wanted.messages, repeat=wanted.repeat, limit_seconds=wanted.limit_seconds
    ),
    "callbacks": lambda ground, wanted: calling_back.measure(
        ground, count=wanted.recipients, repeat=wanted.large_repeat, limit_seconds=wanted.limit_seconds
    ),
}
"""What is measured by itself, at zero latency."""


def parse(arguments: list[str]) -> Wanted:
    """Read the command line; exits with 2 and a sentence when it is wrong."""
    known = [*RIVALS, *SINGLES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--recipients", type=int, default=100_000, help="of a run; the naive one runs with fewer")
    add("--repeat", type=int, default=5, help="rounds of the race, and of pages")
    add("--personal", action="store_true", help="the race with a text of its own for each recipient")
    add("--workers", type=int, default=usual_workers(), help="worker processes of each rival")
    add("--latency", type=float, action="append", help="of the provider, in seconds; may be repeated")
    add("--only", default="", metavar="A,B", help=f"some of {', '.join(known)}")
    add("--sizes", default="10000,100000,1000000", help="of submission alone")
    add("--large", type=int, default=1_000_000, help="recipients of a large campaign")
    add("--large-repeat", type=int, default=3, help="rounds of what is measured by itself")
    add("--messages", type=int, default=10_000_000, help="that are there when pages are asked for")
    add("--limit-seconds", type=float, default=3600, help="after which a run counts as failed")
    add("--directory", type=Path, help="where the servers keep their data; a disk, not memory")
    add("--json", type=Path, help="write every figure there")
    given = parser.parse_args(arguments)
    only = frozenset(filter(None, given.only.split(",")))
    if strange := only - set(known):
        parser.error(f"--only knows {', '.join(known)}, not {', '.join(sorted(strange))}")
    try:
        sizes = tuple(sorted(int(size) for size in given.sizes.split(",")))
    except ValueError:
        parser.error("--sizes must be whole numbers with commas between them")
    numbers = (
        given.recipients,
        given.repeat,
        given.workers,
        given.large,
        given.large_repeat,
        given.messages,
        *sizes,
    )
    latencies = tuple(given.latency or (0.0, 0.05))
    if min(numbers) < 1 or min(latencies) < 0 or given.limit_seconds <= 0:
        parser.error("counts must be 1 or more, and latencies 0 or more")
    return Wanted(
        given.recipients,
        given.repeat,
        given.workers,
        given.personal,
        latencies,
        only or frozenset(known),
        sizes,
        given.large,
        given.large_repeat,
        given.messages,
        given.limit_seconds,
        given.directory,
        given.json,
    )


def measure(ground: Ground, wanted: Wanted) -> tuple[list[Row], dict[str, str]]:
    """All that is wanted: the rows, and by name why something is missing."""
    missing = {
        name: why
        for name, rival in RIVALS.items()
        if name in wanted.only and (why := rival.missing()) is not None
    }
    for name, why in missing.items():
        say(f"{name} is left out: {why}")
    if wanted.is_personal and "naive" in wanted.only:
        missing["naive"] = "it has one text for all"
    racers = [
        with_workers(rival, wanted.workers)
        for name, rival in RIVALS.items()
        if name in wanted.only and name not in missing
    ]
    rows: list[Row] = []
    if racers:
        for latency in wanted.latencies:
            with ground.provider(latency), ground.personal(wanted.is_personal):
                rows += race.race(
                    ground,
                    racers,
                    recipients=wanted.recipients,
                    repeat=wanted.repeat,
                    limit_seconds=wanted.limit_seconds,
                )
    for name, single in SINGLES.items():
        if name in wanted.only:
            with ground.provider(0.0):
                rows += single(ground, wanted)
    return rows, missing


def main() -> None:
    """The command."""
    wanted = parse(sys.argv[1:])
    os.environ["PYTHONPATH"] = str(ROOT)  # whatever is installed, this checkout is measured
    started = time.monotonic()
    try:
        with ground(wanted.directory) as there:
            on = machine(there)
            say(f"on {on}")
            rows, missing = measure(there, wanted)
    except Refused as refused:
        sys.exit(f"no result: {refused}")
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(_whole(on, rows, missing), indent=1, default=str) + "\n")
    print(markdown(rows))
    say(f"{len(rows)} rows in {time.monotonic() - started:.0f} s")


def _whole(on: dict[str, Any], rows: list[Row], missing: dict[str, str]) -> dict[str, Any]:
    return {"machine": on, "rows": [row.as_json() for row in rows], "left_out": missing}


if __name__ == "__main__":
    main()
