"""A form with recipients on its way in: their file is read as it comes, after the form's token was looked at.

What is chosen here is a draft: it is never kept. The check is sent the file, and so is the submission, with
the hash of what was checked; another content is refused.
"""

import hmac
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain

from campaigns.domain.blocks import Block
from campaigns.domain.errors import CampaignError, SubmissionError
from campaigns.domain.recipients import Format, read_recipients
from campaigns.domain.visible import column_key
from campaigns.submission import Submission
from worker.web.api.forms import SentForm, read_form
from worker.web.api.operations import Call, Rate
from worker.web.api.problems import Refused
from worker.web.api.serving import go_on, refusal_of
from worker.web.api.submitting import (
    LARGE,
    Coming,
    KeyHeader,
    format_of,
    refusal_of_upload,
    slot,
    told_of,
    wanted_of,
)
from worker.web.pages.frame import Visit
from worker.web.pages.sessions import TOKEN, ForeignForm
from worker.web.uploads import UploadFailed

OPTIONS = (
    "account",
    "text",
    "name",
    "sender_id",
    "phone_column",
    "region",
    "on_doubt",
    "send_at",
    "not_after",
    "mobile_only",
    "literal",
)
"""Fields of a form that are fields of a submission."""

_MOMENTS = frozenset({"send_at", "not_after"})
_PICKED_CHARACTERS = len("2026-12-01T09:30")
_PHONE_COLUMNS = (
    "phone",
    "phone number",
    "mobile",
    "mobile number",
    "mobile phone",
    "msisdn",
    "number",
    "tel",
    "telephone",
    "cell",
    "gsm",
    "recipient",
    "telefonas",
    "telefono numeris",
    "tel nr",
    "mobilus",
    "numeris",
    "telefon",
    "handy",
)
"""What columns of numbers are called, the surest first. Only as a whole: `total` holds `to`."""


@dataclass
class Draft:
    """What somebody filled in, as text; and, once the file began to come, its columns."""

    fields: dict[str, str]
    columns: tuple[str, ...] = ()
    file: SentForm | None = field(default=None, repr=False)

    def get(self, name: str) -> str:
        """A field, or nothing."""
        return self.fields.get(name, "")


def guess(columns: Iterable[str]) -> str | None:
    """The column that holds the numbers, where its name says so or there is one alone."""
    found = {_plain(column): column for column in columns}
    if len(found) == 1:
        return next(iter(found.values()))
    return next((found[name] for name in _PHONE_COLUMNS if name in found), None)


def _plain(column: str) -> str:
    return " ".join("".join(each if each.isalnum() else " " for each in column_key(column)).split())


def columns_of(beginning: bytes) -> tuple[str, ...]:
    """The columns of a file, by how it begins; none where that cannot be told."""
    try:
        reader = read_recipients([beginning], format=None, name="the file")
        if reader.columns is None:
            next(iter(reader), None)
    except SubmissionError:
        return ()
    return reader.columns or ()


@asynccontextmanager
async def reading(visit: Visit) -> AsyncIterator[Draft]:
    """What was sent, up to its file, for the length of the block. Raises Refused, ForeignForm."""
    form: SentForm | None = None

    def look(fields: Mapping[str, object]) -> None:
        if not hmac.compare_digest(visit.token, str(fields.get(TOKEN, ""))):
            raise ForeignForm

    if visit.request.content_type != "multipart/form-data":
        raise ForeignForm
    try:
        async with slot(call_of(visit)):
            await go_on(visit.request)
            form = await read_form(visit.request, visit.request.app[LARGE], look)
            fields = {name: _read(value) for name, value in form.fields.items() if name != TOKEN}
            yield Draft(fields, file=form)
    except UploadFailed as failed:
        raise refusal_of_upload(failed) from None
    except CampaignError as error:
        raise refusal_of(visit.request.path, error) from None
    finally:
        if form is not None:
            form.file.give_up()


def _read(value: object) -> str:
    # Browsers send each line break as two characters, of which phones would be sent both.
    return str(value).replace("\r\n", "\n").strip()


async def beginning(draft: Draft) -> bytes:
    """The first piece of the file. Raises UploadFailed."""
    assert draft.file is not None  # noqa: S101  `reading` gave it
    return await draft.file.file.next()


async def recipients(visit: Visit, draft: Draft) -> tuple[Submission, Coming]:
    """What is to be sent and to whom: typed numbers, else the file, to be read once.

    Which column holds the numbers is guessed where it is not chosen. Raises Refused, SubmissionError,
    UploadFailed.
    """
    assert draft.file is not None  # noqa: S101  `reading` gave it
    call = call_of(visit)
    visit.serving.count(Rate.SUBMIT, visit.caller)
    file_format: Format | None = None
    if typed := draft.get("numbers"):
        first = _as_table(typed).encode(errors="replace")
        pieces: Iterable[bytes] = [first]
        file_format = "csv"
    else:
        first = await beginning(draft)
        pieces = chain([first], draft.file.file.pieces()) if first else []
        file_format = format_of(draft.file)
    draft.columns = columns_of(first)
    if draft.get("phone_column") not in draft.columns:
        draft.fields["phone_column"] = guess(draft.columns) or ""
    told = told_of("body", {name: _told(name, value) for name in OPTIONS if (value := draft.get(name))})
    headers = KeyHeader.model_validate({"Idempotency-Key": _submission_key(draft)})
    rows = _rows(pieces, file_format)
    return wanted_of(call, told, headers), Coming(told, rows, visit.request.app[LARGE].threads)


async def table(draft: Draft) -> Iterable[Block]:
    """The rows of the file, to be read once by a thread; the column of the numbers is guessed. Raises
    UploadFailed.
    """
    assert draft.file is not None  # noqa: S101  `reading` gave it
    first = await beginning(draft)
    draft.columns = columns_of(first)
    draft.fields["phone_column"] = guess(draft.columns) or "phone"
    return _rows(chain([first], draft.file.file.pieces()) if first else [], format_of(draft.file))


def _told(name: str, value: str) -> str:
    # Without a script a browser sends what was picked, which the page says is in UTC: "2026-12-01T09:30".
    return f"{value}Z" if name in _MOMENTS and len(value) == _PICKED_CHARACTERS else value


def _rows(pieces: Iterable[bytes], file_format: Format | None) -> Iterable[Block]:
    # Opened where it is read: the next pieces come to a thread.
    yield from read_recipients(pieces, format=file_format, name="the file")


def _as_table(typed: str) -> str:
    """Numbers that were typed, or a table that was pasted, as CSV."""
    has_header = any(character.isalpha() for character in typed.split("\n", 1)[0])
    return typed if has_header else f"phone\n{typed}"


def _submission_key(draft: Draft) -> str | None:
    """The same form with the same content is the same campaign, however often it is sent."""
    content_hash = draft.get("content_hash")
    return f"page-{draft.get('form')[:36]}-{content_hash[:16]}" if content_hash else None


def call_of(visit: Visit) -> Call:
    """The request as operations know it."""
    return Call(visit.request, visit.serving.parts, visit.caller, visit.serving.shared)


def sentences(refused: Refused) -> list[tuple[str, str]]:
    """What is wrong, each with the field that it is about ("" for none)."""
    found = [(mistake.pointer.rpartition("/")[2], mistake.detail) for mistake in refused.errors]
    return found or [("", refused.detail or refused.kind.title)]
