"""One sheet of a workbook (.xlsx, .ods) as rows of texts, each cell as the spreadsheet shows it, streamed."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import IO, Any
from xml.etree import ElementTree

from campaigns.domain.shown_number import shown_number

_MOST_BYTES = 4 * 1024**3  # unpacked, of what is streamed
_MOST_HELD_BYTES = 256 * 1024**2  # unpacked, of what a library holds in memory: shared texts, styles
_MOST_COLUMNS = 1_000  # a wider sheet is refused
_MOST_BLANK_ROWS = 1_100_000  # a sheet has no more
_NAMES_SHOWN = 10

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_NOTE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}annotation"

Row = tuple[int, list[str]]
"""The row as its number in the sheet, from 1, and its cells."""


class SheetTrouble(Exception):
    """Why a workbook cannot be read: the end of a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet's rows, to be read once. `note`: what a person should hear of the other sheets, or None."""

    rows: Iterator[Row]
    note: str | None


@contextmanager
def open_sheet(file: IO[bytes], wanted: str | None) -> Iterator[Sheet]:
    """The sheet called `wanted` (None: the first that is not hidden). Takes a file that can be sought.

    Raises SheetTrouble, here and while reading; what zipfile raises for a damaged archive.
    """
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        _check_sizes(archive)
        kind = archive.read("mimetype")[:80] if "mimetype" in names else b""
    file.seek(0)
    if "xl/workbook.xml" in names:
        with _open_xlsx(file, wanted) as sheet:
            yield sheet
    elif kind.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        with zipfile.ZipFile(file) as archive:
            yield _open_ods(archive, wanted)
    elif any(name.startswith("Index/") for name in names):
        raise SheetTrouble("is a Numbers document: export it as CSV or .xlsx")
    elif "word/document.xml" in names or kind.startswith(b"application/vnd.oasis.opendocument.text"):
        raise SheetTrouble(
            "is a text document: put the recipients into a table and save that as CSV or .xlsx"
        )
    elif "xl/workbook.bin" in names:
        raise SheetTrouble("is a binary workbook (.xlsb): save it as .xlsx")
    else:
        raise SheetTrouble("is an archive: unpack it, and send the file of recipients in it")


def _check_sizes(archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        is_streamed = entry.filename.startswith("xl/worksheets/") or entry.filename == "content.xml"
        if entry.flag_bits & 1:
            raise SheetTrouble("is protected by a password: save it without one")
        if entry.file_size > (_MOST_BYTES if is_streamed else _MOST_HELD_BYTES):
            raise SheetTrouble("is too large when unpacked: save the sheet as CSV, which is read as it comes")


def _chosen(names: list[str], visible: list[str], wanted: str | None) -> tuple[str, str | None]:
    """The sheet to read, and what to say of it."""
    listed = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    if wanted is not None:
        if wanted not in names:
            raise SheetTrouble(f"has no sheet of that name; its sheets are {listed}")
        return wanted, None
    if not visible:
        raise SheetTrouble("has no sheet that is shown; name one with --sheet")
    if len(visible) == 1:
        return visible[0], None
    return visible[
        0
    ], f"read from its first sheet {visible[0]!r} alone; its sheets are {listed} (see --sheet)"


# --- .xlsx ---------------------------------------------------------------------------------------------


@contextmanager
def _open_xlsx(file: IO[bytes], wanted: str | None) -> Iterator[Sheet]:
    from openpyxl import load_workbook  # noqa: PLC0415  most submissions are CSV and do not wait for it
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415  the line above

    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except (
        InvalidFileException,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        ElementTree.ParseError,
    ) as error:
        raise SheetTrouble(
            "is no workbook that can be read: open it, save it again as .xlsx or CSV"
        ) from error
    try:
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        shown = [name for name, sheet in sheets.items() if sheet.sheet_state == "visible"]
        name, note = _chosen(list(sheets), shown, wanted)
        sheet = sheets[name]
        sheet.reset_dimensions()  # what a program wrote there may be wrong, and cuts rows off
        yield Sheet(_xlsx_rows(sheet), note)
    finally:
        book.close()


def _xlsx_rows(sheet: Any) -> Iterator[Row]:
    try:
        for number, cells in enumerate(sheet.iter_rows(), 1):
            yield number, _cut([_shown(cell) for cell in cells[:_MOST_COLUMNS]])
    except (ValueError, TypeError, KeyError, IndexError, ElementTree.ParseError) as error:
        raise SheetTrouble("cannot be read to its end: open it, save it again as .xlsx or CSV") from error


def _shown(cell: object) -> str:  # noqa: PLR0911  one line for each kind of value
    value = getattr(cell, "value", None)
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case int() | float():
            return shown_number(value, str(getattr(cell, "number_format", "General")))
        case datetime():
            return value.isoformat(sep=" ", timespec="minutes").removesuffix(" 00:00")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            # An error stands for no value: #N/A of a look-up is nobody's name.
            return "" if getattr(cell, "data_type", "") == "e" else str(value)


def _cut(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells.pop()
    return cells


# --- .ods ----------------------------------------------------------------------------------------------


def _open_ods(archive: zipfile.ZipFile, wanted: str | None) -> Sheet:
    names = _ods_names(archive)
    name, note = _chosen(names, names, wanted)
    return Sheet(_ods_rows(archive, name), note)


def _events(archive: zipfile.ZipFile) -> Iterator[tuple[str, ElementTree.Element]]:
    try:
        with archive.open("content.xml") as content:
            # Entities are expanded by expat, which bounds them; nothing outside the file is fetched.
            yield from ElementTree.iterparse(content, events=("start", "end"))  # noqa: S314  the line above
    except (ElementTree.ParseError, KeyError) as error:
        raise SheetTrouble("cannot be read to its end: open it, save it again as .ods or CSV") from error


def _ods_names(archive: zipfile.ZipFile) -> list[str]:
    names = []
    for event, element in _events(archive):
        if event == "start" and element.tag == f"{_TABLE}table":
            names.append(element.get(f"{_TABLE}name", ""))
        elif event == "end" and element.tag == f"{_TABLE}table-row":
            element.clear()  # its texts; what is left of it is a few bytes
    return names


def _ods_rows(archive: zipfile.ZipFile, wanted: str) -> Iterator[Row]:
    number, is_ours, blank_count = 0, False, 0
    for event, element in _events(archive):
        if element.tag == f"{_TABLE}table":
            if event == "end" and is_ours:
                return
            is_ours = is_ours or (event == "start" and element.get(f"{_TABLE}name", "") == wanted)
        elif event == "end" and element.tag == f"{_TABLE}table-row":
            if is_ours:
                cells = _ods_cells(element)
                times = _count(element.get(f"{_TABLE}number-rows-repeated"))
                blank_count = 0 if cells else blank_count + times
                if blank_count > _MOST_BLANK_ROWS:
                    return
                for _ in range(times if cells else 1):
                    number += 1
                    yield number, list(cells)
                number += 0 if cells else times - 1
            element.clear()


def _ods_cells(row: ElementTree.Element) -> list[str]:
    cells: list[str] = []
    for cell in row:
        if cell.tag not in {f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"}:
            continue
        text = "\n".join(_ods_text(paragraph) for paragraph in cell.findall(f"{_TEXT}p"))
        times = min(_count(cell.get(f"{_TABLE}number-columns-repeated")), _MOST_COLUMNS - len(cells))
        cells += [text] * times
    return _cut(cells)


def _ods_text(element: ElementTree.Element) -> str:
    """What a paragraph shows: its texts, blanks that stand as elements, no notes."""
    pieces = [element.text or ""]
    for inner in element:
        if inner.tag == f"{_TEXT}s":
            pieces.append(" " * _count(inner.get(f"{_TEXT}c")))
        elif inner.tag == f"{_TEXT}tab":
            pieces.append("\t")
        elif inner.tag == f"{_TEXT}line-break":
            pieces.append("\n")
        elif inner.tag != _NOTE:
            pieces.append(_ods_text(inner))
        pieces.append(inner.tail or "")
    return "".join(pieces)


def _count(said: str | None) -> int:
    return min(int(said), _MOST_BLANK_ROWS) if said is not None and said.isascii() and said.isdecimal() else 1
