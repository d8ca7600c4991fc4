"""Texts with placeholders: `Hello {first name}` and a recipient's columns give one message's text.

`{column}` is the only placeholder there is; `{{` and `}}` are braces. A value is put in as it is: it
is never read as a placeholder, and no part of a template reaches into objects.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from campaigns.domain.errors import is_harmless


class TemplateError(ValueError):
    """The text cannot be used as a template. One sentence: where, and how to mend it; never the text."""


class MissingColumn(LookupError):
    """A row lacks the column the text asks for. `column` is its name as the text has it."""

    def __init__(self, column: str) -> None:
        super().__init__(f"the text asks for the column {{{_shown(column)}}}, which is not there")
        self.column = column

    def __reduce__(self) -> tuple[type["MissingColumn"], tuple[str]]:
        return MissingColumn, (self.column,)


_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<column>[^{}]*)\}|[{}]")


class Template:
    """A text, parsed once, rendered for each recipient. Immutable; any thread may render it."""

    __slots__ = ("_format", "_keys", "_pick", "columns")

    columns: tuple[str, ...]
    """The columns the text asks for, in order of first use, trimmed."""

    def __init__(self, source: str) -> None:
        """Parse `source`; raises TemplateError with the position of what cannot be read."""
        pieces: list[str] = []
        keys: list[str] = []
        end = 0
        for token in _TOKEN.finditer(source):
            pieces.append(source[end : token.start()].replace("%", "%%"))
            end = token.end()
            if token["column"] is not None:
                keys.append(_column(token["column"], token.start() + 1))
                pieces.append("%s")
            elif token[0] in ("{{", "}}"):
                pieces.append(token[0][0])
            else:
                raise TemplateError(_lone_brace(token[0], token.start() + 1))
        pieces.append(source[end:].replace("%", "%%"))
        self._set("".join(pieces), keys, dict.fromkeys(keys))

    def _set(self, format_: str, keys: list[str], columns: Iterable[str]) -> None:
        self._format = format_
        self._keys = keys
        self._pick: Callable[[Mapping[str, str]], object] | None = itemgetter(*keys) if keys else None
        self.columns = tuple(columns)

    @property
    def is_plain(self) -> bool:
        """Whether the text is the same for everybody."""
        return not self._keys

    def bind(self, header: Sequence[str]) -> "Template":
        """This template with its columns found in `header`, so that rendering looks each up as it stands.

        A column is the header's own name exactly, else the one that is equal without regard to case and
        surrounding blanks. Gives a template whose `columns` are names of `header`. Raises MissingColumn
        when none is, TemplateError when several are and so the choice would be a guess.
        """
        found = {column: _find(column, header) for column in self.columns}
        bound = Template.__new__(Template)
        bound._set(self._format, [found[key] for key in self._keys], dict.fromkeys(found.values()))
        return bound

    def render(self, fields: Mapping[str, str]) -> str:
        """The text for one recipient. Takes its columns by name; more than needed is fine.

        Raises what `bind` raises: a row whose names differ from the text's only in case or blanks is
        still rendered, at the price of a search; bind once to a header to avoid it.
        """
        if self._pick is None:
            return self._format % ()
        try:
            return self._format % self._pick(fields)
        except KeyError:
            pass
        return self._format % tuple(fields[_find(key, fields)] for key in self._keys)

    def __repr__(self) -> str:
        """Without the text: it may hold what is nobody's business in a log."""
        return f"Template(columns={self.columns!r})"


def _column(name: str, position: int) -> str:
    column = name.strip()
    if not column:
        raise TemplateError(
            f"the placeholder at character {position} names no column: "
            "write the column's name between the braces, or {{}} for the braces themselves"
        )
    return column


def _lone_brace(brace: str, position: int) -> str:
    return (
        f"the {brace} at character {position} stands alone: "
        f"write {{column}} for a column's value, or {brace * 2} for the character {brace}"
    )


def _shown(column: str) -> str:
    """`column` for a message; cut short, for a text in braces by mistake must not end up in a log."""
    short = column if len(column) <= 24 else column[:23] + "…"
    return short if is_harmless(short) else "…"


def _find(column: str, header: Iterable[str]) -> str:
    """The name in `header` that `column` means."""
    names = list(header)
    if column in names:
        return column
    wanted = column.strip().casefold()
    matches = [name for name in names if name.strip().casefold() == wanted]
    if not matches:
        raise MissingColumn(column)
    if len(matches) > 1:
        raise TemplateError(
            f"the column {{{_shown(column)}}} could be any of {len(matches)} columns that differ only in "
            "case or blanks: write it exactly as the one that is meant"
        )
    return matches[0]
