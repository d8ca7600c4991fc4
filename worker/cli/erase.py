"""`campaigns erase`: forget whom messages went to and what they said, by number."""

from typing import Annotated

import typer

from campaigns import suppression
from worker.cli.suppression import Phones, PhonesFile, code, read
from worker.cli.terminal import AsJson, Region, print_json, say, use


def erase(
    phones: Phones = None,
    file: PhonesFile = None,
    region: Region = None,
    yes: Annotated[bool, typer.Option("--yes", help="Say that you know: it cannot be undone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what is known of these numbers: number, own text and columns of each settled message.

    Totals, states and cost stay. The numbers go on the suppression list first,
    and stay there. Messages that are not settled yet are counted; run it again
    when they are. Backups, exports, and tasks in Redis keep what they have.
    """
    wanted = suppression.read_phones(read(phones, file), code(region))
    if not yes:
        raise typer.BadParameter(
            f"{len(wanted)} number(s) would be erased, and that cannot be undone: say --yes"
        )
    found = use(lambda backend: backend.erase(wanted))
    if as_json:
        print_json(found.public())
        return
    say(f"{found.erased_count} messages erased")
    if found.open_count:
        say(f"{found.open_count} are not settled yet: run it again when they are")
