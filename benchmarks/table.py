"""Rows of the one table: medians with their spread, ratios within one run, goals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

HEADINGS = ("measured", "with", "figure", "against", "ratio", "to reach")


@dataclass(frozen=True)
class Spread:
    """A figure that was taken several times."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises ValueError where there is no figure."""
        if not values:
            raise ValueError("no figure was taken")
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(min(self.values))}–{number(max(self.values))})"

    def over(self, other: "Spread") -> "Spread":
        """Ratios, each of two figures that were taken one after the other."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


@dataclass(frozen=True)
class Goal:
    """What a ratio or figure should be."""

    limit: float
    at_least: bool

    def is_met(self, value: float) -> bool:
        """Whether it is."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.limit)}"


def at_least(limit: float) -> Goal:
    """The more the better."""
    return Goal(limit, True)


def at_most(limit: float) -> Goal:
    """The less the better."""
    return Goal(limit, False)


@dataclass(frozen=True)
class Row:
    """One line. The goal is of the ratio, or of the figure where there is none."""

    what: str
    setting: str
    figure: Spread
    unit: str
    against: str = ""
    ratio: Spread | None = None
    goal: Goal | None = None
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        return self.goal.is_met((self.ratio or self.figure).median)

    def cells(self) -> tuple[str, ...]:
        """As they stand in the table."""
        reached = "" if self.goal is None else f"{self.goal}: {'yes' if self.is_reached else '**no**'}"
        ratio = "" if self.ratio is None else str(self.ratio)
        return (self.what, self.setting, f"{self.figure} {self.unit}", self.against, ratio, reached)

    def as_json(self) -> dict[str, Any]:
        """With every single figure."""
        return {
            "measured": self.what,
            "with": self.setting,
            "unit": self.unit,
            "median": self.figure.median,
            "figures": list(self.figure.values),
            "against": self.against,
            "ratio": None if self.ratio is None else self.ratio.median,
            "ratios": None if self.ratio is None else list(self.ratio.values),
            "to_reach": None if self.goal is None else str(self.goal),
            "is_reached": self.is_reached,
            **self.raw,
        }


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits that mean something, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        digits = 3 - len(f"{abs(value):.0f}")
        return f"{round(value, digits):,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def megabytes(count: float) -> float:
    """Of 2^20 bytes."""
    return count / 2**20
