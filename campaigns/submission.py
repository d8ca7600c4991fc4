"""Takes a campaign in: normalise, dedupe, suppress, render, persist; once per submission key.

Rows stream through in portions, memory stays flat; nothing is visible before everything is stored.
A row that cannot be sent to is refused with its number and reason; what makes the whole submission
doubtful (a missing column, a torn row) is an error, and nothing is stored.
"""

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, get_args
from uuid import uuid4

from campaigns.domain.errors import SubmissionError, is_harmless, listed_columns, shown_column
from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, is_region, normalise
from campaigns.domain.policy import Policy
from campaigns.domain.schedule import ALWAYS, Schedule, check_schedule
from campaigns.domain.segments import count_segments
from campaigns.domain.text import MissingColumn, Template, TemplateError
from campaigns.store import intake
from campaigns.store import suppression as suppressions
from campaigns.store.intake import NewCampaign, NobodyToSendTo, StagedRecipient, TakenIn
from campaigns.store.session import Database

MAX_SEGMENT_COUNT = 10
"""A longer text is a mistake more often than a wish; each recipient of one is refused."""

_MOST_CHARACTERS = MAX_SEGMENT_COUNT * 153  # more of them need more segments in any encoding

# Rows are held in portions bounded by both: wide rows must not cost more memory than many. Many rows, for
# storing a portion waits three times until the thread that cleans the next lets go of the interpreter.
_PORTION_ROWS = 10_000
_PORTION_CHARACTERS = 4_000_000

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of surrogate pairs: no database keeps them
_as_json = json.JSONEncoder(ensure_ascii=False).encode
_MOST_BITS = 1024  # of a whole number: more is nobody's, and past 4300 digits Python writes none out

REASONS: dict[str, str] = {
    **PHONE_REASONS,
    "duplicate": "the same number stands in an earlier row; it is sent to once",
    "empty_text": "the text is empty for this recipient; fill the columns it uses",
    "text_too_long": f"the text needs more than {MAX_SEGMENT_COUNT} segments for this recipient; shorten it",
    "nul_character": "a NUL character stands in this row; remove it",
    "broken_character": "half a character (a lone surrogate) stands in this row; write it anew",
}
"""Why a recipient is not taken in: word -> one sentence that says how to mend it."""


OnDoubt = Literal["hold", "resend"]
"""What becomes of messages in doubt: wait for evidence, a person or the deadline; or send again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody wants sent. `text` may hold {column} placeholders; `region` (ISO 3166) is where
    numbers without a country code are at home. `sender_id` is None where the provider takes none. Without
    a key, a campaign of the same content within `once_within_seconds` is the one meant.
    """

    account: str
    text: str = field(repr=False)
    sender_id: str | None
    name: str
    submission_key: str | None = None
    phone_column: str = "phone"
    region: str | None = None
    currency: str | None = None
    on_doubt: OnDoubt = "hold"
    schedule: Schedule = ALWAYS
    once_within_seconds: float | None = None


async def submit(
    database: Database,
    policy: Policy,
    submission: Submission,
    rows: Iterable[tuple[int, Mapping[str, str]]],
    *,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> TakenIn:
    """Take a campaign in, whole or not at all.

    Takes rows as (row number as a person counts, column -> text), read once, in a thread beside the loop.
    Gives the campaign; for a key that was used before with the same content, the one it made then (`created`
    is False). `progress` hears how many rows were read. Raises SubmissionError, with nothing stored.
    """
    _check(submission)
    try:
        cleaner = _Cleaner(submission)
    except TemplateError as error:
        raise SubmissionError(f"the text cannot be used: {error}") from error
    portions = cleaner.portions(rows)
    # Most of what is wrong with a file shows in its first rows: that costs no connection.
    portion = await asyncio.to_thread(_next, portions)
    if portion is None:
        raise SubmissionError("there are no recipients in it; give at least one row")
    # The next one is cleaned while this one is stored: never more than two are held.
    cleaning = asyncio.create_task(asyncio.to_thread(_next, portions))
    try:
        async with intake.intake(database) as door:
            while portion is not None:
                await door.add(portion.recipients, portion.refusals)
                if progress is not None:
                    progress(portion.row_count)
                portion = await cleaning
                if portion is not None:
                    cleaning = asyncio.create_task(asyncio.to_thread(_next, portions))
            campaign = NewCampaign(
                id=uuid4(),
                name=submission.name,
                account=submission.account,
                sender_id=submission.sender_id or "",
                text=submission.text if not cleaner.is_plain else cleaner.plain_text,
                submission_key=submission.submission_key,
                content_hash=cleaner.content_hash(),
                currency=submission.currency,
                give_up_seconds=policy.give_up_seconds,
                on_doubt=submission.on_doubt,
                schedule=submission.schedule,
                once_within_seconds=submission.once_within_seconds,
            )
            return await door.accept(campaign, batch_size=batch_size)
    except NobodyToSendTo as nobody:
        raise SubmissionError(_nobody(cleaner, nobody.refused)) from nobody
    except Exception:
        # Once this has raised nobody reads the rows any more: the caller may close their file.
        await asyncio.gather(cleaning, return_exceptions=True)
        raise
    except BaseException:
        cleaning.cancel()
        raise


def _next(portions: Iterator["_Portion"]) -> "_Portion | None":
    try:
        return next(portions, None)
    except OSError as error:  # said here: further out it would be taken for the database's
        raise SubmissionError(f"the recipients cannot be read to their end: {error.strerror}") from error


def rows_of(recipients: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows out of a list another program made: numbered from 1, scalars as text, null as nothing.

    Raises SubmissionError when it is no list, and at the first recipient that is not an object of scalars.
    """
    if not isinstance(recipients, list | tuple):
        raise SubmissionError("the recipients are no list; give a list of objects such as {'phone': '…'}")
    for row, recipient in enumerate(recipients, 1):
        if not isinstance(recipient, Mapping):
            raise SubmissionError(f"recipient {row} is not an object; give objects such as {{'phone': '…'}}")
        for place, (name, value) in enumerate(recipient.items(), 1):
            if not isinstance(name, str):  # 7 and "7" would become one field, and one of them be lost
                raise SubmissionError(f"recipient {row}: the name of field {place} is no text; give text")
            if not _is_plain(value):
                raise SubmissionError(
                    f"recipient {row}: the field {shown_column(name, place)} holds no plain value; "
                    "give text or a number"
                )
        yield row, {name: _as_text(value) for name, value in recipient.items()}


def _is_plain(value: object) -> bool:
    match value:
        case None | bool() | str():
            return True
        case int():
            return value.bit_length() <= _MOST_BITS
        case float():
            return math.isfinite(value)
        case _:
            return False


def _as_text(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


async def suppress(database: Database, raw_phones: Sequence[str], region: str | None, reason: str) -> int:
    """Put numbers on the suppression list: nothing that has not left yet is sent to them. Gives how many are
    new. Raises SubmissionError when one cannot be read, and then stores none.
    """
    _check_storable("reason", reason)
    return await suppressions.suppress(database, _phones(raw_phones, region), reason)


async def unsuppress(database: Database, raw_phones: Sequence[str], region: str | None) -> int:
    """Take numbers off the suppression list. Gives how many stood on it."""
    return await suppressions.unsuppress(database, _phones(raw_phones, region))


async def suppressed(database: Database) -> list[tuple[str, str, datetime]]:
    """The suppression list as (phone, reason, since), oldest first."""
    return await suppressions.suppressed(database)


def _phones(raw_phones: Sequence[str], region: str | None) -> list[str]:
    _check_region(region)
    phones = []
    for place, raw in enumerate(raw_phones, 1):
        try:
            phones.append(normalise(raw, region))
        except InvalidPhone as error:
            raise SubmissionError(f"number {place}: {PHONE_REASONS[error.reason]}") from error
    return phones


def _check(submission: Submission) -> None:
    _check_region(submission.region)
    if submission.on_doubt not in get_args(OnDoubt):
        raise SubmissionError("on_doubt must be hold or resend")
    check_schedule(submission.schedule, datetime.now(UTC))
    for name, value in (
        ("text", submission.text),
        ("sender id", "" if submission.sender_id is None else submission.sender_id),
        ("name", submission.name),
        ("account", submission.account),
        ("phone column", submission.phone_column),
        ("submission key", "" if submission.submission_key is None else submission.submission_key),
        ("currency", "" if submission.currency is None else submission.currency),
    ):
        _check_storable(name, value)
    if not submission.text.strip():
        raise SubmissionError("the text is empty; give the words to be sent")
    if submission.sender_id is not None and not submission.sender_id.strip():
        raise SubmissionError("there is no sender id; give one, or set the account's SENDER_ID")
    if submission.submission_key is not None and not 0 < len(submission.submission_key) <= 200:
        raise SubmissionError("the submission key must have 1 to 200 characters")


def _check_region(region: str | None) -> None:
    if region is not None and not (isinstance(region, str) and is_region(region)):
        shown = repr(region) if isinstance(region, str) and is_harmless(region) else "what is given"
        raise SubmissionError(f"{shown} is no region; give a two-letter country code such as LT or DE")


def _check_storable(name: str, value: str) -> None:
    if not isinstance(value, str):  # other programs are not held to our types
        raise SubmissionError(f"the {name} is no text; give text")
    if _UNSTORABLE.search(value):
        raise SubmissionError(
            f"the {name} holds a NUL character or half a character (a lone surrogate); write it anew"
        )


def _nobody(cleaner: "_Cleaner", refused: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
    row, reason = cleaner.first_refusal or (0, "duplicate")
    return (
        f"not one of the {cleaner.row_count} recipients can be sent to ({reasons}); "
        f"the first is row {row}: {REASONS[reason]}"
    )


@dataclass(frozen=True, slots=True)
class _Portion:
    recipients: Sequence[StagedRecipient]
    refusals: Sequence[tuple[int, str]]
    row_count: int  # read up to its end


class _Cleaner:
    """Turns rows into recipients to be staged, and remembers what they were, for the submission key."""

    def __init__(self, submission: Submission) -> None:
        self._region = submission.region
        self._named_phone_column = submission.phone_column
        self._phone_column = submission.phone_column.strip().casefold()
        self._template = Template(submission.text)
        self.is_plain = self._template.is_plain
        self.plain_text = self._template.render({}) if self.is_plain else ""
        self.row_count = 0
        self.first_refusal: tuple[int, str] | None = None
        self._hash = hashlib.sha256(
            json.dumps(
                [
                    submission.account,
                    submission.sender_id,
                    submission.text,
                    submission.region,
                    submission.on_doubt,
                    self._phone_column,
                    *submission.schedule.words(),
                ]
            ).encode()
        )
        self._cached_count = lru_cache(maxsize=10_000)(lambda text: count_segments(text).count)
        self._plain_segment_count = self._count(self.plain_text) if self.is_plain else 0
        self._bound_for: tuple[str, ...] | None = None
        self._phone_key = ""
        self._own_columns: list[tuple[str, str]] = []
        self._bound = self._template

    def content_hash(self) -> str:
        """What the submission was, over everything that decides what is sent to whom."""
        return self._hash.hexdigest()

    def portions(self, rows: Iterable[tuple[int, Mapping[str, str]]]) -> Iterator[_Portion]:
        recipients: list[StagedRecipient] = []
        refusals: list[tuple[int, str]] = []
        held_characters = 0
        for row, fields in rows:
            self.row_count += 1
            cleaned = self._clean(row, fields)
            if isinstance(cleaned, str):
                refusals.append((row, cleaned))
                if self.first_refusal is None:
                    self.first_refusal = (row, cleaned)
            else:
                recipients.append(cleaned)
                _, _, text, own_json, _ = cleaned
                held_characters += len(text or "") + len(own_json or "")
            if len(recipients) + len(refusals) >= _PORTION_ROWS or held_characters >= _PORTION_CHARACTERS:
                yield _Portion(recipients, refusals, self.row_count)
                recipients, refusals = [], []
                held_characters = 0
        if recipients or refusals:
            yield _Portion(recipients, refusals, self.row_count)

    def _bind(self, row: int, columns: tuple[str, ...]) -> None:
        """Find the columns once for all rows that have the same ones."""
        phone_key = self._find_phone_column(row, columns)
        try:
            self._bound = self._template.bind(columns)
        except TemplateError as error:
            raise SubmissionError(f"the text cannot be used: {error}") from error
        except MissingColumn as error:
            raise SubmissionError(
                f"row {row}: {error} (there is: {listed_columns(columns)}); mend the text or the file"
            ) from error
        self._phone_key = phone_key
        own = (name for name in columns if name != phone_key)
        # What stands in JSON before the value of each column: written out once, not for every row.
        self._own_columns = [(f"{', ' if n else '{'}{_as_json(name)}: ", name) for n, name in enumerate(own)]
        self._bound_for = columns

    def _find_phone_column(self, row: int, columns: tuple[str, ...]) -> str:
        """The column that is called exactly so, else the only one that is so but for case and blanks."""
        if self._named_phone_column in columns:
            return self._named_phone_column
        matches = [name for name in columns if name.strip().casefold() == self._phone_column]
        if len(matches) == 1:
            return matches[0]
        trouble = "has no column" if not matches else f"has {len(matches)} columns that could be"
        named = repr(self._phone_column) if is_harmless(self._phone_column) else "of the given name"
        raise SubmissionError(
            f"row {row} {trouble} {named} for the phone number "
            f"(there is: {listed_columns(columns)}); name the right one with --phone-column"
        )

    def _clean(self, row: int, fields: Mapping[str, str]) -> StagedRecipient | str:
        columns = tuple(fields)
        if columns != self._bound_for:
            self._bind(row, columns)
        raw_phone = fields[self._phone_key]
        own_json = ""
        for before, name in self._own_columns:
            own_json += before + _as_json(fields[name])
        if own_json:
            own_json += "}"
        # With its length, for a cell may hold any character: no two submissions read as the same content.
        content = f"\x1e{len(raw_phone)}:{raw_phone}\x1f{own_json}"
        try:
            self._hash.update(content.encode())
        except UnicodeEncodeError:
            self._hash.update(content.encode(errors="surrogatepass"))
            return "broken_character"
        try:
            phone = normalise(raw_phone, self._region)
        except InvalidPhone as error:
            return error.reason
        # The escape is looked for first: it is rare, and may be six characters that somebody typed.
        own_columns = self._own_columns
        if "\\u0000" in own_json and any("\0" in name or "\0" in fields[name] for _, name in own_columns):
            return "nul_character"
        text = None
        segment_count = self._plain_segment_count
        if not self.is_plain:
            text = self._bound.render(fields)
            if not text.strip():
                return "empty_text"
            segment_count = self._count(text)
        if segment_count > MAX_SEGMENT_COUNT:
            return "text_too_long"
        return row, phone, text, own_json or None, segment_count

    def _count(self, text: str) -> int:
        # What is too long anyhow is not counted: the cache must not keep huge texts.
        return self._cached_count(text) if len(text) <= _MOST_CHARACTERS else MAX_SEGMENT_COUNT + 1
