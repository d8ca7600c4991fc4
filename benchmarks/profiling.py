"""Where ours spends its time: py-spy on the worker, and PostgreSQL's own clock for every statement.

    python -m benchmarks.profiling --recipients 20000 --latency 0 --flame worker.svg

Not a measurement: logging every statement and looking at the worker a hundred times a second both cost.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.ground import ROOT, Ground, Refused, ground, say
from benchmarks.rivals import BIN, OURS, session
from benchmarks.statements import logged

_SHOWN = 40
_FLUSH_SECONDS = 30


def inclusive_and_own(folded: str) -> tuple[Counter[str], Counter[str], int]:
    """Samples by function with all it called and by itself alone, and how many there are.

    Takes py-spy's raw format: frames from the outermost, parted by `;`, then a space and a count.
    """
    inclusive: Counter[str] = Counter()
    own: Counter[str] = Counter()
    whole = 0
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.strip() for frame in stack.split(";")]
        if not count.isdigit() or not stack:
            continue
        whole += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            inclusive[frame] += int(count)
    return inclusive, own, whole


def profile(ground: Ground, recipients: int, flame: Path | None) -> str:
    """Run ours once under both. Gives what was found, as text."""
    recipients_file = ground.recipients(recipients)
    folded = ground.directory / "worker.folded"
    with session(ground, OURS) as racing:
        worker = racing.pids()["worker"]
        watching = subprocess.Popen(  # noqa: S603  py-spy, from our own environment
            [
                *(BIN / "py-spy", "record", "--pid", str(worker), "--format", "raw", "--rate", "200"),
                # Only who holds the interpreter: sixteen threads that wait are no cost. Never stopping it.
                *("--gil", "--nonblocking", "--function", "--output", str(folded)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with logged(ground, racing.database_url) as statements:
                found = racing.drive(recipients_file)
        finally:
            watching.send_signal(2)  # it writes down what it saw
            watching.wait(_FLUSH_SECONDS)
        racing.check(recipients)
    text = folded.read_text() if folded.exists() else ""
    if not text:
        raise Refused("py-spy saw nothing: it may need more rights (root, or kernel.yama.ptrace_scope = 0)")
    if flame is not None:
        flame.write_text(text)
    inclusive, own, whole = inclusive_and_own(text)
    batches = recipients / 100
    lines = [
        f"{found['seconds']:.2f} s, submission {found['submission_seconds']:.2f} s;"
        f" {whole} samples of 5 ms in which the worker computed"
    ]
    for title, counts in (("with what they call", inclusive), ("by themselves", own)):
        lines += ["", f"functions of the worker, {title}:"]
        lines += [f"  {count / whole:6.1%} {name}" for name, count in counts.most_common(_SHOWN)]
    costly = sorted(statements.milliseconds.items(), key=lambda item: -item[1])[:_SHOWN]
    lines += ["", f"statements: {statements.count / batches:.1f} a batch; milliseconds and calls a batch:"]
    lines += [
        f"  {spent / batches:8.2f} {statements.calls[query] / batches:6.2f} {query[:140]}"
        for query, spent in costly
    ]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--personal", action="store_true", help="a text for each recipient")
    parser.add_argument("--flame", type=Path, help="write py-spy's folded stacks there, for a flame graph")
    wanted = parser.parse_args()
    if not (BIN / "py-spy").exists():
        sys.exit("py-spy is not installed: `make bench` installs it")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with ground() as there, there.provider(wanted.latency), there.personal(wanted.personal):
            say("one run, watched")
            print(profile(there, wanted.recipients, wanted.flame))
    except Refused as refused:
        sys.exit(f"no result: {refused}")


if __name__ == "__main__":
    main()
