"""Where something is in an answer: a JSON pointer (RFC 6901) or a regular expression. Pure.

"/status"     from the entry that is read, or from the top where an answer is about one message
"#/count"     from the top, always
{ regex = "OK ([0-9]+)" }    in the text of the answer; the first group, or all of it
"""

import re
from dataclasses import dataclass, field

_LONGEST_TEXT = 100_000  # of what a regular expression looks at


@dataclass(frozen=True, slots=True)
class Document:
    """An answer: all of it, the entry that is read, and its text."""

    root: object = field(repr=False)
    entry: object = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A JSON pointer. Takes its parts, unescaped."""

    parts: tuple[str, ...]
    from_top: bool = False

    def find(self, document: Document) -> object:
        """What it leads to; None where nothing is there."""
        value = document.root if self.from_top else document.entry
        for part in self.parts:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < 7:
                value = value[int(part)] if int(part) < len(value) else None
            else:
                return None
        return value


@dataclass(frozen=True, slots=True)
class Expression:
    """A regular expression."""

    pattern: re.Pattern[str]

    def find(self, document: Document) -> object:
        """Its first group, or all of it; None where it does not match."""
        found = self.pattern.search(document.text[:_LONGEST_TEXT])
        return None if found is None else found[1 if self.pattern.groups else 0]


Spots = tuple[Pointer | Expression, ...]
"""The first of these that leads to something."""


def find(document: Document, where: Spots) -> object:
    """What the first of the spots leads to that leads to anything; None where none does."""
    for spot in where:
        value = spot.find(document)
        if value is not None:
            return value
    return None


def read_pointer(text: str) -> Pointer:
    """A pointer as it is written. Raises ValueError, a sentence without its subject."""
    from_top = text.startswith("#")
    plain = text.removeprefix("#")
    if plain and not plain.startswith("/"):
        raise ValueError('must be a JSON pointer that begins with /, such as "/messages/0/status"')
    if re.search("~(?![01])", plain):
        raise ValueError("must write ~ as ~0 and / as ~1 inside a name (RFC 6901)")
    parts = (part.replace("~1", "/").replace("~0", "~") for part in plain.split("/")[1:])
    return Pointer(tuple(parts), from_top)


def read_spots(given: object) -> Spots:
    """One pointer, one { regex = … }, or a list of them. Raises ValueError as `read_pointer`."""
    match given:
        case str():
            return (read_pointer(given),)
        case {"regex": str(pattern), **more} if not more:
            try:
                return (Expression(re.compile(pattern)),)
            except re.error as error:
                raise ValueError(f"holds a regular expression that cannot be read: {error}") from None
        case list() if given:
            return tuple(spot for each in given for spot in read_spots(each))
        case tuple():  # read already
            return given
        case _:
            raise ValueError('must be a JSON pointer ("/id"), { regex = "…" }, or a list of these')
