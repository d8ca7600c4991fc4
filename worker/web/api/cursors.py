"""Where a page ended, as the opaque text that clients send back.

It is not signed: it says only where to go on in what the key may see anyway.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from worker.web.api.problems import Kind, Mistake, Refused

T = TypeVar("T")
LONGEST = 200  # characters of a cursor that is read
MOST_ITEMS = 200
"""Of one page."""


def cut(found: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The page out of `limit` + 1 rows that were asked for, and its last row where there are more."""
    return found[:limit], found[limit - 1] if len(found) > limit else None


def write(*parts: object) -> str:
    """A cursor of plain values."""
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str, count: int) -> list[str]:
    parts = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        raise ValueError("not one of ours")
    return parts


def _refused(pointer: str = "/query/cursor") -> Refused:
    wrong = Mistake(pointer=pointer, detail="it is none that a page here gave")
    return Refused(Kind.INVALID_REQUEST, None, [wrong])


def read_numbers(cursor: str, count: int, *, most: int = 2**31 - 1) -> list[int]:
    """The numbers that a cursor was made of. Raises Refused."""
    try:
        numbers = [int(part) for part in _read(cursor, count)]
    except ValueError:
        raise _refused() from None
    if not all(0 <= number <= most for number in numbers):
        raise _refused()
    return numbers


def read_moment_and_id(cursor: str) -> tuple[datetime, UUID]:
    """The moment and the id that a cursor was made of. Raises Refused."""
    return read_moment_and(UUID, cursor)


def read_moment_and(
    kind: Callable[[str], T], cursor: str, pointer: str = "/query/cursor"
) -> tuple[datetime, T]:
    """The moment and the value that a cursor was made of. Raises Refused, which names its place."""
    try:
        at, text = _read(cursor, 2)
        moment = datetime.fromisoformat(at)
        found = kind(text)
    except ValueError:
        raise _refused(pointer) from None
    if moment.tzinfo is None:
        raise _refused(pointer)
    return moment, found


def read_text(cursor: str) -> str:
    """The text that a cursor was made of. Raises Refused."""
    try:
        return _read(cursor, 1)[0]
    except ValueError:
        raise _refused() from None
