"""Rows in blocks are the rows that went in, however they are cut."""

from collections.abc import Iterator
from itertools import chain
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain import blocks, recipients
from campaigns.domain.blocks import Block, Row, in_blocks
from campaigns.domain.errors import SubmissionError
from campaigns.domain.recipients import RecipientReader, read_recipients

_rows = st.lists(
    st.sampled_from([{}, {"phone": "1"}, {"phone": "2", "name": "Ona"}, {"name": "x" * 9, "phone": "3"}]),
    max_size=12,
)


@given(_rows, st.integers(1, 5), st.integers(1, 30))
def test_blocks_are_the_rows_that_went_in(
    rows: list[dict[str, str]], most_rows: int, most_characters: int
) -> None:
    with (
        patch.object(blocks, "BLOCK_ROWS", most_rows),
        patch.object(blocks, "_BLOCK_CHARACTERS", most_characters),
    ):
        made = list(in_blocks(enumerate(rows, 2)))
    assert list(chain.from_iterable(made)) == list(enumerate(rows, 2))
    assert all(1 <= len(block) <= most_rows for block in made)
    for block in made:
        before_the_last = [cell for cells in block.cells.values() for cell in cells[:-1]]
        assert sum(map(len, before_the_last)) < most_characters


def test_a_block_is_given_as_soon_as_it_is_full() -> None:
    read = 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for read in range(1, 250):
            yield read, {"phone": "1"}

    made = in_blocks(rows())
    assert (len(next(made)), read) == (100, 100)


def test_what_is_wrong_with_a_row_comes_after_those_before_it() -> None:
    def rows() -> Iterator[Row]:
        yield 2, {"phone": "1"}
        raise SubmissionError("row 3 is torn")

    made = in_blocks(rows())
    assert list(next(made)) == [(2, {"phone": "1"})]
    with pytest.raises(SubmissionError, match="row 3 is torn"):
        next(made)


def _read(content: str, most_rows: int, *, each: bool = False) -> tuple[list[Block], str]:
    """The blocks, and what the reader said in the end."""
    found: list[Block] = []
    with patch.object(recipients, "BLOCK_ROWS", most_rows):
        try:
            reader = read_recipients([content.encode()], format="csv", name="list.csv")
            with patch.object(RecipientReader, "_whole", lambda *_: None) if each else patch.dict({}):
                found.extend(reader)
        except SubmissionError as error:
            return found, str(error)
    return found, ""


_line = st.lists(
    st.sampled_from(["", " ", "1", "Ona", "\\N", '"a, b"', '"a\nb"', '"', "=1"]), max_size=4
).map(",".join)


@given(
    st.sampled_from(["phone,name", "phone,name,", "phone"]),
    st.lists(st.just("1,Ona") | st.just("2,Jonas") | _line, max_size=8),
    st.integers(1, 4),
)
def test_rows_of_a_file_read_at_once_are_what_they_are_one_by_one(
    header: str, lines: list[str], most_rows: int
) -> None:
    content = "\n".join([header, *lines])
    found, said = _read(content, most_rows)
    expected, expected_said = _read(content, most_rows, each=True)
    assert list(chain.from_iterable(found)) == list(chain.from_iterable(expected))
    assert said == expected_said


def test_rows_that_need_no_look_are_not_looked_at() -> None:
    content = "phone,name\n" + "1,Ona\n" * 250
    with patch.object(RecipientReader, "_read_each", side_effect=AssertionError):
        found, said = _read(content, 100)
    assert ([len(block) for block in found], said) == ([100, 100, 50], "")
