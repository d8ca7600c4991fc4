"""`campaigns submit`: takes a campaign in, out of a file or from standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from campaigns import aggregation, batching, submission
from campaigns.domain.errors import CampaignError
from campaigns.domain.recipients import read_recipients
from campaigns.domain.schedule import read_schedule
from campaigns.store.intake import TakenIn
from campaigns.store.session import Database
from worker.bootstrap import sender_of
from worker.settings import load_settings
from worker.terminal import AsJson, Region, Watch, Zone, do, err, follow, out, print_json

_SLICE_BYTES = 65_536


def submit(  # noqa: PLR0913, PLR0917  the public contract names them
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV or JSONL; - for standard input.")],
    account: Annotated[str, typer.Option(help="The account to send through.")],
    text: Annotated[str, typer.Option(help="What to send; {column} is filled in for each recipient.")],
    sender_id: Annotated[str | None, typer.Option(help="Who it is from; else the account's own.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it; else the file's name.")] = None,
    submission_key: Annotated[
        str | None, typer.Option(help="The same key with the same content is the same campaign.")
    ] = None,
    phone_column: Annotated[str, typer.Option(help="The column with the number.")] = "phone",
    region: Region = None,
    on_doubt: Annotated[
        Literal["hold", "resend"],
        typer.Option(help="Messages in doubt: hold them, or send them again (a second text is possible)."),
    ] = "hold",
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Hand nothing over before, e.g. 2026-12-01T09:30+02:00."),
    ] = None,
    not_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Hand nothing over later; what is left expires.")
    ] = None,
    zone: Zone = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Take a campaign in: the whole file or nothing."""
    settings = load_settings()
    known = settings.account(account.lower())
    wanted = submission.Submission(
        account=account.lower(),
        text=text,
        sender_id=sender_of(settings, account.lower(), sender_id),
        name=name or ("standard input" if file == "-" else Path(file).stem),
        submission_key=submission_key,
        phone_column=phone_column,
        region=region.upper() if region else None,
        currency=known.currency,
        on_doubt=on_doubt,
        schedule=read_schedule(at, not_after, zone),
    )

    async def work(database: Database) -> None:
        with _opened(file) as stream:
            reader = read_recipients(iter(lambda: stream.read(_SLICE_BYTES), b""), format=None, name=file)
            with err.status("reading …") as status:
                taken = await submission.submit(
                    database,
                    settings.policy(),
                    wanted,
                    reader,
                    batch_size=batching.BATCH_SIZE,
                    progress=lambda count: status.update(f"reading … {count} rows"),
                )
        if not as_json:
            await _tell(database, taken)
        if watch:
            await follow(database, taken.id, err if as_json else out)
        if as_json:
            print_json(aggregation.as_json(await aggregation.status(database, taken.id)))

    do(work, settings)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115  closed below; opening alone may fail
    except OSError as error:
        raise CampaignError(f"{file} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


async def _tell(database: Database, taken: TakenIn) -> None:
    if not taken.created:
        out.print(f"this submission key is known: campaign {taken.id}, nothing was stored again")
        return
    out.print(f"campaign {taken.id}: {taken.recipient_count} recipients taken in")
    for reason, count in taken.refused.items():
        out.print(
            f"  {count} not taken in: {reason} ({submission.REASONS.get(reason, reason)})", markup=False
        )
    rows = await aggregation.refusals(database, taken.id, limit=10)
    if rows:
        more = " …" if sum(taken.refused.values()) > len(rows) else ""
        out.print("  rows: " + ", ".join(f"{row} {reason}" for row, reason in rows) + more, markup=False)
