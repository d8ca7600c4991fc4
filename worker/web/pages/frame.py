"""What a page is, and a visit to one."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, TypeVar

from aiohttp import web

from campaigns.domain.access import Scope
from worker.shapes import Shape
from worker.web.api.operations import Caller
from worker.web.api.serving import Serving
from worker.web.api.table import BY_ID
from worker.web.pages.languages import Language

_S = TypeVar("_S", bound=Shape)

RECENT_SECONDS = 5.0
"""How old an answer may be that is given again, where a page says nothing else."""

_MOST_KEPT = 1_000  # answers

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
    """What was asked for is done: the browser goes on to a page, which says so by one of `sentences.DONE`."""

    to: str
    said: str | None = None


class Recent:
    """What operations answered a moment ago."""

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[float, Shape]] = {}

    def get(self, name: Hashable, seconds: float) -> Shape | None:
        """What was answered, where that is not too long ago."""
        at, found = self._found.get(name, (0.0, None))
        return found if monotonic() - at < seconds else None

    def put(self, name: Hashable, shape: Shape) -> None:
        """Keep an answer; when there are many, the older half goes."""
        self._found.pop(name, None)
        if len(self._found) >= _MOST_KEPT:
            self._found = dict([*self._found.items()][_MOST_KEPT // 2 :])
        self._found[name] = monotonic(), shape


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is signed in. Their key and its scope for the page are in order."""

    request: web.Request
    serving: Serving = field(repr=False)
    caller: Caller
    language: Language
    token: str = field(repr=False)  # what every form must send back
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    known: Recent = field(default_factory=Recent, repr=False)

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

    async def recent(
        self,
        operation_id: str,
        shape: type[_S],
        *,
        seconds: float = RECENT_SECONDS,
        **sent: Mapping[str, Any],
    ) -> _S:
        """The same, as it was up to so many seconds ago: for what is looked at each second and changes less
        often.
        """
        reach = self.caller.reach
        accounts = reach.accounts and tuple(reach.accounts)
        name = (operation_id, repr(sent), reach.owner, accounts, tuple(self.caller.key.scopes))
        found = self.known.get(name, seconds)
        if not isinstance(found, shape):
            found = await self.ask(operation_id, shape, **sent)
            self.known.put(name, found)
        return found

    async def stream(
        self, operation_id: str, *, accept: str = "*/*", **sent: Mapping[str, Any]
    ) -> web.StreamResponse:
        """A file that an operation of the API answers, on its way to the browser. Raises Refused."""
        answer = await self.serving.ask(BY_ID[operation_id], self.request, self.caller, sent, accept=accept)
        assert isinstance(answer, web.StreamResponse)  # noqa: S101  a page's own mistake
        return answer


Handler = Callable[[Visit], Awaitable[View | Done | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Page:
    """One method of one path. `menu`: its entry there (marked by `N_`). `live`: fills the parts of its
    template (the blocks that are called `part_…`), which are told anew to browsers that have it open.
    `reads_itself`: its handler reads the form, which has a large file, and looks at the token first
    (`uploading`). `for_all_owners`: the API tells it to keys of all owners alone; others see no link to it.
    """

    path: str
    handler: Handler
    scope: Scope
    method: Literal["GET", "POST"] = "GET"
    menu: str | None = None
    live: Handler | None = None
    reads_itself: bool = False
    for_all_owners: bool = False


def N_(sentence: str) -> str:  # noqa: N802  the name by which gettext's tools find sentences
    """Mark a sentence for the catalogue where it cannot be translated yet: nobody reads it there."""
    return sentence
