"""The characters that no database's text keeps. Pure."""

import re

from campaigns.domain.errors import SubmissionError

UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
"""NUL, and halves of surrogate pairs: a JSON escape can name them, PostgreSQL's text takes neither."""


def check_storable(name: str, value: str) -> None:
    """Raises SubmissionError where `value`, called `name`, is no text or cannot be stored."""
    if not isinstance(value, str):  # other programs are not held to our types
        raise SubmissionError(f"the {name} is no text; give text")
    if UNSTORABLE_CHARACTERS.search(value):
        raise SubmissionError(
            f"the {name} holds a NUL character or half a character (a lone surrogate); write it anew"
        )
