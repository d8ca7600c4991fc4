"""`campaigns suppression …`: the numbers that are never sent to."""

from typing import Annotated

import typer

from campaigns.domain.phone import mask
from worker.cli.printable import printable
from worker.cli.terminal import Region, out, read_lines, say, use

app = typer.Typer(no_args_is_help=True, help="Numbers that are never sent to.")

Phones = Annotated[list[str] | None, typer.Argument(metavar="PHONE…")]
PhonesFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Numbers out of a file, one a line, - for standard input: not in the list of processes.",
    ),
]


@app.command("add")
def suppress(
    phones: Phones = None,
    file: PhonesFile = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "asked not to be sent to",
    region: Region = None,
) -> None:
    """Never send to these numbers again: also not what is queued already, nor what is paused."""
    wanted = read(phones, file)
    count = use(lambda backend: backend.suppress(wanted, code(region), reason))
    say(f"{count} added")


@app.command("remove")
def unsuppress(
    phones: Phones = None,
    file: PhonesFile = None,
    region: Region = None,
) -> None:
    """Take numbers off the list."""
    wanted = read(phones, file)
    count = use(lambda backend: backend.unsuppress(wanted, code(region)))
    say(f"{count} removed")


@app.command("list")
def suppressed(
    full: Annotated[bool, typer.Option(help="Show whole numbers.")] = False,
) -> None:
    """The list, oldest first."""
    for phone, reason, created_at in use(lambda backend: backend.suppressed()):
        out.print(
            f"{phone if full else mask(phone)}\t{created_at:%Y-%m-%d}\t{printable(reason)}", markup=False
        )


def read(phones: list[str] | None, file: str | None) -> list[str]:
    """The numbers that were given, or those of a file. Raises BadParameter for both or none."""
    if bool(phones) == (file is not None):
        raise typer.BadParameter("give numbers, or --file")
    return phones or read_lines(str(file))


def code(region: str | None) -> str | None:
    """A region as it is looked up."""
    return region.upper() if region else None
