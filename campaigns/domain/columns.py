"""The columns of a table of recipients, whatever program wrote it. Pure.

Spreadsheets leave things behind that mean nothing: columns without a name and without a value, blanks and
invisible characters around a name, cells missing at the end of a row or too many of them, all empty. What is
certain is read; what is not raises ColumnTrouble.
"""

from collections.abc import Sequence

from campaigns.domain.visible import visible

NULL = "\\N"  # how MySQL and PostgreSQL export nothing


class ColumnTrouble(Exception):
    """Why a header or a row cannot be read: a sentence that quotes no cell."""


class Columns:
    """The named columns of a table, in order."""

    def __init__(self, header: Sequence[str]) -> None:
        """Read a header row. Names are trimmed, without what nobody sees. Raises ColumnTrouble."""
        cells = [visible(cell).strip() for cell in header]
        positions: dict[str, int] = {}
        for position, name in enumerate(cells, 1):
            first = positions.setdefault(name, position) if name else position
            if first < position:
                raise ColumnTrouble(f"columns {first} and {position} have the same name; rename one")
        self.names = tuple(positions)
        self.width = len(cells)
        self.has_gaps = len(self.names) < self.width
        self._named = [position - 1 for position in positions.values()]
        self._unnamed = [at for at, name in enumerate(cells) if not name]
        if not self.names:
            raise ColumnTrouble("no column has a name; the first row must name the columns")

    def fields(self, cells: Sequence[str]) -> dict[str, str] | None:
        """A row's cells by column, None for a blank row. Takes any number of cells: spreadsheets leave empty
        ones at the end out, or write more of them.

        Raises ColumnTrouble where a value has no column.
        """
        if not any(cell.strip() for cell in cells):
            return None
        if len(cells) < self.width:
            cells = [*cells, *[""] * (self.width - len(cells))]
        elif any(cell.strip() for cell in cells[self.width :]):
            raise ColumnTrouble(
                f"{len(cells)} cells where the header has {self.width}; "
                "name the last column, or put quotes around a cell that holds the delimiter"
            )
        for at in self._unnamed:
            if cells[at].strip():
                raise ColumnTrouble(
                    f"column {at + 1} has no name in the header and a value here; "
                    "name it or delete the column"
                )
        named = [cells[at] for at in self._named]
        return {name: "" if cell == NULL else cell for name, cell in zip(self.names, named, strict=True)}
