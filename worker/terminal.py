"""What every command of ours shares: where it prints, and how it reaches the servers there are."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from campaigns import aggregation
from campaigns.domain.errors import CampaignError, NotFound
from campaigns.store import schema
from campaigns.store.session import Database
from worker import display, stack, streams
from worker.bootstrap import Parts
from worker.printable import printable
from worker.settings import Settings, load_settings

_T = TypeVar("_T")
_LOOK_SECONDS = 0.5
_MOST_BYTES = 10_000_000  # of a file that is read whole: a text, a list of numbers

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
Zone = Annotated[
    str | None, typer.Option(help="Where times without an offset are meant, e.g. Europe/Vilnius.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
Region = Annotated[str | None, typer.Option(help="Where national numbers are at home, e.g. LT.")]


def do(work: Callable[[Database], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """Run one piece of work with the database there is (or an embedded one for its own time).

    Raises SchemaMismatch before the work begins, and what the work raises.
    """

    async def checked(database: Database) -> _T:
        await schema.check(database)
        return await work(database)

    with stack.located_servers(settings or load_settings()) as located:
        return stack.use_database(located, checked)


def ask(work: Callable[[Parts], Awaitable[_T]], settings: Settings) -> _T:
    """The same for work that speaks to a provider too."""
    from worker.runtime import run_once  # noqa: PLC0415  comes with what only this needs

    async def checked(parts: Parts) -> _T:
        await schema.check(parts.database)
        return await work(parts)

    with stack.located_servers(settings) as located:
        return run_once(located, checked)


def print_json(value: object) -> None:
    """One line of JSON on standard output, in UTF-8 whatever the locale."""
    streams.write_bytes((json.dumps(value, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))
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


async def follow(database: Database, campaign_id: UUID, console: Console) -> None:
    """Show a campaign on `console` until it is over."""
    await display.watch(
        console,
        lambda: aggregation.status(database, campaign_id),
        lambda: asyncio.sleep(_LOOK_SECONDS),
    )


def read_text(file: str) -> str:
    """The text in a file, or on standard input (`-`): as it stands, without the line end at its end.

    Raises CampaignError.
    """
    data = _read(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CampaignError(f"{_shown(file)} is not UTF-8; save it as UTF-8") from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def read_lines(file: str) -> list[str]:
    """The lines of a file, or of standard input (`-`), but for empty ones. Raises CampaignError."""
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
