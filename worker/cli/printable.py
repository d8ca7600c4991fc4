"""What others wrote, made fit to be shown: a name, a provider's words, a cell, an argument.

A terminal obeys what it is sent: escape sequences clear it, set its title, write to the clipboard; marks of
direction make `gpj.exe` read as `exe.jpg`. What others wrote goes through `printable` before it is shown.
"""

import json
import unicodedata
from typing import Any

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_JOINERS = frozenset("\u200c\u200d")  # between letters and emoji: part of a word

# Cc: controls (ESC, CR, C1). Cf: marks of direction, tags, what is invisible. Cs: halves of pairs, which is
# how Python keeps bytes that are no UTF-8. Zl, Zp: line ends beside \n. Cn, Co: nobody knows their look.
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"})


def printable(text: str) -> str:
    """`text` without what a terminal would obey: each such character becomes U+FFFD, a tab or a line end a
    blank.

    Takes any str. Gives text of the same length that stays on its line, in its direction, without effect.
    Idempotent.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\t":
        return " "
    if unicodedata.category(character) in _OBEYED and character not in _JOINERS:
        return _REPLACEMENT
    return character


def json_of(value: Any) -> str:
    """`value` as one line of JSON. What a terminal would obey is written as an escape: the same JSON."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if _shown(character) == character else json.dumps(character)[1:-1]
