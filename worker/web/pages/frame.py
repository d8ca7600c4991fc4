"""What a page is, and a visit to one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aiohttp import web

from campaigns.domain.access import Scope
from worker.shapes import Shape
from worker.web.api.operations import Caller
from worker.web.api.serving import Serving
from worker.web.api.table import BY_ID
from worker.web.pages.languages import Language

_S = TypeVar("_S", bound=Shape)

UUID_PATTERN = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
"""For a page's path: `/campaigns/{id:…}`."""


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows: a template and what it is filled with. `is_over`: it changes no more."""

    template: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked for is done: the browser goes on to a page, which says so by one of `words.DONE`."""

    to: str
    said: str | None = None


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is signed in. Their key and its scope for the page are in order."""

    request: web.Request
    serving: Serving = field(repr=False)
    caller: Caller
    language: Language
    token: str = field(repr=False)  # what every form must send back
    form: Mapping[str, str] = field(default_factory=dict, repr=False)

    def may(self, scope: str) -> bool:
        """Whether the key has a scope."""
        return scope in self.caller.key.scopes

    def path(self, name: str) -> str:
        """A part of the page's own path."""
        return self.request.match_info[name]

    def query(self, *names: str) -> dict[str, str]:
        """These of the address's query, where they say anything."""
        return {name: value for name in names if (value := self.request.query.get(name, "").strip())}

    def filled(self, *names: str) -> dict[str, str]:
        """These of the form's fields, where they say anything."""
        return {name: value for name in names if (value := self.form.get(name, "").strip())}

    def say(self, sentence: str) -> str:
        """A sentence of the catalogue (marked there by `N_`) in the reader's language."""
        return self.language.say(sentence)

    async def ask(self, operation_id: str, shape: type[_S], **sent: Mapping[str, Any]) -> _S:
        """What an operation of the API answers to this key. Takes its id; `path`, `query`, `body` as text.

        Raises Refused, which is shown as a page: what the API would not tell, no page tells.
        """
        answer = await self.serving.ask(BY_ID[operation_id], self.request, self.caller, sent)
        found = getattr(answer, "shape", None)
        assert isinstance(found, shape), f"{operation_id} answers something else"  # noqa: S101  a page's own mistake
        return found


Handler = Callable[[Visit], Awaitable[View | Done | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Page:
    """One method of one path. `menu`: its entry there (marked by `N_`). `is_live`: its parts (the blocks of
    its template that are called `part_…`) are told anew to browsers that have it open.
    """

    path: str
    handler: Handler
    scope: Scope
    method: Literal["GET", "POST"] = "GET"
    menu: str | None = None
    is_live: bool = False


def N_(sentence: str) -> str:  # noqa: N802  the name by which gettext's tools find sentences
    """Mark a sentence for the catalogue where it cannot be translated yet: nobody reads it there."""
    return sentence
