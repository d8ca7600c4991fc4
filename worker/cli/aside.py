"""`campaigns aside …`: what could not be done and was set aside, so that it does not stop the rest.

An item is named `KIND:NUMBER`. A new kind is one more entry in `KINDS` with three coroutine functions: the
first lists the oldest items, up to a limit; the others take numbers and give those that were found.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from campaigns import aside
from campaigns.domain.errors import CampaignError
from worker import shapes
from worker.broker import aside_tasks
from worker.cli.operator import record
from worker.cli.terminal import AsJson, ask, out, print_json, say
from worker.settings.reading import load_settings

if TYPE_CHECKING:
    from worker.bootstrap import Parts

app = typer.Typer(no_args_is_help=True, help="What could not be done and was set aside.")

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="As `campaigns aside list` names them.")]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is set aside: its shape for other programs, and a line for people that holds no number
    and no text of a message.
    """

    shape: shapes.Aside
    what: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of things that are set aside."""

    listed: Callable[["Parts", int], Awaitable[Sequence[Item]]]
    retry: Callable[["Parts", Sequence[int]], Awaitable[Sequence[int]]]
    drop: Callable[["Parts", Sequence[int]], Awaitable[Sequence[int]]]


async def _receipts(parts: "Parts", limit: int) -> list[Item]:
    return [
        Item(shapes.AsideReceipt.of(each), f"receipt of account {each.account}: {each.provider_state}")
        for each in await aside.receipts(parts.database, limit=limit)
    ]


async def _events(parts: "Parts", limit: int) -> list[Item]:
    return [
        Item(shapes.AsideEvent.of(each), f"event {each.type} of {each.campaign_id or each.account}")
        for each in await aside.events(parts.database, limit=limit)
    ]


async def _tasks(parts: "Parts", limit: int) -> list[Item]:
    return [
        Item(
            shapes.AsideTask(
                id=f"task:{each.number}",
                set_aside_at=each.set_aside_at,
                reason=each.reason,
                task=each.task,
                task_id=each.task_id,
                queue=each.queue,
                bytes=each.size_bytes,
            ),
            f"task {each.task or 'unknown'} from {each.queue}, {each.size_bytes} bytes",
        )
        for each in await aside_tasks.listed(parts.redis, limit=limit)
    ]


KINDS: dict[str, Kind] = {
    "receipt": Kind(
        _receipts,
        lambda parts, numbers: aside.retry_receipts(parts.database, numbers),
        lambda parts, numbers: aside.drop_receipts(parts.database, numbers),
    ),
    "event": Kind(
        _events,
        lambda parts, numbers: aside.retry_events(parts.database, numbers),
        lambda parts, numbers: aside.drop_events(parts.database, numbers),
    ),
    "task": Kind(
        _tasks,
        lambda parts, numbers: aside_tasks.retry(parts.redis, numbers),
        lambda parts, numbers: aside_tasks.drop(parts.redis, numbers),
    ),
}
"""By the part of an id before its colon."""


@app.command("list")
def listed(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of a kind.")] = 100,
    as_json: AsJson = False,
) -> None:
    """What is set aside, and why. Exit code 0, also when there is nothing."""

    async def work(parts: "Parts") -> list[Item]:
        return [item for kind in KINDS.values() for item in await kind.listed(parts, limit)]

    items = ask(work, load_settings())
    if as_json:
        print_json(shapes.public([item.shape for item in items]))
        return
    if not items:
        out.print("nothing is set aside")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "since", "what", "why"):
        table.add_column(column, no_wrap=True)
    for item in items:
        since = item.shape.set_aside_at.isoformat()[:19]
        table.add_row(*(Text(cell) for cell in (item.shape.id, since, item.what, item.shape.reason)))
    out.print(table)


@app.command("retry")
def retry(ids: Ids, as_json: AsJson = False) -> None:
    """Have it done again. What still cannot be done is set aside again."""
    _act("aside.retry", ids, lambda kind: kind.retry, "tried again", as_json)


@app.command("drop")
def drop(ids: Ids, as_json: AsJson = False) -> None:
    """Forget it for good."""
    _act("aside.drop", ids, lambda kind: kind.drop, "dropped", as_json)


_Act = Callable[["Parts", Sequence[int]], Awaitable[Sequence[int]]]


def _act(action: str, ids: Sequence[str], act_of: Callable[[Kind], _Act], done: str, as_json: bool) -> None:
    wanted: dict[str, list[int]] = {}
    for named in ids:
        name, number = _parsed(named)
        wanted.setdefault(name, []).append(number)

    async def work(parts: "Parts") -> list[str]:
        for name, numbers in wanted.items():
            for number in numbers:
                await record(parts.database, action, f"aside/{name}:{number}")
        found = []
        for name, numbers in wanted.items():
            found += [f"{name}:{number}" for number in await act_of(KINDS[name])(parts, numbers)]
        return found

    found = ask(work, load_settings())
    missing = [named for named in dict.fromkeys(ids) if named not in found]
    if as_json:
        print_json(shapes.AsideDone(done=found, missing=missing).public())
    else:
        say(f"{len(found)} {done}")
    if missing:
        raise CampaignError(f"not set aside: {', '.join(missing)}; see: campaigns aside list")


def _parsed(named: str) -> tuple[str, int]:
    name, _, number = named.partition(":")
    if name not in KINDS or not number.isascii() or not number.isdigit() or len(number) > 18:
        kinds = " or ".join(f"{kind}:NUMBER" for kind in KINDS)
        raise CampaignError(f"{named!r} names nothing that is set aside: an id reads {kinds}")
    return name, int(number)
