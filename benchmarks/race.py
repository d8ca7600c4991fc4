"""The race: every rival in turn, again and again, at each provider latency."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.ground import Ground, say
from benchmarks.rivals import Rival, Run, run
from benchmarks.table import Goal, Row, Spread, at_least, megabytes, number

_OF_THE_FLOOR: dict[float, Goal] = {0.0: at_least(0.75), 0.05: at_least(1.0)}
_OF_THE_OTHERS: dict[str, Goal] = {"naive": at_least(20), "arq": at_least(1.0), "taskiq": at_least(1.0)}


def race(
    ground: Ground, rivals: Sequence[Rival], *, recipients: int, repeat: int, limit_seconds: float
) -> list[Row]:
    """All rounds at the provider's present latency. Raises Refused where a rival's result is wrong."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for turn in range(repeat):
        first = turn % len(rivals)  # so that none always runs after the same one
        for rival in (*rivals[first:], *rivals[:first]):
            count = min(recipients, rival.most_recipients or recipients)
            done = run(ground, rival, count, limit_seconds=limit_seconds)
            runs[rival.name].append(done)
            say(
                f"[{_at(ground.latency_seconds)}] round {turn + 1}/{repeat}: {rival.name} × {count:,}:"
                f" {done.seconds:.2f} s, {number(done.per_second)}/s"
            )
    return rows(rivals, runs)


def rows(rivals: Sequence[Rival], runs: dict[str, list[Run]]) -> list[Row]:
    """The rivals' rows, and ours against the others'."""
    speeds = {name: Spread.of([each.per_second for each in each_run]) for name, each_run in runs.items()}
    made = []
    for rival in rivals:
        done = runs[rival.name]
        is_held_against = "floor" in speeds and rival.name != "floor"
        ratio = speeds[rival.name].over(speeds["floor"]) if is_held_against else None
        latency = done[0].latency_seconds
        is_judged = rival.is_ours and ratio is not None
        made.append(
            Row(
                f"**{rival.name}**: {rival.what}",
                f"{_at(latency)}, {done[0].recipients:,} recipients",
                speeds[rival.name],
                "recipients/s",
                "floor" if is_held_against else "",
                ratio,
                _OF_THE_FLOOR.get(latency) if is_judged else None,
                {"runs": [asdict(each) for each in done]},
            )
        )
    for name, goal in _OF_THE_OTHERS.items():
        if "ours" in runs and name in runs:
            made.append(
                Row(
                    f"ours against {name}",
                    f"{_at(runs['ours'][0].latency_seconds)}, a recipient",
                    speeds["ours"],
                    "recipients/s",
                    name,
                    speeds["ours"].over(speeds[name]),
                    goal,
                )
            )
    return [*made, *_costs(rivals, runs)]


def _costs(rivals: Sequence[Rival], runs: dict[str, list[Run]]) -> list[Row]:
    """Where two cores' time went, for each rival: seconds for 100,000 recipients, by role."""
    made = []
    for rival in rivals:
        done = runs[rival.name]
        by_role = {
            role: Spread.of([each.cpu_seconds[role] / each.recipients * 100_000 for each in done])
            for role in done[0].cpu_seconds
        }
        whole = Spread.of([sum(each.cpu_seconds.values()) / each.recipients * 100_000 for each in done])
        told = ", ".join(f"{role} {number(spent.median)}" for role, spent in by_role.items() if spent.median)
        peak = Spread.of([megabytes(sum(each.peak_bytes.values())) for each in done])
        made.append(
            Row(
                f"{rival.name}: processor time for 100,000 recipients",
                f"{_at(done[0].latency_seconds)}, {done[0].recipients:,} recipients: {told}",
                whole,
                f"s, {number(peak.median)} MB at most",
            )
        )
    return made


def _at(latency_seconds: float) -> str:
    return f"{latency_seconds * 1000:g} ms"
