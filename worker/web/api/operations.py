"""What an operation of the API is. One declaration routes and validates its requests (`serving`) and writes
its part of the document (`document`): what is documented and what is done cannot differ.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from campaigns.domain.access import Actor, Reach, Scope
from campaigns.domain.errors import CampaignError, origin_of
from campaigns.domain.phone import is_region
from campaigns.domain.provider import DayStatistics, Money
from campaigns.domain.unstorable import check_storable
from campaigns.store.keys import KeyRow
from worker.bootstrap import Parts
from worker.logs.logger import get_logger
from worker.shapes import Shape
from worker.web.api.problems import Kind

log = get_logger("campaigns.web")

JSON = "application/json"
MOST_EXPORTS = 4
"""At once in one process: each holds a connection of the database for as long as its reader takes."""

FORM = "multipart/form-data"
_ASK_AGAIN_SECONDS = 60.0  # where nobody answered

JSON_BODY_BYTES = 64 * 1024
"""Of a body, where an operation says nothing else."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]")


class Asked(BaseModel):
    """The base of models of what clients send: nothing that is not known, texts in bounds; in JSON 0 is no
    false. What comes as text (a path, a query, a form) is read with `strict=False`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, strict=True)


def _checked_moment(given: object) -> object:
    # A number would be taken for seconds since 1970, and a phone number is one.
    if isinstance(given, int | float) or (isinstance(given, str) and not _MOMENT.match(given)):
        raise ValueError("give a moment with its offset, such as 2026-12-01T09:30:00+02:00")
    return given


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_checked_moment)]
"""A moment as clients write it: ISO 8601, with its offset."""


def storable(given: str) -> str:
    """For a model's field: refuse what the database cannot hold. Raises ValueError that repeats nothing."""
    try:
        check_storable("text", given)
    except CampaignError:
        raise ValueError("it holds a character that cannot be stored") from None
    return given


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
"""Text in bounds that the database can hold."""


Method = Literal["GET", "POST", "PATCH", "DELETE"]


def _region(given: str) -> str:
    if not is_region(given.upper()):
        raise ValueError("it is no region: give a two-letter country code such as LT or DE")
    return given.upper()


Region = Annotated[
    str,
    Field(pattern="^[A-Za-z]{2}$", description="Of numbers without a country code, such as LT."),
    AfterValidator(_region),
]
"""Where a number is read that has no country code."""


class Rate(Enum):
    """How often a key may do something: requests a second, and how many at once after a pause."""

    READ = (50.0, 100)
    CHANGE = (10.0, 20)
    SUBMIT = (5.0, 10)
    SEARCH = (1.0, 5)  # reads all messages
    EXPORT = (0.2, 3)  # reads all messages of a campaign

    @property
    def per_second(self) -> float:
        """Requests a second for as long as one likes."""
        return self.value[0]

    @property
    def burst(self) -> int:
        """Requests at once."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key that was recognised, and from where."""

    key: KeyRow
    reach: Reach
    address: str

    @property
    def actor(self) -> Actor:
        """The caller as the audit knows it."""
        return Actor("key", self.key.id, self.address, self.key.owner)


TheirMonth = tuple[float, list[DayStatistics] | str]
"""What a provider said of a month (or why it says nothing), and when it was asked."""


@dataclass(slots=True)
class Shared:
    """What all requests of a process share."""

    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_EXPORTS))
    balances: dict[str, tuple[float, Money]] = field(default_factory=dict)  # and when they were asked for
    months: dict[tuple[str, str], TheirMonth] = field(default_factory=dict)  # by account and month
    asking: dict[str, asyncio.Task[object]] = field(default_factory=dict)  # for a balance, by account

    def ask_soon(self, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask for something beside all else, unless that is done already, or was within a minute."""
        loop = asyncio.get_running_loop()
        if name not in self.asking:
            self.asking[name] = loop.create_task(_asked(ask))
            loop.call_later(_ASK_AGAIN_SECONDS, self.asking.pop, name, None)

    def close(self) -> None:
        """Give up what is asked for."""
        for task in self.asking.values():
            task.cancel()


async def _asked(ask: Callable[[], Awaitable[object]]) -> None:
    try:
        await ask()
    except (CampaignError, TimeoutError) as error:  # whoever wants to know sees that it is not known
        log.info("not answered", why=origin_of(error))


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose key, scope and rate are in order. The body may not have been read."""

    request: web.Request
    parts: Parts
    caller: Caller
    shared: Shared
    accept: str = JSON  # the media types that are wanted


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: an object, its status, and headers beside the usual ones."""

    shape: Shape
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Awaitable[Answer | web.StreamResponse]]
"""Takes the Call, then by keyword what the operation declares: `path`, `query`, `headers`, `body` (None where
the body is one of `streams_in`, which the handler reads itself). Raises Refused, or an error of campaigns."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `answers` are the objects by status; a stream is described by `streams_out` (media types, always 200;
    where an object has that status too, the client's Accept decides).
    `problems` are those beside the ones that follow from the rest of the declaration. `admit` is entered
    before the first byte of the body is read, and left when the answer is made: it refuses with Refused
    what there is no room for. `links` say which operations go on from its answer, by id, and where their
    parameters are in it; those of a list and of what was made follow from the paths.
    """

    id: str
    method: Method
    path: str
    tag: str
    summary: str
    handler: Handler
    scope: Scope
    rate: Rate
    answers: Mapping[int, type[Shape]] = field(default_factory=dict)
    description: str = ""
    path_model: type[Asked] | None = None
    query: type[Asked] | None = None
    headers: type[Asked] | None = None
    body: type[Asked] | None = None
    body_bytes: int = JSON_BODY_BYTES
    body_is_optional: bool = False
    streams_in: Mapping[str, str] = field(default_factory=dict)  # media type -> what it holds
    form: type[Asked] | None = None  # its fields, where `streams_in` has multipart/form-data
    streams_out: Sequence[str] = ()
    no_content: str = ""  # when it answers 204, in a sentence
    problems: Sequence[Kind] = ()
    admit: Callable[[Call], AbstractAsyncContextManager[None]] | None = None
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def all_problems(self) -> list[Kind]:
        """Every problem that it may answer, in order of status."""
        found = {Kind.NO_SUCH_KEY, Kind.MISSING_SCOPE, Kind.TOO_MANY_REQUESTS, Kind.INVALID_REQUEST}
        found |= {Kind.DATABASE_AWAY, Kind.MALFORMED, Kind.MISDIRECTED, *self.problems}
        if self.scope is Scope.SUBMIT:
            found.add(Kind.OVER_ALLOWANCE)
        if self.path_model is not None:
            found.add(Kind.NOT_FOUND)
        if self.body is not None or self.streams_in:
            found |= {Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA_TYPE, Kind.TOO_SLOW}
        return sorted(found, key=lambda kind: (kind.status, kind.name))

    def parts(self) -> dict[str, type[Asked] | None]:
        """What its handler takes by keyword."""
        given: dict[str, Any] = {
            "path": self.path_model,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
        }
        return {name: model for name, model in given.items() if model is not None}
