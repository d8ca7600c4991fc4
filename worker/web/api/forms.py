"""A form with a file: its fields are read first, and the file as it comes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import BodyPartReader, MultipartReader, hdrs, web

from worker.web.api.problems import Kind, Mistake, Refused
from worker.web.uploads import LargeSubmissions, Upload, UploadFailed

_FIELD_BYTES = 64 * 1024  # of one field of a form
_MOST_FIELDS = 50  # of a form
_PIECE_BYTES = 65_536  # of a form's file, read at once


@dataclass(frozen=True, slots=True)
class SentForm:
    """The fields of a form, and its file, which is to be read, with the media type it was sent as."""

    fields: Mapping[str, object]
    file: Upload
    media_type: str


async def read_form(
    request: web.Request,
    large: LargeSubmissions,
    look: Callable[[Mapping[str, object]], None] = lambda _fields: None,
) -> SentForm:
    """Read a form up to its file, which comes last: a field after it fails the upload. `look` sees the fields
    so far after each, and raises where no more is to be read. Raises Refused and UploadFailed.
    """
    try:
        parts = await request.multipart()
    except (ValueError, AssertionError):  # no boundary
        raise Refused(Kind.MALFORMED, "the form has no boundary that can be used") from None
    fields: dict[str, object] = {}
    for _ in range(_MOST_FIELDS):
        part = await _next_part(large, parts)
        if part is None:
            raise Refused(Kind.INVALID_REQUEST, None, [Mistake(pointer="/body/file", detail="it is missing")])
        if part.name == "file":
            look(fields)
            file = large.upload(partial(_next_piece, part, parts))
            return SentForm(fields, file, part.headers.get(hdrs.CONTENT_TYPE, ""))
        value = await large.upload(part.read_chunk, most_bytes=_FIELD_BYTES).whole()
        _add_field(fields, part.name or "", value)
        look(fields)
    raise Refused(Kind.INVALID_REQUEST, f"a form may have {_MOST_FIELDS} fields, and the file after them")


async def _next_piece(part: BodyPartReader, parts: MultipartReader) -> bytes:
    """The next piece of the file. A field after it would be read when the rows were: too late to count."""
    piece = await part.read_chunk(_PIECE_BYTES)
    if not piece and await parts.next() is not None:
        raise UploadFailed(400, "a field comes after the file: send the file last")
    return piece


async def _next_part(large: LargeSubmissions, parts: MultipartReader) -> BodyPartReader | None:
    found: list[BodyPartReader | None] = []

    async def read() -> bytes:
        part = await parts.next()
        if part is not None and not isinstance(part, BodyPartReader):
            raise Refused(Kind.MALFORMED, "a form within the form cannot be read")
        found.append(part)
        return b""

    await large.upload(read).next()  # for its bounds
    return found[0]


def _add_field(given: dict[str, object], name: str, value: bytes) -> None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refused(Kind.MALFORMED, "a field of the form is not UTF-8") from None
    if name == "allow_kinds":
        kinds = given.setdefault(name, [])
        assert isinstance(kinds, list)  # noqa: S101  made above
        kinds.append(text)
    elif name in given:
        raise Refused(Kind.INVALID_REQUEST, "a field stands in the form twice")
    else:
        given[name] = text
