"""What a text costs on the air: its encoding and its segments.

Source: 3GPP TS 23.038, 6.2.1 (GSM 7 bit default alphabet and its extension table) and 6.2.3 (UCS2);
3GPP TS 23.040, 9.2.3.24.1 (the header of concatenated messages: 6 octets of each segment's 140).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

# By rows of sixteen, 0x00 to 0x7f. 0x09 is capital C with cedilla; the small one is not in the table.
GSM_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
"""The default alphabet; a character's index is its code. 0x1b is the escape, not a character one can send."""

GSM_EXTENSION = "\f^{}\\[~]|€"
"""Sent as an escape and a second septet: each costs two, which are never parted."""

_ESCAPE = "\x1b"
_GSM = re.escape(GSM_ALPHABET.replace(_ESCAPE, ""))
_NOT_GSM = re.compile(rf"[^{_GSM}{re.escape(GSM_EXTENSION)}]")
_NOT_PLAIN = re.compile(rf"[^{_GSM}]")  # what costs more than one septet, or UCS-2
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")  # two UTF-16 units, a surrogate pair

Encoding = Literal["gsm7", "ucs2"]

_LIMITS: dict[Encoding, tuple[int, int]] = {"gsm7": (160, 153), "ucs2": (70, 67)}
"""Units of a text that fits alone, and units of each segment of a longer one."""


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs."""

    encoding: Encoding
    units: int  # of the whole text: septets (gsm7, extension characters 2) or UTF-16 units (ucs2)
    count: int  # segments, 1 or more: each is billed


@lru_cache(maxsize=1024)
def count_segments(text: str) -> Segments:
    """How many segments `text` costs, after rendering.

    Takes any text. The empty text counts as one segment: an SMS without text is still an SMS, and
    billed. Gives the encoding the text needs as a whole (one character outside GSM-7 turns all of it
    to UCS-2), its units and its count.

    Promises: an escape pair or a surrogate pair never straddles two segments, so a pair at the edge
    wastes a unit; the count never falls when characters are added anywhere. Says nothing of the limit
    of 255 segments (the counter is one octet): that is the submission's to refuse.
    """
    encoding, pairs, units = _measure(text)
    alone, joined = _LIMITS[encoding]
    if units <= alone:
        return Segments(encoding, units, 1)
    return Segments(encoding, units, _count(pairs, units, joined))


def costly_characters(text: str) -> tuple[str, ...]:
    """The characters that turn `text` to UCS-2, in order of appearance, each once. Empty for GSM-7.

    A character is one code point: of an emoji made of several, each is named.
    """
    return tuple(dict.fromkeys(_NOT_GSM.findall(text)))


PLAIN_FORMS: dict[str, str] = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`\u2039\u203a", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022", "-"),
    "\u2026": "...",
    "\u00d7": "x",
}
"""Signs outside GSM-7 that word processors put in, and how a keyboard writes them."""


def plain_saving(text: str) -> tuple[tuple[str, ...], int]:
    """What a few characters outside GSM-7 cost `text`: they, and how many segments fewer it had without them.

    ((), 0) where they cost nothing, and where they are no few: a text in another script is written in it.
    Each letter counts as one letter of GSM-7.
    """
    costly = costly_characters(text)
    if not costly or len(_NOT_GSM.findall(text)) * 4 > len(text):
        return (), 0
    plain = _NOT_GSM.sub(lambda match: PLAIN_FORMS.get(match[0], "?"), text)
    saved = count_segments(text).count - count_segments(plain).count
    return (costly, saved) if saved > 0 else ((), 0)


def _measure(text: str) -> tuple[Encoding, list[int], int]:
    """The encoding, where in units each pair begins (ascending), and the units of the whole."""
    if not _NOT_PLAIN.search(text):
        return "gsm7", [], len(text)
    if _NOT_GSM.search(text):
        encoding: Encoding = "ucs2"
        found = _ASTRAL.finditer(text)
    else:
        encoding = "gsm7"
        found = _NOT_PLAIN.finditer(text)
    pairs = [match.start() + before for before, match in enumerate(found)]
    return encoding, pairs, len(text) + len(pairs)


def _count(pairs: list[int], units: int, size: int) -> int:
    """How many segments of at most `size` units there are, where none ends inside a pair."""
    begins = frozenset(pairs)
    count, edge = 1, 0
    while units - edge > size:
        edge += size
        if edge - 1 in begins:
            edge -= 1
        count += 1
    return count


_MOST_SEGMENTS = 255  # of one message, in any standard (GSM 03.40: one byte)


def believed_segment_count(segment_count: int | None) -> int | None:
    """A provider's own count; None where no message can have it.

    It would not fit its column, and the answer of a whole batch be lost with it.
    """
    return segment_count if segment_count is not None and 0 <= segment_count <= _MOST_SEGMENTS else None
