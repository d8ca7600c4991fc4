"""One form for what looks the same: nobody pays for a character that nobody sees.

A text with one character outside GSM-7 costs up to three times as much. No-break spaces, zero-width
characters, soft hyphens, direction marks and letters in two pieces come out of word processors, web pages and
macOS, and make such a text of a plain one.
"""

import re
import unicodedata

# Surely in its one form already: GSM-7's letters, Latin, Greek and Cyrillic ones in one piece, a line feed.
_ASSURED = re.compile("[\n -~\u00a1-\u00ac\u00ae-\u02ff\u0391-\u03ce\u0400-\u0482\u048a-\u052f\u20ac]*")

_LINE_ENDS = re.compile("\r\n|[\r\u2028\u2029\x0b\x0c\x85]")
_BLANKS = re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# Without a shape of their own in any script.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]"
)
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
# Joiners shape letters in these scripts (Arabic to Mongolian), and bind emoji together.
_JOINED = "\u0600-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00011000-\U00011fff"
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
    "\u3297\u3299\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f"
)
_LOOSE_JOINER = re.compile(
    f"(?<![{_JOINED}{_EMOJI}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}{_EMOJI}])(?<![{_JOINED}].)"
)
# A variation selector chooses the shape of a sign or an ideograph, or of a digit on a key (1\ufe0f\u20e3).
_LOOSE_SELECTOR = re.compile(
    f"(?<![{_EMOJI}\u1800-\u18af\u3400-\u9fff\U00020000-\U0003ffff])[\ufe00-\ufe0f](?!\u20e3)"
    "|[\U000e0100-\U000e01ef](?<![\u3400-\u9fff\U00020000-\U0003ffff].)"
)
_LOOSE_TAG = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+")


def visible(text: str) -> str:
    """`text` as it looks, in the one form of it: what is seen stays, to the character.

    NFC; any blank or tab is a space, any line end a line feed; control characters, zero-width characters and
    soft hyphens go. Joiners stay within emoji and in scripts that need them, direction marks where something
    is written from right to left. Idempotent.
    """
    if _ASSURED.fullmatch(text):
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _BLANKS.sub(" ", text)
    text = _CONTROLS.sub("", text)
    text = _UNSEEN.sub("", text)
    if not _RIGHT_TO_LEFT.search(text):
        text = _DIRECTIONS.sub("", text)
    text = _LOOSE_TAG.sub("", text)
    text = _LOOSE_SELECTOR.sub("", text)
    text = _LOOSE_JOINER.sub("", text)
    return unicodedata.normalize("NFC", text)


def column_key(name: str) -> str:
    """What two spellings of one column's name have in common: case, blanks and what is not seen left out."""
    return unicodedata.normalize("NFC", visible(name).strip().casefold())
