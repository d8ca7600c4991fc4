"""`campaigns aside …`: what could not be done and was set aside, so that it does not stop the rest."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from campaigns.domain.errors import CampaignError
from worker import shapes
from worker.aside import Act
from worker.cli.terminal import AsJson, out, print_json, say, use

app = typer.Typer(no_args_is_help=True, help="What could not be done and was set aside.")

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="As `campaigns aside list` names them.")]


@app.command("list")
def listed(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of a kind.")] = 100,
    as_json: AsJson = False,
) -> None:
    """What is set aside, and why. Exit code 0, also when there is nothing."""
    items = use(lambda backend: backend.aside.listed(limit), needs_parts=True)
    if as_json:
        print_json(shapes.public(items))
        return
    if not items:
        out.print("nothing is set aside")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "since", "what", "why"):
        table.add_column(column, no_wrap=True)
    for item in items:
        since = item.set_aside_at.isoformat()[:19]
        table.add_row(*(Text(cell) for cell in (item.id, since, _what(item), item.reason)))
    out.print(table)


def _what(item: shapes.Aside) -> str:
    """What it is, without a number and without a text of a message."""
    match item:
        case shapes.AsideReceipt():
            return f"receipt of account {item.account}: {item.provider_state}"
        case shapes.AsideEvent():
            return f"event {item.type} of {item.campaign_id or item.account}"
        case shapes.AsideTask():
            return f"task {item.task or 'unknown'} from {item.queue}, {item.bytes} bytes"
        case _:
            return item.id


@app.command("retry")
def retry(ids: Ids, as_json: AsJson = False) -> None:
    """Have it done again. What still cannot be done is set aside again."""
    _act("retry", ids, "tried again", as_json)


@app.command("drop")
def drop(ids: Ids, as_json: AsJson = False) -> None:
    """Forget it for good."""
    _act("drop", ids, "dropped", as_json)


def _act(act: Act, ids: Sequence[str], done: str, as_json: bool) -> None:
    became = use(lambda backend: backend.aside.act(act, ids), needs_parts=True)
    if as_json:
        print_json(became.public())
    else:
        say(f"{len(became.done)} {done}")
    if became.missing:
        raise CampaignError(f"not set aside: {', '.join(became.missing)}; see: campaigns aside list")
