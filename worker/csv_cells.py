"""Rows of CSV that a spreadsheet opens and runs nothing of: for the command `export` and the API alike."""

import re
import unicodedata
from collections.abc import Iterable

# RFC 4180, and other characters that some readers take for the end of a line or of a cell.
_TO_BE_QUOTED = re.compile('[",;\t\r\n\v\f\x1c-\x1f\x85\u2028\u2029]|^\\s|\\s$')
_OURS = frozenset(
    {"row", "phone", "batch", "attempt", "segments", "segment_count", "cost"}
)  # no words of others
_LONG_NUMBER = re.compile(r"\+?\d{12,}|\+\d+|0\d+")  # a spreadsheet would round it, or drop its + or its zero


def head_line(columns: Iterable[str], *, raw: bool = False) -> str:
    """The line with the columns' names."""
    return ",".join(cell(name, is_others=True, raw=raw, excel=False) for name in columns) + "\n"


def line(cells: Iterable[tuple[str, object]], *, raw: bool = False, excel: bool = False) -> str:
    """One line. Takes (column, value). `raw`: no apostrophe before what looks like a formula; `excel`:
    numbers as ="+370…", so that none is rounded or loses its +.
    """
    return (
        ",".join(cell(value, is_others=name not in _OURS, raw=raw, excel=excel) for name, value in cells)
        + "\n"
    )


def cell(value: object, *, is_others: bool, raw: bool, excel: bool) -> str:
    """One cell; `is_others`: not a number or a text of ours."""
    text = "" if value is None else str(value)
    if excel and isinstance(value, str) and _LONG_NUMBER.fullmatch(text):
        text = f'="{text}"'
    elif is_others and not raw and isinstance(value, str) and is_formula(text):
        text = f"'{text}"
    if _TO_BE_QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run a cell: by its first character that is seen, or one that is not."""
    if not text or text[0].isalnum():
        return False
    if unicodedata.category(text[0]) == "Cc":
        return True
    for character in text:
        if unicodedata.category(character)[0] not in "ZC":
            return unicodedata.normalize("NFKC", character)[0] in "=+-@"
    return False
