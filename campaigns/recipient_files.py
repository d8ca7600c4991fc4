"""Opens a file of recipients, whatever it is: CSV, JSON lines, either of them gzipped, .xlsx, .ods.

Any other file is refused with one sentence that says what it is and how to mend it.
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from tempfile import TemporaryFile

from campaigns.domain.blocks import Block, Row, in_blocks
from campaigns.domain.columns import Columns, ColumnTrouble
from campaigns.domain.errors import SubmissionError
from campaigns.domain.recipients import read_recipients
from campaigns.sheets import Sheet, SheetTrouble, open_sheet

_SLICE_BYTES = 65_536  # read at once
_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_SYLK = "is a SYLK table: save it as CSV or .xlsx"
_MARKUP = "is a web page or XML, perhaps by the name of .xls: open it and save it as CSV or .xlsx"
# How files begin that people take for a list of recipients, and what to do with each.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (
        b"\xd0\xcf\x11\xe0",
        "is a workbook of Excel before 2007 (.xls), or has a password: save it as .xlsx without one",
    ),
    (b"%PDF", "is a PDF: save the table it was made from as CSV or .xlsx"),
    (b"{\\rtf", "is a text with formats (RTF): save it as plain text"),
    (b"BEGIN:VCARD", "holds address cards (vCard): export the contacts as CSV"),
    (b"ID;PWXL", _SYLK),  # not `ID;P` alone: that may be the columns ID and Phone
    (b"ID;PSCALC", _SYLK),
    (b"<!DOCTYPE", _MARKUP),
    (b"<html", _MARKUP),
    (b"<HTML", _MARKUP),
    (b"<?xml", _MARKUP),
    (b"<table", _MARKUP),
    (b"<meta", _MARKUP),
    (b"PAR1", "is a Parquet file: export it as CSV"),
    (b"SQLite format 3", "is a SQLite database: export the table as CSV"),
    (b"BZh", "is compressed with bzip2: unpack it first, or use gzip"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it first, or use gzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first, or use gzip"),
    (b"7z\xbc\xaf", "is a 7-Zip archive: unpack it first"),
    (b"Rar!", "is a RAR archive: unpack it first"),
    (b"PK\x05\x06", "is an empty archive"),
    (b"\x89PNG", "is a picture: recipients are read from text"),
    (b"\xff\xd8\xff", "is a picture: recipients are read from text"),
)
_LONGEST_MARK = 16  # bytes at the beginning that tell one kind of file from another


class RecipientFile:
    """The recipients of one file, to be iterated over once, in blocks. `note`: what a person should hear, or
    None.
    """

    def __init__(self, blocks: Iterable[Block], note: str | None = None) -> None:
        self._blocks = blocks
        self.note = note

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)


@contextmanager
def open_recipients(
    pieces: Iterable[bytes], name: str, *, sheet: str | None = None
) -> Iterator[RecipientFile]:
    """The recipients in a file, read as it goes, for the length of the block.

    Takes its bytes in pieces of any size, `name` for messages and `sheet`, the sheet of a workbook (None: its
    first). Rows are counted as a person sees them. Raises SubmissionError, also while reading, as
    `read_recipients` does. A workbook is copied to a temporary file: its list of contents is at its end.
    """
    head, pieces = _peeked(iter(pieces))
    if head.startswith(_GZIP):
        head, pieces = _peeked(_unpacked(pieces, name))
    _check_kind(head, name)
    if not head.startswith(_ZIP):
        if sheet is not None:
            raise SubmissionError(f"{name} has no sheets: it is not a workbook; leave --sheet out")
        yield RecipientFile(read_recipients(pieces, format=None, name=name))
        return
    with TemporaryFile() as copy:
        for piece in pieces:
            copy.write(piece)
        copy.seek(0)
        try:
            with open_sheet(copy, sheet) as opened:
                yield RecipientFile(in_blocks(_rows_of(opened, name)), opened.note)
        except SheetTrouble as trouble:
            raise SubmissionError(f"{name} {trouble}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SubmissionError(f"{name} is a damaged archive: save or copy it again") from error


def _peeked(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The beginning, and all of it."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _LONGEST_MARK:
            break
    return head, chain((head,), pieces)


def _unpacked(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(mode="rb", fileobj=_Pieces(pieces)) as file:
            yield from iter(lambda: file.read(_SLICE_BYTES), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SubmissionError(
            f"{name} is damaged: its gzip data cannot be read to the end; copy it again"
        ) from error


class _Pieces(BytesIO):
    """Pieces of bytes as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._source = pieces
        self._held = b""

    def read(self, size: int | None = -1) -> bytes:
        size = -1 if size is None else size
        while size < 0 or len(self._held) < size:
            piece = next(self._source, b"")
            if not piece:
                break
            self._held += piece
        size = len(self._held) if size < 0 else size
        given, self._held = self._held[:size], self._held[size:]
        return given


def _check_kind(head: bytes, name: str) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, what in _OTHERS:
        if start.startswith(mark):
            raise SubmissionError(f"{name} {what}")


def _rows_of(sheet: Sheet, name: str) -> Iterator[Row]:
    header: Columns | None = None
    found = False
    row = 0
    try:
        for row, cells in sheet.rows:
            if header is None:
                if any(cell.strip() for cell in cells):
                    header = Columns(cells)
            elif (fields := header.fields(cells)) is not None:
                found = True
                yield row, fields
    except ColumnTrouble as trouble:
        raise SubmissionError(f"{name}, row {row}: {trouble}") from None
    except SheetTrouble as trouble:
        raise SubmissionError(f"{name} {trouble}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SubmissionError(f"{name} is a damaged archive: save or copy it again") from error
    if header is None:
        raise SubmissionError(f"{name} is empty; send a file with a row for each recipient")
    if not found:
        raise SubmissionError(f"{name} has a header but no recipients; add a row for each")
