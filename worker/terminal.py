"""What every command of ours shares: where it prints, and how it reaches the servers there are."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console

from campaigns import aggregation
from campaigns.domain.errors import NotFound
from campaigns.store import schema
from campaigns.store.session import Database
from worker import display, stack
from worker.bootstrap import Parts
from worker.settings import Settings, load_settings

_T = TypeVar("_T")
_LOOK_SECONDS = 0.5

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
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
    """One line of JSON on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def read_id(text: str) -> UUID:
    """A campaign's id as somebody typed it. Raises NotFound for what cannot be one."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"{text!r} is no campaign id; see: campaigns list") from None


async def follow(database: Database, campaign_id: UUID, console: Console) -> None:
    """Show a campaign on `console` until it is over."""
    await display.watch(
        console,
        lambda: aggregation.status(database, campaign_id),
        lambda: asyncio.sleep(_LOOK_SECONDS),
    )
