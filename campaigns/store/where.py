"""The conditions of a statement: those alone that are asked for.

Written as `$1 IS NULL OR …`, one that is not asked for is in the plan all the same, which is made once for
all values: no index is used, and the rows of one thing are found by reading those of all.
"""

from typing import Any


class Where:
    """Collects conditions and the values they take, from `$1` on."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._conditions: list[str] = []

    def put(self, value: Any) -> str:
        """Take a value. Gives what stands for it in SQL."""
        self.values.append(value)
        return f"${len(self.values)}"

    def add(self, condition: str, *values: Any) -> None:
        """Ask for a condition, which has `{}` for each value. Where the first is None it is not asked for."""
        if values and values[0] is None:
            return
        self._conditions.append(condition.format(*map(self.put, values)))

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"
