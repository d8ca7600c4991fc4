"""What all commands share: their output, and how they reach the database and the providers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from campaigns.domain.errors import CampaignError, NotFound
from campaigns.lazy_imports import lazy_imports
from worker.cli import streams
from worker.cli.printable import json_of, printable
from worker.settings.environment import PREFIX

with lazy_imports(__name__):  # each command takes one of the ways there are to the database
    from campaigns.store import schema
    from worker import runtime
    from worker.cli import display
    from worker.cli.backend import client, here, there
    from worker.settings import reading
    from worker.stack import interrupts, location

if TYPE_CHECKING:
    from campaigns.store.session import Database
    from worker.bootstrap import Parts
    from worker.cli.backend.backend import Backend, Told
    from worker.settings.model import Settings

_T = TypeVar("_T")
_LOOK_SECONDS = 0.5  # between two looks at a campaign that is watched
_MOST_BYTES = 10_000_000  # of a file that is read whole: a text, a list of numbers


class _Console(Console):
    """A console without markup that never prints characters which control the terminal.

    Everything printed passes here, also the cells of tables and the live view.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or (text.isascii() and text.isprintable()) or text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(printable, text.split("\n"))), segment.style)


def _console(*, stderr: bool) -> _Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stderr or (stream and stream.isatty()) else 160
    return _Console(stderr=stderr, highlight=False, soft_wrap=True, width=width, markup=False, emoji=False)


out = _console(stderr=False)
err = _console(stderr=True)

CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
Zone = Annotated[
    str | None, typer.Option(help="The time zone of times without an offset, e.g. Europe/Vilnius.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
Region = Annotated[str | None, typer.Option(help="The country of numbers without a country code, e.g. LT.")]


def use(
    work: Callable[[Backend], Awaitable[_T]],
    settings: Settings | None = None,
    *,
    needs_parts: bool = False,
) -> _T:
    """Run `work` by the API where one is set, else by the database of the settings.

    `needs_parts`: a provider or Redis is asked, too. Raises what `work` raises.
    """
    chosen = settings or reading.load_settings()
    if chosen.api_url is not None:
        return _by_api(work, chosen)
    if needs_parts:
        return ask(lambda parts: work(here.Here(chosen, parts.database, parts)), chosen)
    return do(lambda database: work(here.Here(chosen, database)), chosen)


def _by_api(work: Callable[[Backend], Awaitable[_T]], settings: Settings) -> _T:
    url, key = settings.api_url or "", settings.api_key.get_secret_value() if settings.api_key else ""

    async def whole() -> _T:
        async with client.opened(url, key) as opened:
            return await work(there.There(opened))

    return interrupts.run_on_loop(whole)


def check_told(settings: Settings, told: Told) -> None:
    """Refuse, before anything is connected or read, what the account rules out; the API says so itself."""
    if settings.api_url is not None:
        return
    wanted = here.submission_of(settings, told)
    if told.sender_id and not wanted.account.limits.takes_sender_id:
        provider = wanted.account.limits.provider
        err.print(f"{provider} takes no sender id: it is kept with the campaign and not sent")


def refuse_api(settings: Settings, why: str) -> None:
    """Refuse what cannot be done from afar, and say why.

    Raises CampaignError where an API is set.
    """
    if settings.api_url is not None:
        raise CampaignError(
            f"this cannot be done over the API: {why}; unset {PREFIX}API_URL and {PREFIX}API_KEY, and do it "
            "where the database is"
        )


def do(work: Callable[[Database], Awaitable[_T]], settings: Settings) -> _T:
    """Run `work` with the database of the settings (an embedded one is started for it and stopped after it).

    Raises SchemaMismatch before `work` begins, and what `work` raises.
    """

    async def checked(database: Database) -> _T:
        await schema.check(database)
        return await work(database)

    with _servers(settings) as located:
        return location.use_database(located, checked)


def ask(work: Callable[[Parts], Awaitable[_T]], settings: Settings) -> _T:
    """The same, for work that also asks a provider."""

    async def checked(parts: Parts) -> _T:
        await schema.check(parts.database)
        return await work(parts)

    with _servers(settings) as located:
        return runtime.run_once(located, checked)


@contextmanager
def _servers(settings: Settings) -> Iterator[Settings]:
    if settings.database_url is None and location.is_made(settings):
        err.print(f"embedded data in {location.data_of(settings)}")
    with location.located_servers(settings) as located:
        yield located


def print_json(value: object) -> None:
    """One line of JSON on standard output, in UTF-8 whatever the locale."""
    streams.write_bytes((json_of(value) + "\n").encode(errors="backslashreplace"))
    sys.stdout.flush()


def say(line: str) -> None:
    """Print a line about what was done, with nothing in it that a terminal would obey.

    Never fails: where standard output takes it no more, standard error has it. What was done is not undone
    by that, and must not look as if it had failed.
    """
    try:
        out.print(printable(line), markup=False)
    except streams.OutputLost:
        err.print(printable(line), markup=False)


def read_id(text: str) -> UUID:
    """A campaign's id as somebody typed it. Raises NotFound for what cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"{printable(text)!r} is no campaign id; see: campaigns list") from None


async def follow(backend: Backend, campaign_id: UUID, console: Console) -> None:
    """Show a campaign on `console` until it is over."""
    await display.watch(
        console,
        lambda: backend.status(campaign_id),
        lambda: asyncio.sleep(_LOOK_SECONDS),
    )


def read_text(file: str) -> str:
    """The text in a file, or on standard input (`-`), without its last line end.

    Raises CampaignError.
    """
    data = _read(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CampaignError(f"{_shown(file)} is not UTF-8; save it as UTF-8") from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def read_lines(file: str) -> list[str]:
    """The lines of a file, or of standard input (`-`), without empty ones. Raises CampaignError."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _read(file: str) -> bytes:
    try:
        if file == "-":
            if sys.stdin.isatty():
                err.print("reading from this terminal; Ctrl-D ends it")
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CampaignError(f"{_shown(file)} cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise CampaignError(f"{_shown(file)} is larger than {_MOST_BYTES // 1_000_000} MB")
    return data


def _shown(file: str) -> str:
    return "standard input" if file == "-" else printable(file)
