"""JSON as providers write it: what every adapter reads alike. Pure."""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from json import JSONDecoder

from campaigns.domain.said import LONGEST_STATUS_WORD, believed_code, masked

# PHP writes a small float with an exponent: 1.44e-5.
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?")
_COUNT = re.compile(r"[0-9]{1,9}")
# The second look-ahead: 4.09e21 is what is left of 22 digits that were once a float.
_LONGEST_MESSAGE_ID = 64
_MESSAGE_ID = re.compile(
    rf"(?!0*$)(?![0-9]+(\.[0-9]*)?[eE][0-9]+$)(?![0-9]+\.[0-9]*$)"
    rf"[0-9A-Za-z][0-9A-Za-z._-]{{,{_LONGEST_MESSAGE_ID - 1}}}"
)

_LONGEST_NUMBER = 38  # of what these two take


class Json:
    """Reads JSON in which no object holds a key twice.

    Takes what becomes of numbers and of NaN and Infinity, as `json.loads` does.
    """

    def __init__(
        self,
        *,
        parse_int: Callable[[str], object] | None = None,
        parse_float: Callable[[str], object] | None = None,
        parse_constant: Callable[[str], object] | None = None,
    ) -> None:
        self._quick = JSONDecoder(parse_int=parse_int, parse_float=parse_float, parse_constant=parse_constant)
        self._careful = JSONDecoder(
            parse_int=parse_int,
            parse_float=parse_float,
            parse_constant=parse_constant,
            object_pairs_hook=_object_once,
        )

    def read(self, text: str) -> object:
        """The document. Raises ValueError where it is no JSON or a key comes twice, and RecursionError."""
        document = self._quick.decode(text)
        return document if _holds_keys(document, text.count(":")) else self._careful.decode(text)


def text_of(body: bytes) -> str:
    """The text of an answer, without blanks and byte order marks around it: a PHP script may write one for
    each file that it is made of. Raises UnicodeDecodeError, which is a ValueError.
    """
    return body.decode().strip(" \t\r\n\v\f\ufeff")


def field_of(holder: object, name: str) -> object:
    """The value of `name`, None where `holder` is no object or has none."""
    return holder.get(name) if isinstance(holder, dict) else None


def is_message_id(text: str) -> bool:
    """Whether a provider's id can be one: not zero, not below it, no rest of a number that was too long."""
    if text.isdecimal() and text.isascii():  # as most are; the pattern takes three times as long
        return len(text) <= _LONGEST_MESSAGE_ID and bool(text.strip("0"))
    return _MESSAGE_ID.fullmatch(text) is not None


def amount_of(value: object) -> Decimal | None:
    """Money written as text, None where it is not."""
    return _amount(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST_NUMBER else None


def count_of(value: object) -> int | None:
    """A whole number written as text, None where it is not."""
    return _count(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST_NUMBER else None


def shown(text: str) -> str:
    """A status word or name of theirs as it may be kept: printable, at most 64 characters."""
    readable = text if text.isprintable() else "".join(filter(str.isprintable, text))
    return readable[:LONGEST_STATUS_WORD]


def sentence_of(value: object) -> str | None:
    """A sentence of theirs, masked; None where there is none."""
    return masked(value) or None if isinstance(value, str) else None


def code_of(value: object) -> str | None:
    """A code of theirs, from a text or a whole number; None where it could be something else."""
    code = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return believed_code(code) if isinstance(code, str) else None


def name_of(value: object) -> str | None:
    """A short name of theirs (a channel, a currency) as it may be kept; None where there is none."""
    return shown(value).strip() or None if isinstance(value, str) else None


# One price and one count stand in an answer a hundred times.
@lru_cache(maxsize=256)
def _amount(text: str) -> Decimal | None:
    if not _AMOUNT.fullmatch(text):
        return None
    amount = Decimal(text)
    # Beyond this it is no price, and what is written out of it would be longer than any column.
    return Decimal(f"{amount:f}") if amount == 0 or -18 <= amount.adjusted() <= 17 else None


@lru_cache(maxsize=256)
def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _holds_keys(document: object, count: int) -> bool:
    """Whether a document holds so many keys; looks no deeper than it must.

    Each key has a colon of its own, so one that holds as many as its text has colons lost none on the
    way. (Fewer says nothing: a colon may stand within a text.)
    """
    level = [document] if isinstance(document, dict | list) else []
    while level:
        count -= sum(len(each) for each in level if isinstance(each, dict))
        if count == 0:
            return True
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    return False


def _object_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice: which of the two is meant nobody can say")
    return made
