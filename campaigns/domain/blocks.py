"""Blocks: rows of a table of recipients, up to a hundred at a time, kept by column. Pure.

Most of what a row costs is being a row by itself: a million of them are read and cleaned a hundred at once.
Whoever wants single rows iterates over a block.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from campaigns.domain.errors import SubmissionError

BLOCK_ROWS = 100
"""A block has at most so many rows."""

_BLOCK_CHARACTERS = 100_000  # of rows that are gathered here: a hundred wide ones may be 100 MB

Row = tuple[int, Mapping[str, str]]
"""The row as a person counts it in the file, from 1 with the header, and its cells by column."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows in order, at least one, all with the same columns. Iterating over it gives them as `Row`."""

    numbers: Sequence[int]
    cells: Mapping[str, Sequence[str]] = field(repr=False)
    """By column, of all rows in order."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Row]:
        for at, number in enumerate(self.numbers):
            yield number, {name: cells[at] for name, cells in self.cells.items()}


def in_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """Rows as blocks. What is wrong with a row (SubmissionError) is raised after those before it."""
    held: list[Row] = []
    columns: tuple[str, ...] = ()
    character_count = 0
    trouble: SubmissionError | None = None
    try:
        for row in rows:
            own = tuple(row[1])
            if held and own != columns:
                yield _block(columns, held)
                held, character_count = [], 0
            columns = own
            held.append(row)
            character_count += sum(map(len, row[1].values()))
            if len(held) >= BLOCK_ROWS or character_count >= _BLOCK_CHARACTERS:
                yield _block(columns, held)
                held, character_count = [], 0
    except SubmissionError as error:
        trouble = error
    if held:
        yield _block(columns, held)
    if trouble is not None:
        raise trouble


def _block(columns: Sequence[str], rows: Sequence[Row]) -> Block:
    cells = [fields for _, fields in rows]
    return Block(
        [number for number, _ in rows], {name: [fields[name] for fields in cells] for name in columns}
    )
