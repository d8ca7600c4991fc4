"""Charts, as what there is to be drawn: `charts.html` draws them as SVG, without script or style. Colours
come from classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from campaigns.domain.states import MessageState
from worker.shapes import ProgressPoint, Stop
from worker.state_groups import by_group

WIDTH, HEIGHT = 720, 240  # of an area chart, in units of its own: it is drawn as large as there is room
_BAR_WIDTH = 1000
_LEAST = 4  # units of a bar: what is not nothing is seen
_MOST_POINTS = 90  # that an area chart draws
_MOMENTS = 4  # below the chart
_STACKED = ("delivered", "missed", "left", "unknown", "doubt", "away", "queued")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar."""

    group: str
    count: int
    x: float
    width: float


def bar(totals: Mapping[MessageState, int]) -> list[Segment]:
    """Messages by group, side by side; none that is there is too narrow to be seen."""
    groups = {name: count for name, count in by_group(totals).items() if count}
    whole = sum(groups.values())
    widths = [max(_LEAST, _BAR_WIDTH * count / whole) for count in groups.values()]
    excess = sum(widths) - _BAR_WIDTH
    roomy = sum(width - _LEAST for width in widths)
    segments, x = [], 0.0
    for (name, count), width in zip(groups.items(), widths, strict=True):
        drawn = width - (excess * (width - _LEAST) / roomy if roomy else 0)
        segments.append(Segment(name, count, round(x, 1), round(drawn, 1)))
        x += drawn
    return segments


@dataclass(frozen=True, slots=True)
class Area:
    """Messages by group over time, one upon the other. `layers`: (group, path); `stops`: (kind, x, width)."""

    layers: Sequence[tuple[str, str]]
    stops: Sequence[tuple[str, int, int]]
    moments: Sequence[datetime]
    most: int


def area(
    points: Sequence[ProgressPoint],
    totals: Mapping[MessageState, int],
    stops: Sequence[Stop],
    ends_at: datetime | None,
) -> Area | None:
    """How a campaign went, up to now or its end; None where there is too little to be drawn."""
    until = ends_at or datetime.now(UTC)
    known = [(point.at, by_group(point.totals)) for point in _thinned(points) if point.at < until]
    known.append((until, by_group(totals)))
    begins_at, most = known[0][0], max(sum(groups.values()) for _, groups in known)
    if len(known) < 3 or not most or until - begins_at < timedelta(seconds=1):
        return None

    def x(at: datetime) -> int:
        share = (at - begins_at) / (until - begins_at)
        return round(WIDTH * min(1.0, max(0.0, share)))

    moments = [x(at) for at, _ in known]
    lower = [HEIGHT] * len(known)
    summed = [0] * len(known)
    layers = []
    for name in _STACKED:
        if not any(groups[name] for _, groups in known):
            continue
        summed = [below + groups[name] for below, (_, groups) in zip(summed, known, strict=True)]
        upper = [HEIGHT - round(HEIGHT * count / most) for count in summed]
        there = " ".join(f"{at} {y}" for at, y in zip(moments, upper, strict=True))
        back = " ".join(f"{at} {y}" for at, y in zip(moments[::-1], lower[::-1], strict=True))
        layers.append((name, f"M{there} {back}Z"))
        lower = upper
    drawn = []
    for stop in stops:
        left = x(stop.begins_at)
        drawn.append((stop.kind, left, max(2, x(stop.ends_at or until) - left)))
    step = (until - begins_at) / (_MOMENTS - 1)
    return Area(layers, drawn, [begins_at + step * n for n in range(_MOMENTS)], most)


def _thinned(points: Sequence[ProgressPoint]) -> Sequence[ProgressPoint]:
    step = -(-len(points) // _MOST_POINTS)
    return points[:: max(1, step)]


@dataclass(frozen=True, slots=True)
class Column:
    """A day of a small chart. `y` and `height` in units of the drawing; `is_empty`: nothing is to be told."""

    day: date
    value: float
    y: float
    height: float
    is_empty: bool


@dataclass(frozen=True, slots=True)
class Days:
    """A figure over the last days: what it is today, and what it was."""

    columns: Sequence[Column]
    newest: float | None


_COLUMN_HEIGHT = 40


def days(values: Mapping[date, float], today: date, count: int, *, most: float | None = None) -> Days:
    """Takes values by day. `most`: what the full height stands for; else the largest of them."""
    whole = most or max(values.values(), default=0) or 1
    columns = []
    for back in range(count - 1, -1, -1):
        day = today - timedelta(days=back)
        value = values.get(day)
        height = round(_COLUMN_HEIGHT * (value or 0) / whole, 1)
        drawn = max(1.0, height)
        columns.append(Column(day, value or 0, _COLUMN_HEIGHT - drawn, drawn, value is None))
    newest = next((each.value for each in reversed(columns) if not each.is_empty), None)
    return Days(columns, newest)
