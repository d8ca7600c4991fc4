"""Texts with placeholders: `Hello {first name}` and a recipient's columns give one message's text.

`{column}` is the only placeholder there is, `{column|default}` for where the cell is empty; `{{` and `}}` are
braces. A value goes in trimmed and in the form `visible` gives it: it is never read as a placeholder, and no
part of a template reaches into objects.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from campaigns.domain.errors import is_harmless
from campaigns.domain.visible import column_key, visible

_MOST_NAMED = 10  # columns that one sentence names


class TemplateError(ValueError):
    """The text cannot be used as a template. One sentence: where, and how to mend it; never the text."""


class MissingColumn(LookupError):
    """A row lacks columns that the text asks for: at least one. `columns` are their names as the text has
    them, `column` is the first.
    """

    def __init__(self, *columns: str) -> None:
        shown = ", ".join(f"{{{_shown(column)}}}" for column in columns[:_MOST_NAMED])
        more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
        one = "the column {}, which is not there", "the columns {}, which are not there"
        super().__init__("the text asks for " + one[len(columns) > 1].format(shown + more))
        self.columns = columns
        self.column = columns[0]

    def __reduce__(self) -> tuple[type["MissingColumn"], tuple[str, ...]]:
        return MissingColumn, self.columns


class EmptyCell(LookupError):
    """A cell that the text asks for is empty, and the text names no default. `column` as the text has it."""

    def __init__(self, column: str) -> None:
        super().__init__(f"the column {{{_shown(column)}}} is empty")
        self.column = column

    def __reduce__(self) -> tuple[type["EmptyCell"], tuple[str]]:
        return EmptyCell, (self.column,)


class RenderedTooLong(ValueError):
    """The text would become longer than allowed; it was not made."""


_Slot = tuple[str, str, str | None]
"""A placeholder: the column as the header has it, as the text has it, and what an empty cell becomes."""

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<column>[^{}]*)\}|[{}]")


class Template:
    """A text, parsed once, rendered for each recipient. Immutable; any thread may render it."""

    __slots__ = ("_format", "_literal_length", "_slots", "columns")

    columns: tuple[str, ...]
    """The columns the text asks for, in order of first use, trimmed."""

    def __init__(self, source: str) -> None:
        """Parse `source`; raises TemplateError with the position of what cannot be read."""
        pieces: list[str] = []
        slots: list[_Slot] = []
        end = 0
        for token in _TOKEN.finditer(source):
            pieces.append(source[end : token.start()].replace("%", "%%"))
            end = token.end()
            if token["column"] is not None:
                name, bar, default = token["column"].partition("|")
                column = _column(name, token.start() + 1)
                slots.append((column, column, default.strip() if bar else None))
                pieces.append("%s")
            elif token[0] in ("{{", "}}"):
                pieces.append(token[0][0])
            else:
                raise TemplateError(_lone_brace(token[0], token.start() + 1))
        pieces.append(source[end:].replace("%", "%%"))
        self._set("".join(pieces), slots)

    def _set(self, format_: str, slots: list[_Slot]) -> None:
        self._format = format_
        self._slots = slots
        self._literal_length = len(format_ % (("",) * len(slots)))
        self.columns = tuple(dict.fromkeys(column for column, _, _ in slots))

    @property
    def is_plain(self) -> bool:
        """Whether the text is the same for everybody."""
        return not self._slots

    def bind(self, header: Sequence[str]) -> "Template":
        """This template with its columns found in `header`, so that rendering looks each up as it stands.

        A column is the header's own name exactly, else the one that is equal without regard to case,
        surrounding blanks and what is not seen. Gives a template whose `columns` are names of `header`.
        Raises MissingColumn with all for which none is, TemplateError when several are and the choice would
        be a guess.
        """
        found, missing = {}, []
        for column in self.columns:
            try:
                found[column] = _find(column, header)
            except MissingColumn:
                missing.append(column)
        if missing:
            raise MissingColumn(*missing)
        bound = Template.__new__(Template)
        bound._set(self._format, [(found[key], asked, default) for key, asked, default in self._slots])
        return bound

    def render(self, fields: Mapping[str, str], *, most_characters: int | None = None) -> str:
        """The text for one recipient. Takes its columns by name; more than needed is fine.

        Raises EmptyCell for an empty cell without a default; RenderedTooLong, before it is made, for a text
        of more than `most_characters`; and what `bind` raises: a row whose names differ from the text's
        only in case or blanks is still rendered, at the price of a search; bind to a header to avoid it.
        """
        cells: dict[str, str] = {}
        for column in self.columns:
            value = fields.get(column)
            if value is None:
                value = fields[_find(column, fields)]
            cells[column] = (
                value.strip() if value.isascii() and value.isprintable() else visible(value).strip()
            )
        length = self._literal_length
        values: list[str] = []
        for column, asked, default in self._slots:
            value = cells[column] or default
            if value is None:
                raise EmptyCell(asked)
            length += len(value)
            if most_characters is not None and length > most_characters:
                raise RenderedTooLong("the text becomes too long")
            values.append(value)
        text = self._format % tuple(values)
        return text if text.isascii() else unicodedata.normalize("NFC", text)

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
    wanted = column_key(column)
    matches = [name for name in names if column_key(name) == wanted]
    if not matches:
        raise MissingColumn(column)
    if len(matches) > 1:
        raise TemplateError(
            f"the column {{{_shown(column)}}} could be any of {len(matches)} columns that differ only in "
            "case or blanks: write it exactly as the one that is meant"
        )
    return matches[0]
