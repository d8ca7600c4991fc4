"""Rows cleaned many at once become what they become one by one."""

from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from campaigns import cleaning
from campaigns.cleaning import Cleaner, Wanted
from campaigns.domain import blocks
from campaigns.domain.blocks import in_blocks
from campaigns.domain.errors import SubmissionError
from campaigns.domain.phone import recognise

Rows = list[dict[str, str]]

_PHONES = [
    *(f"+3706{n:07d}" for n in range(3)),
    "+37052123456",  # a fixed line
    "+491711234567",
    "8 612 34567",
    "",
    "+37090012345",  # a premium number
    "+3706000\ud800",
]
_CELLS = ["", "Ona", "Žydrūnas", 'a "quote"\\', "%s", "\\u0000", "\0", "\ud800", "x" * 40]
_TEXTS = ["Hello", f"Labas, ačiū {'x' * 90}", "x" * 2_000, "Hi {name}"]
_COLUMNS = [("phone",), ("phone", "name"), ("100 %s", "phone", "näme"), ("name", "phone")]


@st.composite
def _tables(draw: st.DrawFn) -> Rows:
    """Mostly alike, for that is where rows are cleaned at once."""
    rows: Rows = []
    for _ in range(draw(st.integers(1, 4))):
        columns = draw(st.sampled_from(_COLUMNS))
        phones = st.sampled_from(_PHONES[: draw(st.sampled_from([3, 3, len(_PHONES)]))])
        cells = st.sampled_from(_CELLS[: draw(st.sampled_from([5, 5, len(_CELLS)]))])
        for _ in range(draw(st.integers(1, 8))):
            rows.append({name: draw(phones if name == "phone" else cells) for name in columns})
    return rows


def _cleaned(rows: Rows, text: str, *, each: bool = False) -> Any:
    wanted = Wanted(text, "LT", "phone", ["main", text])
    cleaner = Cleaner(wanted, keeps_refused=True)
    portions: list[Any] = []
    trouble = ""
    with patch.object(Cleaner, "_are_all_sendable", return_value=False) if each else nullcontext():
        try:
            portions.extend(cleaner.portions(in_blocks(enumerate(rows, 2))))
        except SubmissionError as error:
            trouble = str(error)
    return portions, trouble, cleaner.content_hash(), cleaner.noted, cleaner.first_refusal, cleaner.costly


@given(_tables(), st.sampled_from(_TEXTS), st.integers(1, 6), st.integers(1, 9))
def test_rows_cleaned_at_once_are_what_they_are_one_by_one(
    rows: Rows, text: str, block_rows: int, portion_rows: int
) -> None:
    with (
        patch.object(blocks, "BLOCK_ROWS", block_rows),
        patch.object(cleaning, "_PORTION_ROWS", portion_rows),
    ):
        assert _cleaned(rows, text) == _cleaned(rows, text, each=True)


def test_rows_that_can_all_be_sent_to_are_not_cleaned_one_by_one() -> None:
    rows = [{"phone": f"+3706{n:07d}", "name": "Žydrūnas"} for n in range(50)]
    cleaner = Cleaner(Wanted("Hello", "LT", "phone", []))
    recognise(rows[0]["phone"], "LT")  # the first number of a country is read the long way
    with (
        patch.object(blocks, "BLOCK_ROWS", 10),
        patch.object(cleaner, "_clean", wraps=cleaner._clean) as clean,
    ):
        (portion,) = cleaner.portions(in_blocks(enumerate(rows, 2)))
    assert len(portion.recipients) == 50
    assert clean.call_count == 0
