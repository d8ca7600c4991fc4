"""The tables that every part of a mapping is made of: a request, where things are in an answer, status words.

Unknown keys are refused, and what was typed is not shown.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from campaigns.domain.addresses import web_address
from campaigns.domain.states import EVIDENCE, MessageState
from campaigns.providers.account import Seconds
from campaigns.providers.http import templates
from campaigns.providers.http.pointers import Spots, read_spots

_PATH = re.compile(r"/[!-~]*")


def _secret_address(url: str) -> str:
    if not url.startswith("https://"):
        raise ValueError("must begin with https://; a test address goes into the account's BASE_URL")
    return web_address(url)


def _words(given: object) -> object:
    """Words and numbers as one writes them; true and false as JSON has them."""
    if not isinstance(given, list):
        raise ValueError("must be a list of words or numbers")
    if not all(isinstance(each, str | int) for each in given):
        raise ValueError("must hold words and whole numbers alone")
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in given)


def _of_states(given: object) -> Mapping[str, MessageState]:
    """Our state by status word, from status words by our state."""
    if not isinstance(given, dict):
        raise ValueError('must be a table such as delivered = ["DELIVRD"]')
    states: dict[str, MessageState] = {}
    for name, listed in given.items():
        if name not in EVIDENCE:
            raise ValueError(f"knows no state {name!r}: it may be one of {', '.join(sorted(EVIDENCE))}")
        for word in _listed(listed, name):
            if states.setdefault(word.casefold(), MessageState(name)) != name:
                raise ValueError(f"names the word {word!r} under two states: leave one")
    return states


def _listed(given: object, name: str) -> Iterable[str]:
    words = _words(given) if isinstance(given, list) else None
    if not isinstance(words, tuple):
        raise ValueError(f"must hold a list of words at {name}")
    return words


Where = Annotated[Spots, BeforeValidator(read_spots)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
StatusWords = Annotated[Mapping[str, MessageState], BeforeValidator(_of_states)]
SecretAddress = Annotated[str, Field(min_length=1), AfterValidator(_secret_address)]
Status = Annotated[int, Field(ge=100, le=599)]


class Table(BaseModel):
    """One table of the file: unknown keys are refused, what was typed is not shown."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
        # Built for the first mapping that is read: else every command would take a third longer to start.
        defer_build=True,
    )


class Request(Table):
    """A request. Its templates may name what `names` holds, and the account's own values."""

    names: ClassVar[tuple[str, ...]] = ()

    url: str
    """What comes after the address, such as /messages."""
    base_url: SecretAddress | None = None
    """The address of another service; else the mapping's own."""
    method: Literal["GET", "POST", "PUT"] = "GET"
    """How it is asked."""
    headers: dict[str, str] = Field(default={})
    """Headers beside those of the mapping."""
    basic: str | None = None
    """HTTP Basic, such as {username}:{password}; else the mapping's own."""
    query: dict[str, str] = Field(default={})
    """What comes after the ?."""
    form: dict[str, str] | None = None
    """A form as body."""
    document: dict[str, Any] | list[Any] | None = Field(default=None, alias="json")
    """A JSON document as body."""

    @field_validator("url")
    @classmethod
    def _is_a_path(cls, url: str) -> str:
        if not _PATH.fullmatch(url) or "?" in url or "#" in url or "//" in url:
            raise ValueError("must begin with one / and hold no ?: the host is base_url, the rest is query")
        return url

    @model_validator(mode="after")
    def _is_whole(self) -> "Request":
        if self.form is not None and self.document is not None:
            raise ValueError("has a form and a json: leave one")
        if self.method == "GET" and (self.form is not None or self.document is not None):
            raise ValueError("has a body, and GET takes none: set method, or use query")
        for key, name in self.used():
            allowed = (*self.names, *templates.SECRETS)
            if key.startswith(("headers.", "basic")):  # nothing there that a person may have written
                allowed = tuple(each for each in allowed if each in {*templates.SECRETS, "ref"})
            if name not in allowed:
                near = get_close_matches(name, allowed, n=1)
                meant = f"did you mean {{{near[0]}}}?" if near else f"it may name {braced(allowed)}"
                raise ValueError(f"names {{{name}}} at {key}, which is not known there: {meant}")
        return self

    def used(self) -> list[tuple[str, str]]:
        """Every name in its templates, with its key."""
        parts: dict[str, object] = {"url": self.url, "headers": self.headers, "query": self.query}
        parts["basic"] = self.basic
        parts |= {"form": self.form, "json": self.document}
        return [(key, name) for at, node in parts.items() for key, name in templates.names_in(node, at)]

    def uses(self, *names: str) -> bool:
        """Whether a template names any of these."""
        return any(name in names for _, name in self.used())


class Answer(Table):
    """Where things are in an answer about messages."""

    messages: Where = ()
    """The list of entries, where one answer is about several messages; other pointers then begin there."""
    id: Where = ()
    """The provider's id of the message."""
    ref: Where = ()
    """Our reference, repeated."""
    word: Where = ()
    """The status word or code."""
    code: Where = ()
    """Why, as a code."""
    reason: Where = ()
    """Why, in words."""
    cost: Where = ()
    """What the message costs."""
    cost_is_per_segment: bool = False
    """Whether that is what each of its segments costs."""
    currency: Where = ()
    """In which currency (ISO 4217)."""
    segments: Where = ()
    """How many segments it has."""
    changed_at: Where = ()
    """When its status changed, with a zone."""
    channel: Where = ()
    """What it went by."""


class StatusRequest(Request):
    """The request that asks what became of messages."""

    names: ClassVar[tuple[str, ...]] = ("id", "ids")

    ids_per_request: int = Field(default=1, ge=1, le=1000)
    """How many ids one request takes."""
    separator: str = ","
    """What separates them in {ids}."""
    absent_http: tuple[Status, ...] = Field(default=())
    """The HTTP statuses that say the id is not known, such as 404."""
    least_pause_seconds: float = Field(default=0.0, ge=0)
    """The least wait between two questions about one message."""
    answer: Answer
    """Where things are in the answer."""
    words: StatusWords
    """The status words by our state."""

    @field_validator("absent_http", mode="before")
    @classmethod
    def _list(cls, given: object) -> object:
        return tuple(given) if isinstance(given, list) else given

    @model_validator(mode="after")
    def _is_a_question(self) -> "StatusRequest":
        if not self.answer.word:
            raise ValueError("does not say where the status word is: set answer.word")
        if not self.uses(*self.names):
            raise ValueError(f"names no message: put {braced(self.names)} where it belongs")
        if self.ids_per_request > 1 and not (self.answer.messages and self.answer.id and self.uses("ids")):
            raise ValueError("asks for several ids: name {ids}, and set answer.messages and answer.id")
        return self


class Lookup(StatusRequest):
    """The request that asks whether the provider has a message in doubt, by our reference."""

    names: ClassVar[tuple[str, ...]] = ("ref",)

    absent_after_seconds: Seconds | None = None
    """How long after a hand-over a message that is not found was certainly not taken, and is sent again. Not
    set: it stays in doubt."""


class Callbacks(Table):
    """How receipts are read that the provider brings to us: a query, a form or JSON."""

    answer: Answer
    """Where things are in a callback."""
    words: StatusWords
    """The status words by our state; not set: those of status."""


class Balance(Request):
    """The request that asks what is left on the account."""

    amount: Where
    """Where the amount is in the answer."""
    currency: Where = ()
    """Where the currency is in the answer."""


def braced(names: Iterable[str]) -> str:
    """Names as a template has them."""
    return ", ".join(f"{{{name}}}" for name in names)
