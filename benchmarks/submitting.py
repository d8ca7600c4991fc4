"""Submission alone: `campaigns submit` as a command against a process that only COPYs; speed and memory."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import ours
from benchmarks.calls import TEXT
from benchmarks.ground import Ground, Refused, bench_environment, ends_of_logs, say
from benchmarks.rivals import BIN, OURS, Session, session
from benchmarks.table import Row, Spread, at_most, megabytes, number
from benchmarks.usage import peak_bytes
from tests.acceptance.processes import environment

_FLAT = at_most(1.15)
_LOOK_SECONDS = 0.01
_PERSONAL_TEXT = f"{TEXT} {{name}}"  # a thousand different texts in the file


@dataclass(frozen=True)
class Submitted:
    """A command that took a file in."""

    seconds: float
    peak_bytes: int


def measure(ground: Ground, *, sizes: Sequence[int], repeat: int, limit_seconds: float) -> list[Row]:
    """Speed at each size against COPY, of a plain and a personal text; memory of the largest against the
    smallest.
    """
    speed: dict[tuple[str, int], list[float]] = {}
    memory: dict[int, list[float]] = {}
    for turn in range(repeat):
        for size in sizes:
            for kind in ("copy", "plain", "personal"):
                done = _submit(ground, kind, size, limit_seconds)
                speed.setdefault((kind, size), []).append(size / done.seconds)
                if kind == "plain":
                    memory.setdefault(size, []).append(megabytes(done.peak_bytes))
                say(
                    f"[submission] round {turn + 1}/{repeat}: {kind} × {size:,}: {done.seconds:.2f} s,"
                    f" {number(megabytes(done.peak_bytes))} MB"
                )
    made = []
    for size in sizes:
        copied = Spread.of(speed["copy", size])
        made.append(Row("bare COPY of the file", f"{size:,} rows", copied, "rows/s"))
        for kind, words in (("plain", "one text"), ("personal", "a text with a name")):
            submitted = Spread.of(speed[kind, size])
            made.append(
                Row(
                    f"`campaigns submit`, {words}",
                    f"{size:,} rows",
                    submitted,
                    "rows/s",
                    "bare COPY",
                    submitted.over(copied),
                )
            )
        held = Spread.of(memory[size])
        smallest = Spread.of(memory[sizes[0]])
        made.append(
            Row(
                "`campaigns submit`: memory at most",
                f"{size:,} rows",
                held,
                "MB",
                f"{sizes[0]:,} rows",
                held.over(smallest),
                _FLAT if size != sizes[0] else None,
            )
        )
    return made


def _submit(ground: Ground, kind: str, size: int, limit_seconds: float) -> Submitted:
    """One command in a database of its own, from its start to its end."""
    recipients_file = ground.recipients(size)
    with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
        if kind == "copy":
            command = [sys.executable, "-m", "benchmarks.copying"]
            count_all = "SELECT count(*) FROM recipient"
        else:
            text = TEXT if kind == "plain" else _PERSONAL_TEXT
            command = [
                str(BIN / "campaigns"),
                "submit",
                str(recipients_file),
                "--account",
                "main",
                "--text",
                text,
            ]
            count_all = ours.COUNT_ALL
        done = _watched(racing, command, recipients_file)
        stored = ground.value(racing.database_url, count_all)
        if stored != size:
            raise Refused(f"{kind}: {stored} of {size} rows were stored")
    return done


def _watched(racing: Session, command: list[str], recipients_file: Path) -> Submitted:
    """Run a command, looking at its memory meanwhile: it cannot be read once the process has ended."""
    job = replace(racing.job, recipients_file=str(recipients_file))
    peak = 0
    started = time.monotonic()
    with racing.stack.log("driver").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  our own commands
            command,
            env=environment(racing.stack.settings) | bench_environment(job),
            cwd=racing.stack.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                peak = max(peak, peak_bytes([process.pid]))
                if time.monotonic() - started > racing.limit_seconds:
                    raise Refused(f"{command[0]} did not end within {racing.limit_seconds:g} s")
                try:
                    process.wait(_LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
            seconds = time.monotonic() - started
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise Refused(f"{command[0]} failed: {ends_of_logs(racing.stack)}")
    return Submitted(seconds, peak)
