"""`campaigns key …`: who may use the API."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from campaigns.domain.access import SCOPE_MEANINGS
from campaigns.domain.allowance import Allowance
from worker import shapes
from worker.cli.backend.keys import ToldKey
from worker.cli.terminal import AsJson, err, out, print_json, say, use

app = typer.Typer(no_args_is_help=True, help="Keys of the API: who may use it, and for what.")

_SCOPES = "; ".join(f"{scope}: {meaning}" for scope, meaning in SCOPE_MEANINGS.items())


@app.command("create")
def create(  # noqa: PLR0913, PLR0917  its options
    owner: Annotated[
        str, typer.Option(help="Whose it is: a short name, such as shop. It sees its own campaigns.")
    ],
    scope: Annotated[list[str], typer.Option(help=f"What it may do, with commas between. {_SCOPES}.")],
    account: Annotated[
        list[str] | None, typer.Option(help="Limit it to this account; may be given again.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it ends, e.g. 2027-01-01T00:00+02:00; without a zone UTC."),
    ] = None,
    all_owners: Annotated[bool, typer.Option("--all", help="Let it see every owner's campaigns.")] = False,
    recipients_per_day: Annotated[
        int | None, typer.Option(min=1, help="How many may be submitted in a day (UTC).")
    ] = None,
    segments_per_month: Annotated[
        int | None,
        typer.Option(min=1, help="How many segments, which are what is paid for, in a month."),
    ] = None,
    approval_above: Annotated[
        int | None,
        typer.Option(min=1, help="A campaign of more segments waits for a key that may, or an operator."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown this once.

    Two keys of one owner may be valid at once: make the new one, have it used,
    revoke the old one. What was submitted is counted by owner, over all its keys.
    """
    told = ToldKey(
        owner=owner,
        scopes=[part.strip() for given in scope for part in given.split(",") if part.strip()],
        accounts=[name.lower() for name in account] if account else None,
        expires_at=None if expires is None else _moment(expires),
        is_for_all_owners=all_owners,
        allowance=Allowance(recipients_per_day, segments_per_month, approval_above),
    )
    made = use(lambda backend: backend.keys.create(told))
    if as_json:
        print_json(made.public())
    else:
        err.print("keep it: it is not shown again")
        out.print(made.key)


@app.command("list")
def listed(as_json: AsJson = False) -> None:
    """Every key there was, without its secret."""
    found = use(lambda backend: backend.keys.listed())
    if as_json:
        print_json(shapes.public(found))
    elif found:
        out.print(_table(found))
    else:
        out.print("there are no keys; see: campaigns key create --help")


@app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `key list` shows it.")]) -> None:
    """End a key: its next request is refused."""
    revoked = use(lambda backend: backend.keys.revoke(key_id))
    say("revoked" if revoked else "it was revoked already")


def _table(found: Sequence[shapes.Key]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("id", "owner", "scopes", "accounts", "made", "last used", "state"):
        table.add_column(column)
    now = datetime.now(UTC)
    for row in found:
        cells = (
            row.id,
            row.owner + (" (all owners)" if row.all else ""),
            ", ".join(row.scopes),
            "all" if row.accounts is None else ", ".join(row.accounts),
            f"{row.created_at:%Y-%m-%d}",
            f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never",
            _state(row, now),
        )
        table.add_row(*map(Text, cells))
    return table


def _state(row: shapes.Key, now: datetime) -> str:
    if row.revoked_at is not None:
        return f"revoked {row.revoked_at:%Y-%m-%d}"
    if row.expires_at is None:
        return "valid"
    return f"{'valid until' if now < row.expires_at else 'over since'} {row.expires_at:%Y-%m-%d %H:%M}"


def _moment(typed: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed.strip())
    except ValueError:
        raise typer.BadParameter(
            "--expires is a moment by ISO 8601, for example 2027-01-01T00:00+02:00"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
