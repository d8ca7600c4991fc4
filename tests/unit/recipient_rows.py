"""A recipients file read from bytes."""

from collections.abc import Iterable
from itertools import chain

import pytest
from hypothesis import strategies as st

from campaigns.domain.blocks import Block, Row
from campaigns.domain.errors import SubmissionError
from campaigns.domain.recipients import Format, read_recipients

Rows = list[Row]


def rows_in(blocks: Iterable[Block]) -> Rows:
    """What a reader gives, row by row."""
    return list(chain.from_iterable(blocks))


def read(content: str | bytes, format_: Format | None = None) -> Rows:
    data = content if isinstance(content, bytes) else content.encode()
    return rows_in(read_recipients([data], format=format_, name="list.csv"))


def refusal(content: str | bytes | Iterable[bytes], format_: Format | None = None) -> str:
    """What the reader says; fails when it reads all of `content`."""
    if isinstance(content, str):
        content = content.encode()
    chunks = [content] if isinstance(content, bytes) else content
    with pytest.raises(SubmissionError) as caught:
        list(read_recipients(chunks, format=format_, name="list.csv"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    held: BaseException | None = caught.value
    while held is not None:  # nothing of the file may ride along on an error that led to this one
        assert "secret" not in f"{held} {held!r} {vars(held)}"
        assert not hasattr(held, "object")
        assert not hasattr(held, "doc")
        held = held.__cause__ or held.__context__
    return str(caught.value)


cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
) | st.sampled_from(
    ["", " ", '"', '""', ",", ";", "\n", "\r", "\r\n", "\t|", "+37061234567", "Žydrūnas", "😀"]
)
