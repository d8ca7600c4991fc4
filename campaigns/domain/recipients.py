"""Reads a file of recipients as it streams in: CSV or JSON lines, whatever program wrote it.

Only what is certain is taken. What is not (an unknown encoding, a quote that never closes, a value under no
column) stops the reading and names the row: a file read askew sends the wrong text to the wrong number.
Cells are data: a formula or markup in one means nothing here. What spreadsheets and databases add of their
own is passed over: `sep=;` (Excel), `#TYPE …` (PowerShell), Ctrl-Z at the end (DOS), marks of byte order.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import chain
from typing import Literal

from campaigns.domain.blocks import BLOCK_ROWS, Block, Row, in_blocks
from campaigns.domain.columns import NULL, Columns, ColumnTrouble
from campaigns.domain.errors import SubmissionError, is_harmless
from campaigns.domain.unstorable import UNSTORABLE_CHARACTERS

MAX_CELL_CHARACTERS = 100_000  # a longer cell is refused
MAX_ROW_CHARACTERS = 1_000_000  # also bounds what the reader holds in memory

Format = Literal["csv", "jsonl"]
_SLICE_BYTES = 65_536  # under MAX_CELL_CHARACTERS: a cell above that cannot lie within one slice
_DELIMITERS = ",;\t|"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16 LE, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)  # what Excel itself reads in a first line
_TYPE = re.compile(r'"?#TYPE\s')  # PowerShell's Export-Csv
_END_OF_FILE = "\x1a"  # DOS programs still write it
_SHORTEST_UTF16 = 8  # bytes: below it NULs say nothing of an encoding
_QUOTED = re.compile(r'"[^"]*"?')

_CELL_TOO_LONG = f"a cell is longer than {MAX_CELL_CHARACTERS} characters; is a closing quote missing?"
_ROW_TOO_LONG = f"the row is longer than {MAX_ROW_CHARACTERS} characters; is a closing quote missing?"
_BAD_QUOTES = (
    "a quoted cell does not end where it should; "
    'close it with a quote and write each quote inside it twice ("")'
)
_NOT_UTF8 = 'the text is not UTF-8; save the file as "CSV UTF-8" or with a byte order mark, and send it again'
_NOT_UTF16 = "the text is not the UTF-16 it begins as; save the file as UTF-8"
_NUL = "there is a NUL character; the file is damaged: save it as UTF-8"
_NO_OBJECT = 'each line must be one JSON object of names and values, such as {"phone": "+37060000000"}'
_ARRAY = "this is a JSON array; write each object on a line of its own, without the brackets and commas"
_TWICE = "an object names a field twice; keep one of them"
_NOT_A_NUMBER = "NaN and Infinity are not JSON; write a text or null"
_UNNAMED = "a field has no name; name it or take it out"
_UNSTORABLE_ESCAPE = "a text holds an escape that is no character (\\u0000 or half of a pair); take it out"


def read_recipients(
    chunks: Iterable[bytes],
    *,
    format: Format | None,  # noqa: A002  the word people say; the builtin is not wanted here
    name: str,
) -> "RecipientReader":
    """Open a file of recipients, to be read once and in order.

    Takes the file's bytes in pieces of any size; its `format`, None to tell it by the first character
    that is not blank ("{" is JSON lines); its `name` for messages. UTF-8 with or without byte order
    mark, UTF-16, UTF-32 with one. CSV: the first row names the columns; the most frequent of comma,
    semicolon, tab and | in it is the delimiter; a quoted cell may hold line breaks; lines end in any way.
    JSON lines: an object a line; numbers keep their digits, true and false stay words, null is empty.

    Gives a reader of blocks of rows. Rows are counted as a person sees them in the file, from 1 with the
    header; blank ones are counted and skipped.

    Raises SubmissionError, here (nothing in it, a header that cannot serve) and while reading, after the rows
    before: one sentence with the row and how to mend it, never with what a cell holds. Promises: holds
    two slices of the file and one row in memory, whatever the file's size; takes from `chunks` only as it
    goes on.
    """
    return RecipientReader(chunks, format, name)


class RecipientReader:
    """The recipients of one file: iterate over it once, in one thread. Made by `read_recipients`."""

    format: Format
    columns: tuple[str, ...] | None
    """CSV: the header, trimmed. JSON lines: the fields of the first object, None before it is read."""

    def __init__(self, chunks: Iterable[bytes], format_: Format | None, name: str) -> None:
        self.columns = None
        self._name = name
        self._row = 1  # the one being read: what any trouble is about
        self._lines = _Lines(chunks)
        try:
            first = self._find_first_line()
            self.format = format_ or _guess_format(first)
            if self.format == "csv":
                delimiter = None
                while (said := _SEPARATOR.fullmatch(first)) or _TYPE.match(first):
                    delimiter = said[1] if said else delimiter
                    next(self._lines.rest)
                    self._row += 1
                    first = self._find_first_line()
                # strict: else csv guesses at stray quotes, and one that is missing swallows rows unseen.
                self._cells: Iterator[list[str]] = csv.reader(
                    self._lines.rest, delimiter=delimiter or _guess_delimiter(first), strict=True
                )
                self._header = Columns(next(self._cells))
                self.columns = self._header.names
                self._row += 1
        except (_Unreadable, ColumnTrouble, csv.Error) as trouble:
            raise self._refusal(trouble) from None
        self._blocks = self._read_csv(self._header) if self.format == "csv" else in_blocks(self._read_jsonl())

    def __iter__(self) -> Iterator[Block]:
        return self._blocks

    def _find_first_line(self) -> str:
        for line in self._lines.rest:
            self._lines.fetched = 0
            if line.strip():
                self._lines.rest = chain((line,), self._lines.rest)
                return line
            self._row += 1
        raise SubmissionError(f"{self._name} is empty; send a file with a row for each recipient")

    def _read_csv(self, header: Columns) -> Iterator[Block]:
        found = False
        for rows, trouble in self._raw_blocks():
            if (whole := self._whole(header, rows)) is not None:
                blocks: Iterable[Block] = (whole,)
            else:
                blocks = in_blocks(self._read_each(header, rows))
            for block in blocks:
                found = True
                yield block
            if trouble is not None:
                raise self._refusal(trouble) from None
        if not found:
            raise SubmissionError(f"{self._name} has a header but no recipients; add a row for each")

    def _raw_blocks(self) -> Iterator[tuple[list[list[str]], Exception | None]]:
        """Cells as they are written; after what could be read the reason why no more can. A block ends with
        a slice: else a hundred wide rows may be 100 MB.
        """
        lines = self._lines
        held: list[list[str]] = []
        try:
            for cells in self._cells:
                if not lines.fetched:
                    held.append(cells)
                    if len(held) < BLOCK_ROWS:
                        continue
                else:  # only then can the row have outgrown a slice
                    lines.fetched = 0
                    if any(len(cell) > MAX_CELL_CHARACTERS for cell in cells):
                        raise _Unreadable(_CELL_TOO_LONG)
                    held.append(cells)
                yield held, None
                held = []
        except (_Unreadable, csv.Error) as error:
            trouble: Exception | None = error
        else:
            trouble = None
        yield held, trouble

    def _whole(self, header: Columns, rows: Sequence[Sequence[str]]) -> Block | None:
        """The block of rows that all have a cell for each column and need no look. None: look at each."""
        if not rows or header.has_gaps or {*map(len, rows)} != {header.width}:
            return None
        columns = list(zip(*rows, strict=True))
        if not all(map(str.strip, columns[0])) or any(NULL in cells for cells in columns):
            return None
        first, self._row = self._row, self._row + len(rows)
        return Block(range(first, self._row), dict(zip(header.names, columns, strict=True)))

    def _read_each(self, header: Columns, rows: Iterable[Sequence[str]]) -> Iterator[Row]:
        for cells in rows:
            try:
                fields = header.fields(cells)
            except ColumnTrouble as trouble:
                raise self._refusal(trouble) from None
            if fields is not None:
                yield self._row, fields
            self._row += 1

    def _read_jsonl(self) -> Iterator[Row]:
        try:
            for line in self._lines.rest:
                self._lines.fetched = 0
                if line.strip():
                    fields = _read_object(line)
                    if self.columns is None:
                        self.columns = tuple(fields)
                    yield self._row, fields
                self._row += 1
        except _Unreadable as trouble:
            raise self._refusal(trouble) from None

    def _refusal(self, trouble: Exception) -> SubmissionError:
        what = str(trouble)
        if isinstance(trouble, csv.Error):
            what = _CELL_TOO_LONG if "field limit" in what else _BAD_QUOTES
        return SubmissionError(f"{self._name}, row {self._row}: {what}")


class _Unreadable(Exception):
    """Why the row being read cannot be: a sentence that quotes nothing. Raised outside `except`, so that
    it does not drag along an error that holds the file's bytes."""


class _Lines:
    """A file's text, line by line, with the line ends as they are (quoted cells keep theirs)."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.fetched = 0  # characters since the reader, having a row whole, last set it to 0
        self.rest: Iterator[str] = chain.from_iterable(self._fetch(chunks))

    def _fetch(self, chunks: Iterable[bytes]) -> Iterator[list[str]]:
        unfinished = ""
        for text, trouble in _decode(_slices(chunks)):
            lines = StringIO(unfinished + text, newline="").readlines()
            unfinished = ""
            # The last may go on; a \r may be the first half of \r\n.
            if lines and (trouble is None or not lines[-1].endswith(("\r", "\n"))):
                unfinished = lines.pop()
            self.fetched += len(text)
            yield lines
            if trouble is not None:
                raise _Unreadable(trouble)
            if self.fetched > MAX_ROW_CHARACTERS:
                raise _Unreadable(_ROW_TOO_LONG)
        if unfinished := unfinished.rstrip(_END_OF_FILE):
            yield [unfinished]


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in even pieces: neither a chunk of a gigabyte nor one of a byte costs more."""
    held = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE_BYTES):
            held += chunk[start : start + _SLICE_BYTES]
            if len(held) >= _SLICE_BYTES:
                yield bytes(held[:_SLICE_BYTES])
                del held[:_SLICE_BYTES]
    if held:
        yield bytes(held)


def _decode(slices: Iterator[bytes]) -> Iterator[tuple[str, str | None]]:
    """The text, and after what could be read the reason why no more can."""
    head = next(slices, b"")
    marked = (pair for pair in _BYTE_ORDER_MARKS if head.startswith(pair[0]))
    mark, encoding = next(marked, (b"", _unmarked_encoding(head)))
    decoder = codecs.getincrementaldecoder(encoding)()
    is_first = True
    for piece in chain((head[len(mark) :],), slices, (b"",)):
        trouble = None
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode(encoding)
            trouble = _NOT_UTF8 if encoding == "utf-8" else _NOT_UTF16
        if is_first:  # some programs mark the order of bytes twice
            text, is_first = text.lstrip("\ufeff"), not text
        nul = text.find("\0")
        if nul >= 0:
            text = text[:nul]
            trouble = _NUL
        yield text, trouble
        if trouble is not None:
            return


def _unmarked_encoding(head: bytes) -> str:
    """UTF-16 where every second byte of the beginning is zero, as SQL Server's bcp writes it; else UTF-8."""
    even, odd = head[0:64:2], head[1:64:2]
    if len(head) >= _SHORTEST_UTF16 and even and not any(odd) and all(even):
        return "utf-16-le"
    if len(head) >= _SHORTEST_UTF16 and odd and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8"


def _guess_format(first_line: str) -> Format:
    start = first_line.strip()
    if start[0] == "[" and start[1:].strip()[:1] in {"", "{"}:
        raise _Unreadable(_ARRAY)
    return "jsonl" if start[0] == "{" else "csv"


def _guess_delimiter(first_line: str) -> str:
    bare = _QUOTED.sub("", first_line)
    return max(_DELIMITERS, key=bare.count)  # the first of equals: a single column takes the comma


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Unreadable(_TWICE)
    return fields


def _refuse_constant(_: str) -> str:
    raise _Unreadable(_NOT_A_NUMBER)


_JSON = json.JSONDecoder(
    object_pairs_hook=_fields, parse_int=str, parse_float=str, parse_constant=_refuse_constant
)


def _read_object(line: str) -> dict[str, str]:
    """One line of JSON lines as texts by field."""
    trouble = ""
    found: object = None
    try:
        found = _JSON.decode(line.rstrip("\r\n"))  # else an error at its end is "character 1" of nothing
    except json.JSONDecodeError as error:
        trouble = f"this is not JSON at character {error.colno}; "
    except RecursionError:
        trouble = "lists or objects are nested too deep; "
    if not isinstance(found, dict):
        raise _Unreadable(trouble + _NO_OBJECT)
    fields: dict[str, str] = found
    for position, (field, value) in enumerate(found.items(), start=1):
        if type(value) is not str:
            fields[field] = _text(value, field, position)
    if "" in fields:
        raise _Unreadable(_UNNAMED)
    if len(line) > MAX_CELL_CHARACTERS and any(len(text) > MAX_CELL_CHARACTERS for text in fields.values()):
        raise _Unreadable(_CELL_TOO_LONG)
    if "\\u" in line and any(map(UNSTORABLE_CHARACTERS.search, chain(fields, fields.values()))):
        raise _Unreadable(_UNSTORABLE_ESCAPE)
    return fields


def _text(value: object, field: str, position: int) -> str:
    """A value that is no text as one. Numbers come as texts already."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = field if is_harmless(field) else position
    raise _Unreadable(f"the field {shown} holds a list or an object; write one text or number")
