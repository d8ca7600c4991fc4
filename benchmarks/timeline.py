"""A run in time: which processes used how much of the cores, every fifth of a second.

    python -m benchmarks.timeline --recipients 100000 --latency 0 --rival ours

Not a measurement: looking costs as well. It shows where a core is idle, and who keeps the other one busy.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.ground import ROOT, Ground, Refused, ground, say
from benchmarks.rivals import RIVALS, Rival, session, with_workers
from worker.stack.up import usual_workers

_EVERY_SECONDS = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """Cores used between two looks, by role; `machine` is what all processes of the machine used, `stolen`
    what the host gave to others.
    """

    at_seconds: float
    cores: Mapping[str, float]
    machine: float
    stolen: float


class Sampler:
    """Looks at processes until it is stopped. Takes the process of each role: those it started are counted
    with it, but for those that have a role of their own.
    """

    def __init__(self, pids: Mapping[str, int], every_seconds: float = _EVERY_SECONDS) -> None:
        self.samples: list[Sample] = []
        self._role_of = {pid: role for role, pid in pids.items()}
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        began_at = before_at = time.monotonic()
        before, machine = self._used(), psutil.cpu_times()
        while not self._stopped.wait(self._every_seconds):
            now_at, now, machine_now = time.monotonic(), self._used(), psutil.cpu_times()
            passed = now_at - before_at
            idle = machine_now.idle - machine.idle + machine_now.iowait - machine.iowait
            stolen = machine_now.steal - machine.steal
            self.samples.append(
                Sample(
                    now_at - began_at,
                    {role: (now[role] - before[role]) / passed for role in now},
                    max((psutil.cpu_count() or 1) - (idle + stolen) / passed, 0.0),
                    stolen / passed,
                )
            )
            before_at, before, machine = now_at, now, machine_now

    def _used(self) -> dict[str, float]:
        """Seconds by role so far: every process of the machine, read once. A process that ended counts on in
        the one that started it.
        """
        parent_of: dict[int, int] = {}
        seconds_of: dict[int, float] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it ended between two looks
                fields = path.read_text(errors="replace").rpartition(")")[2].split()
                pid = int(path.parent.name)
                parent_of[pid] = int(fields[1])
                seconds_of[pid] = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        used = dict.fromkeys(self._role_of.values(), 0.0)
        for pid, seconds in seconds_of.items():
            known: int | None = pid
            while known is not None and known not in self._role_of:
                known = parent_of.get(known)
            if known is not None:
                used[self._role_of[known]] += seconds
        return used


def table(samples: list[Sample]) -> str:
    """The samples as a table in Markdown: one line for each."""
    roles = list(samples[0].cores) if samples else []
    lines = [f"| s | {' | '.join(roles)} | the machine | stolen |", f"|{' --- |' * (len(roles) + 3)}"]
    lines += [
        f"| {each.at_seconds:.1f} | {' | '.join(f'{each.cores[role]:.2f}' for role in roles)}"
        f" | {each.machine:.2f} | {each.stolen:.2f} |"
        for each in samples
    ]
    return "\n".join(lines)


def watch(ground: Ground, rival: Rival, recipients: int) -> str:
    """Run a rival once. Gives what was seen, as text."""
    recipients_file = ground.recipients(recipients)
    with session(ground, rival) as racing:
        pids = {
            **racing.pids(),
            "postgresql": ground.postgres_pid,
            "redis": ground.redis_pid,
            "provider": ground.provider_pid,
            "driver": os.getpid(),  # which starts it, and looks
        }
        with Sampler(pids) as sampler:
            found = racing.drive(recipients_file)
        racing.check(recipients)
    said = f"{found['seconds']:.2f} s, submission {found['submission_seconds']:.2f} s"
    return f"{said}\n\n{table(sampler.samples)}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rival", choices=sorted(RIVALS), default="ours")
    parser.add_argument("--personal", action="store_true", help="a text for each recipient")
    parser.add_argument("--workers", type=int, default=usual_workers())
    wanted = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with ground() as there, there.provider(wanted.latency), there.personal(wanted.personal):
            say("one run, watched")
            print(watch(there, with_workers(RIVALS[wanted.rival], wanted.workers), wanted.recipients))
    except Refused as refused:
        sys.exit(f"no result: {refused}")


if __name__ == "__main__":
    main()
