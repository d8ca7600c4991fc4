"""What processes cost: seconds of processor and memory, read from the system, asked of nobody."""

from collections.abc import Iterable, Mapping

import psutil


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started, those that live."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes have used so far, those they started and those of them that ended included."""
    used = 0.0
    for pid in pids:
        processes = tree(pid)
        for process in processes:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # between two looks; what it used its parent has inherited
                continue
            # What a child used goes to its parent when it is reaped: counted once, here or there.
            used += times.user + times.system + times.children_user + times.children_system
    return used


def peak_bytes(pids: Iterable[int]) -> int:
    """The largest memory each of these processes ever had, added up with those they started (Linux)."""
    return sum(_status(process.pid, "VmHWM") for pid in pids for process in tree(pid))


def resident_bytes(pids: Iterable[int]) -> int:
    """Their memory now."""
    return sum(_status(process.pid, "VmRSS") for pid in pids for process in tree(pid))


def _status(pid: int, field: str) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123  no Path is needed
            for line in lines:
                if line.startswith(f"{field}:"):
                    return int(line.split()[1]) * 1024
    except OSError:  # it ended, or this is no Linux
        return 0
    return 0


class Meter:
    """Seconds of processor by role, from `start` on."""

    def __init__(self, roles: Mapping[str, Iterable[int]]) -> None:
        self._roles = {role: tuple(pids) for role, pids in roles.items()}
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        return {role: cpu_seconds(pids) for role, pids in self._roles.items()}

    def used(self) -> dict[str, float]:
        """By role since the meter was made."""
        now = self._read()
        return {role: now[role] - self._before[role] for role in self._roles}
