"""`campaigns suppression …`: the numbers that are never sent to."""

from typing import Annotated

import typer

from campaigns import submission
from campaigns.domain.phone import mask
from worker.terminal import Region, do, out

app = typer.Typer(no_args_is_help=True, help="Numbers that are never sent to.")


@app.command("add")
def suppress(
    phones: Annotated[list[str], typer.Argument(metavar="PHONE…")],
    reason: Annotated[str, typer.Option(help="Why.")] = "asked not to be sent to",
    region: Region = None,
) -> None:
    """Never send to these numbers: later submissions leave them out."""
    count = do(lambda database: submission.suppress(database, phones, region, reason))
    out.print(f"{count} added")


@app.command("remove")
def unsuppress(
    phones: Annotated[list[str], typer.Argument(metavar="PHONE…")],
    region: Region = None,
) -> None:
    """Take numbers off the list."""
    count = do(lambda database: submission.unsuppress(database, phones, region))
    out.print(f"{count} removed")


@app.command("list")
def suppressed(
    full: Annotated[bool, typer.Option(help="Show whole numbers.")] = False,
) -> None:
    """The list, oldest first."""
    for phone, reason, created_at in do(submission.suppressed):
        out.print(f"{phone if full else mask(phone)}\t{created_at:%Y-%m-%d}\t{reason}", markup=False)
