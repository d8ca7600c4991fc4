"""Cleans a submission's rows: each becomes a recipient to be staged, or is refused with its reason.

A row that cannot be sent to is refused with its number; what makes the whole submission doubtful (a missing
column, another program's placeholders) is an error. Nothing is stored here, and nothing is asked of a server.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from json.encoder import encode_basestring

from campaigns.domain.blocks import Block, Row
from campaigns.domain.errors import SubmissionError, is_harmless, listed_columns
from campaigns.domain.foreign_placeholders import find_foreign_placeholders, names_of, sentence
from campaigns.domain.phone import (
    PHONE_REASONS,
    READ_WITH_PLUS,
    REFUSED_KINDS,
    InvalidPhone,
    are_all_mobile,
    recognise,
)
from campaigns.domain.segments import count_segments, plain_saving
from campaigns.domain.text import EmptyCell, MissingColumn, RenderedTooLong, Template, TemplateError
from campaigns.domain.visible import column_key, visible

MAX_SEGMENT_COUNT = 10
"""A longer text is a mistake more often than a wish; each recipient of one is refused."""

MAX_OWN_COLUMNS = 200
"""Of all rows of a submission together: an export has a column for each."""

_MOST_CHARACTERS = MAX_SEGMENT_COUNT * 153  # more of them need more segments in any encoding
_MOST_COSTLY_SHOWN = 12  # characters outside the GSM alphabet that are named

# Rows are held in portions bounded by both: wide rows must not cost more memory than many. Many rows, for
# storing a portion waits three times until the thread that cleans the next lets go of the interpreter.
_PORTION_ROWS = 10_000
_PORTION_CHARACTERS = 4_000_000  # of the texts in one portion

_as_json: Callable[[str], str] = (
    encode_basestring  # as `json.dumps` with ensure_ascii=False, for a text alone
)

REASONS: dict[str, str] = {
    **PHONE_REASONS,
    **{
        kind: f"this is {what}: allow such numbers with --allow-kind {kind} if you mean to text them"
        for kind, what in REFUSED_KINDS.items()
    },
    "not_mobile": "this cannot be a mobile phone, and the submission wants those only",
    "duplicate": "the same number stands in an earlier row; it is sent to once",
    "empty_cell": "a column that the text uses is empty here; fill it in, or give a default: {name|friend}",
    "empty_text": "the text is empty for this recipient; fill the columns it uses",
    "text_too_long": f"the text needs more than {MAX_SEGMENT_COUNT} segments for this recipient; shorten it",
    "nul_character": "a NUL character stands in this row; remove it",
    "broken_character": "half a character (a lone surrogate) stands in this row; write it anew",
}
"""Why a recipient is not taken in: code -> one sentence that says how to mend it."""

NOTES: dict[str, str] = {
    **{kind: f"numbers of the kind {kind} are sent to, as allowed" for kind in REFUSED_KINDS},
    "fixed_line": "can only be fixed lines, which mostly get no SMS; --mobile-only leaves them out",
    "voip": "are Internet telephones, which may get no SMS; --mobile-only leaves them out",
    READ_WITH_PLUS: "were read as if they had a + before their country code",
    "costly_text": "texts need more segments for a few characters outside the GSM alphabet",
}
"""What was taken in and is worth a look: code -> one sentence on the rows counted by it."""

StagedRecipient = tuple[int, str, str | None, str | None, int]
"""A recipient that may be sent to, before duplicates and suppressions are known: its row, its phone, its
text (None: the campaign's own), the JSON object of its own columns (None: it has none), its segments.
A bare tuple, as the driver wants it: there are a million of them.
"""

Refused = tuple[int, str, str | None]
"""A recipient that is not taken in: its row, why (a key of `REASONS`), and the column it is about, if any."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What became of some thousand rows; `row_count` were read up to its end. `refused_fields`: the cells of
    the refused ones, beside `refusals`, where the cleaner keeps them.
    """

    recipients: Sequence[StagedRecipient]
    refusals: Sequence[Refused]
    row_count: int
    refused_fields: Sequence[Mapping[str, str]] = ()
    is_last: bool = False  # else there may be more


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows are cleaned for. `identity`: what else decides what is sent to whom, for the content hash."""

    text: str = field(repr=False)
    region: str | None
    phone_column: str
    identity: Sequence[object]
    allow_kinds: frozenset[str] = frozenset()
    is_mobile_only: bool = False
    is_literal: bool = False


@dataclass(slots=True)
class Costly:
    """Characters that make texts need more segments, as far as met; how many fewer segments without them."""

    characters: dict[str, None] = field(default_factory=dict)
    saved_segment_count: int = 0


@dataclass(slots=True)
class _Held:
    """The portion that is being made."""

    recipients: list[StagedRecipient] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    refused_fields: list[Mapping[str, str]] = field(default_factory=list)
    character_count: int = 0

    @property
    def row_count(self) -> int:
        return len(self.recipients) + len(self.refusals)

    @property
    def is_full(self) -> bool:
        return self.row_count >= _PORTION_ROWS or self.character_count >= _PORTION_CHARACTERS

    def portion(self, row_count: int, *, is_last: bool = False) -> Portion:
        return Portion(self.recipients, self.refusals, row_count, self.refused_fields, is_last)


class _Unsendable(Exception):
    """This row cannot be sent to."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


class Cleaner:
    """Turns rows into recipients to be staged, and remembers what they were, for the submission key.

    `keeps_refused`: its portions hold the cells of refused rows, for a file to mend. Raises TemplateError
    when the text cannot be read.
    """

    def __init__(self, wanted: Wanted, *, keeps_refused: bool = False) -> None:
        self._wanted = wanted
        self._keeps_refused = keeps_refused
        self._region = wanted.region
        self._phone_column = column_key(wanted.phone_column)
        self._template = Template(visible(wanted.text))
        self._foreign = [] if wanted.is_literal else find_foreign_placeholders(wanted.text)
        self.is_plain = self._template.is_plain
        self.plain_text = self._template.render({}) if self.is_plain else ""
        self.row_count = 0
        self.first_refusal: Refused | None = None
        self.noted: Counter[str] = Counter()
        self.costly = Costly()
        self._hash = hashlib.sha256(json.dumps(list(wanted.identity)).encode())
        self._cached_count = lru_cache(maxsize=10_000)(_count)
        self._plain_count = self._count(self.plain_text) if self.is_plain else (0, (), 0)
        self._bound_for: tuple[str, ...] | None = None
        self._phone_key = ""
        self._own_columns: list[tuple[str, str]] = []
        self._own_names: dict[str, bool] = {}  # whether the text uses it
        self._bound = self._template
        self._wrong_kinds = (frozenset(REFUSED_KINDS) - wanted.allow_kinds) | (
            {"fixed_line", "voip"} if wanted.is_mobile_only else frozenset()
        )

    def content_hash(self) -> str:
        """What the submission was as it was given, over everything that decides what is sent to whom."""
        return self._hash.hexdigest()

    def columns(self) -> tuple[list[str], list[str]]:
        """The columns met so far beside the number: all, and those that the text does not use."""
        return [*self._own_names], [name for name, is_used in self._own_names.items() if not is_used]

    def portions(self, blocks: Iterable[Block]) -> Iterator[Portion]:
        """Clean rows as they are read. Raises SubmissionError for what makes all of them doubtful."""
        held = _Held()
        for block in blocks:
            self._clean_block(block, held)
            if held.is_full:
                yield held.portion(self.row_count)
                held = _Held()
        if held.row_count:
            yield held.portion(self.row_count, is_last=True)

    def _clean_block(self, block: Block, held: "_Held") -> None:
        self.row_count += len(block)
        columns = tuple(block.cells)
        if columns != self._bound_for:
            self._bind(block.numbers[0], columns)
        phones = block.cells[self._phone_key]
        jsons = self._own_jsons(block)
        content = _content(phones, jsons)
        # Half a character has no bytes of its own: its row is refused, and still part of what was given.
        self._hash.update(content.encode(errors="surrogatepass"))
        held.character_count += len(content)
        if self._are_all_sendable(phones, content):
            count, _, _ = self._plain_count
            own = jsons if self._own_columns else repeat(None)
            held.recipients.extend(zip(block.numbers, phones, repeat(None), own, repeat(count)))
        else:
            self._clean_each(zip(block, phones, jsons, strict=True), held)

    def _own_jsons(self, block: Block) -> list[str]:
        """The JSON object of each row's own columns, as JSON; empty where there are none."""
        if not self._own_columns:
            return [""] * len(block)
        parts: list[Iterable[str]] = []
        for before, name in self._own_columns:
            parts += repeat(before), map(_as_json, block.cells[name])
        return list(map("".join, zip(*parts, repeat("}"))))

    def _are_all_sendable(self, phones: Sequence[str], content: str) -> bool:
        """Whether each row can surely be sent to as it stands, with one text for all. False: look at each."""
        count, _, saved_count = self._plain_count
        return (
            self.is_plain
            and count <= MAX_SEGMENT_COUNT
            and not saved_count
            and are_all_mobile(phones)
            and "\\u0000" not in content
            and _is_whole(content)
        )

    def _clean_each(self, rows: Iterable[tuple[Row, str, str]], held: "_Held") -> None:
        """Clean rows one by one: each with its phone as given and its own JSON."""
        for (row, fields), raw_phone, own_json in rows:
            try:
                if not _is_whole(raw_phone + own_json):
                    raise _Unsendable("broken_character")
                cleaned = self._clean(row, raw_phone, own_json, fields)
            except _Unsendable as refusal:
                refused = (row, refusal.reason, refusal.column)
                self.first_refusal = self.first_refusal or refused
                held.refusals.append(refused)
                if self._keeps_refused:
                    held.refused_fields.append(fields)
            else:
                held.recipients.append(cleaned)
                if cleaned[2] is not None:
                    held.character_count += len(cleaned[2])

    def _bind(self, row: int, columns: tuple[str, ...]) -> None:
        """Find the columns once for all rows that have the same ones."""
        phone_key = self._find_phone_column(row, columns)
        names = names_of(columns)
        for shown, meant in self._foreign:
            if not names.isdisjoint(meant):
                column = next(name for name in columns if not meant.isdisjoint(names_of([name])))
                raise SubmissionError(sentence(shown, column))
        try:
            self._bound = self._template.bind(columns)
        except TemplateError as error:
            raise SubmissionError(f"the text cannot be used: {error}") from error
        except MissingColumn as error:
            raise SubmissionError(
                f"row {row}: {error} (there is: {listed_columns(columns)}); mend the text or the file"
            ) from error
        self._phone_key = phone_key
        own = [name for name in columns if name != phone_key]
        for name in own:
            self._own_names[name] = self._own_names.get(name, False) or name in self._bound.columns
        if len(self._own_names) > MAX_OWN_COLUMNS:
            raise SubmissionError(
                f"row {row}: with it there are more than {MAX_OWN_COLUMNS} columns beside the number; "
                "leave out those that the text does not use"
            )
        # The JSON before the value of each column: made once, not for every row.
        self._own_columns = [(f"{', ' if n else '{'}{_as_json(name)}: ", name) for n, name in enumerate(own)]
        self._bound_for = columns

    def _find_phone_column(self, row: int, columns: tuple[str, ...]) -> str:
        """The column that is called exactly so, else the only one that is so but for case and blanks."""
        if self._wanted.phone_column in columns:
            return self._wanted.phone_column
        matches = [name for name in columns if column_key(name) == self._phone_column]
        if len(matches) == 1:
            return matches[0]
        trouble = "has no column" if not matches else f"has {len(matches)} columns that could be"
        named = repr(self._phone_column) if is_harmless(self._phone_column) else "of the given name"
        raise SubmissionError(
            f"row {row} {trouble} {named} for the phone number "
            f"(there is: {listed_columns(columns)}); name the right one with --phone-column"
        )

    def _clean(self, row: int, raw_phone: str, own_json: str, fields: Mapping[str, str]) -> StagedRecipient:
        try:
            phone, kind = recognise(raw_phone, self._region)
        except InvalidPhone as error:
            raise _Unsendable(error.reason) from None
        if kind in self._wrong_kinds:
            raise _Unsendable(kind if kind in REFUSED_KINDS else "not_mobile")
        # The escape is looked for first: it is rare, and may be six characters that somebody typed.
        if "\\u0000" in own_json and any(
            "\0" in name or "\0" in fields[name] for _, name in self._own_columns
        ):
            raise _Unsendable("nul_character")
        text = None if self.is_plain else self._rendered(fields)
        segment_count, costly, saved_count = self._plain_count if text is None else self._count(text)
        if segment_count > MAX_SEGMENT_COUNT:
            raise _Unsendable("text_too_long")
        if kind:
            self.noted[kind] += 1
        if saved_count:
            self._note_costly(costly, saved_count)
        return row, phone, text, own_json or None, segment_count

    def _rendered(self, fields: Mapping[str, str]) -> str:
        try:
            text = self._bound.render(fields, most_characters=_MOST_CHARACTERS)
        except RenderedTooLong:
            raise _Unsendable("text_too_long") from None
        except EmptyCell as error:
            raise _Unsendable("empty_cell", error.column) from None
        if not text.strip():
            raise _Unsendable("empty_text")
        return text

    def _note_costly(self, characters: Sequence[str], saved_count: int) -> None:
        self.noted["costly_text"] += 1
        self.costly.saved_segment_count += saved_count
        if len(self.costly.characters) < _MOST_COSTLY_SHOWN:
            self.costly.characters.update(dict.fromkeys(characters))

    def _count(self, text: str) -> tuple[int, tuple[str, ...], int]:
        # What is too long anyhow is not counted: the cache must not keep huge texts.
        if len(text) > _MOST_CHARACTERS:
            return MAX_SEGMENT_COUNT + 1, (), 0
        return self._cached_count(text)


def _count(text: str) -> tuple[int, tuple[str, ...], int]:
    """Segments of a text; the few characters that make it need more, and how many more."""
    return count_segments(text).count, *plain_saving(text)


def _content(phones: Iterable[str], jsons: Iterable[str]) -> str:
    """What rows hold. With lengths, for a cell may hold any character: no two submissions read as the same
    content.
    """
    return "".join([f"\x1e{len(phone)}:{phone}\x1f{own}" for phone, own in zip(phones, jsons, strict=True)])


def _is_whole(text: str) -> bool:
    """Whether no half of a character (a lone surrogate) stands in a text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
