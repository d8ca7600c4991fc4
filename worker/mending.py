"""The refused rows of a submission, as a CSV to mend and submit again: for `campaigns check` and the API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

from campaigns.cleaning import REASONS, Portion
from worker import csv_cells

_OWN_COLUMNS = ("row", "reason", "how_to_mend")
_PART_BYTES = 65_536  # gathered before they are given


class Mending:
    """Refused rows on their way to a CSV: its columns are known once the last row is. Made by `mending`."""

    def __init__(self, kept: IO[str]) -> None:
        self._kept = kept
        self._columns: dict[str, None] = {}

    def add(self, portion: Portion) -> None:
        """Keep the refused rows of a portion, on disk."""
        for (row, reason, column), fields in zip(portion.refusals, portion.refused_fields, strict=False):
            self._columns.update(dict.fromkeys(fields))
            self._kept.write(json.dumps([row, reason, column, dict(fields)]) + "\n")

    def parts(self) -> Iterator[bytes]:
        """The CSV, in parts: own cells, then the row, the reason and how to mend it. Once, after the last."""
        own = [self._free(name) for name in _OWN_COLUMNS]
        held = _line([*self._columns, *own])
        self._kept.seek(0)
        for line in self._kept:
            row, reason, column, fields = json.loads(line)
            cells = [fields.get(name, "") for name in self._columns]
            why = REASONS.get(reason, reason) + (f" (column {column})" if column else "")
            held += _line([*cells, str(row), reason, why])
            if len(held) >= _PART_BYTES:
                yield held
                held = b""
        yield held

    def _free(self, name: str) -> str:
        while name in self._columns:
            name = f"refused_{name}"
        return name


def _line(cells: list[str]) -> bytes:
    # As names of columns: whoever wrote a cell, a spreadsheet must not run it.
    return csv_cells.head_line(cells).encode(errors="backslashreplace")


@contextmanager
def mending() -> Iterator[Mending]:
    """An empty one, for the length of the block."""
    with TemporaryFile("w+", encoding="utf-8") as kept:
        yield Mending(kept)
