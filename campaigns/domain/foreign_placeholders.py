"""Placeholders as other programs write them: `{{name}}`, `[name]`, `%name%`. Ours is `{name}`.

Sent as they stand they reach people as "Dear [name]". A text that holds the name of a column in anybody's
brackets was meant to have it filled in.
"""

import re
from collections.abc import Iterable

from campaigns.domain.errors import is_harmless
from campaigns.domain.visible import column_key

# Tight: no blank inside its marks, which are also used alone ("50% off, 20% more").
_TIGHT = "[^\\s{0}](?:[^{0}\n]{{0,98}}[^\\s{0}])?"
_LONGEST = 100  # characters of a name between another program's marks


def _between(before: str, after: str, without: str) -> str:
    return rf"{before}\s*([^{without}\n]{{1,{_LONGEST}}}?)\s*{after}"


_FORMS = tuple(
    # In a look-ahead, for forms may overlap: "%a% b%name%".
    re.compile(rf"(?=({form}))")
    for form in (
        _between(r"\{\{\{?[#&]?", r"\}?\}\}", "{}"),
        _between(r"\$\{", r"\}", "{}"),
        _between(r"%\{", r"\}", "{}"),
        _between(r"\(\(", r"\)\)", "()"),
        _between(r"%\(", r"\)s", "()"),
        _between(r"\[\[?%?=?", r"%?\]?\]", r"\[\]"),
        _between(r"<<?%?=?", r"%?>?>", "<>"),
        _between("«", "»", "«»"),
        _between("‹", "›", "‹›"),
        _between(r"\*\|", r"\|\*", "|*"),
        *(
            rf"{mark}{{1,2}}({_TIGHT.format(mark)}){mark}{{1,2}}"
            for mark in ("%", "#", ":", "~", "\\|", "\\$", "@")
        ),
        r"__([^\s_](?:[^\n]{0,98}?[^\s_])?)__",
        r"(?<![\w$])\$([^\W\d]\w*)",
    )
)
_SQUASHED = re.compile(r"[\s_\-]+")
_DEFAULTED = re.compile(r"[|,:=]")


def find_foreign_placeholders(text: str) -> list[tuple[str, frozenset[str]]]:
    """What in `text` could be another program's placeholder: as it stands, and the columns it could mean.

    Those are in the form that `names_of` gives. Takes at most some ten thousand characters.
    """
    found = []
    for form in _FORMS:
        for match in form.finditer(text):
            inner = match[2]
            parts = {inner, _DEFAULTED.split(inner)[0]}
            parts |= {part.rpartition(".")[2] for part in parts}
            found.append((match[1], names_of(part.strip(" \t$@#%.&/") for part in parts)))
    return found


def names_of(columns: Iterable[str]) -> frozenset[str]:
    """Columns' names without what programs write differently: case, blanks, underscores, dashes."""
    return frozenset(squashed for name in columns if (squashed := _SQUASHED.sub("", column_key(name))))


def sentence(shown: str, column: str) -> str:
    """What is wrong with a text that holds `shown`, and how to mend it."""
    form = shown if is_harmless(shown) else "a column's name in brackets"
    ours = f"{{{column}}}" if is_harmless(column) else "{column}"
    return (
        f"the text holds {form}, as other programs write placeholders, and there is such a column: "
        f"write {ours} to have it filled in, or give --literal to send it as it stands"
    )
