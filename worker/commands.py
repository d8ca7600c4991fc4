"""`campaigns`: the operator's door. Exit codes: 0 done, 1 it failed, 2 wrong usage or settings."""

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NoReturn
from uuid import UUID

import typer
from rich.console import Console

from campaigns import aggregation, batching, rescue, submission
from campaigns.domain.errors import CampaignError, NotFound
from campaigns.domain.recipients import read_recipients
from campaigns.domain.states import CampaignState
from campaigns.store.intake import TakenIn
from campaigns.store.session import Database
from worker import account_commands, display, message_command, run_commands, suppression_commands
from worker.bootstrap import sender_of
from worker.settings import SettingsError, load_settings
from worker.terminal import AsJson, Region, do, err, out, print_json

_LOOK_SECONDS = 0.5
_SLICE_BYTES = 65_536

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with locals would show texts and numbers
    help="Send bulk SMS campaigns without losing a message and without sending one twice.",
)
app.add_typer(account_commands.app, name="account")
app.add_typer(suppression_commands.app, name="suppression")

CampaignId = Annotated[str, typer.Argument(metavar="ID", help="The campaign's id.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it until it is over.")]


def run() -> NoReturn:
    """Run the command that was typed. Turns our errors into one sentence and an exit code."""
    try:
        app()
    except SettingsError as error:
        _complain(error)
        sys.exit(2)
    except CampaignError as error:
        _complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `campaigns export … | head`
        sys.stderr.close()
        sys.exit(1)
    sys.exit(0)


def _complain(error: CampaignError) -> None:
    for line in str(error).splitlines():
        err.print(f"Error: {line}", markup=False)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"{text!r} is no campaign id; see: campaigns list") from None


# --- campaigns ---------------------------------------------------------------------------------------


@app.command()
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
            await _watch(database, taken.id, err if as_json else out)
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


async def _watch(database: Database, campaign_id: UUID, console: Console) -> None:
    await display.watch(
        console,
        lambda: aggregation.status(database, campaign_id),
        lambda: asyncio.sleep(_LOOK_SECONDS),
    )


@app.command()
def status(campaign_id: CampaignId, watch: Watch = False, as_json: AsJson = False) -> None:
    """How a campaign stands: totals by state, cost, segments."""

    async def work(database: Database) -> None:
        wanted = _id(campaign_id)
        if watch:
            await _watch(database, wanted, err if as_json else out)
        overview = await aggregation.status(database, wanted)
        if as_json:
            print_json(aggregation.as_json(overview))
        elif not watch:
            out.print(display.campaign(overview))

    do(work)


@app.command("list")
def list_campaigns(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 100, as_json: AsJson = False
) -> None:
    """The newest campaigns."""
    overviews = do(lambda database: aggregation.newest(database, limit=limit))
    if as_json:
        print_json([aggregation.as_json(overview) for overview in overviews])
    elif overviews:
        out.print(display.campaigns(overviews))
    else:
        out.print("no campaigns yet")


@app.command()
def export(
    campaign_id: CampaignId,
    file_format: Annotated[Literal["csv", "jsonl"], typer.Option("--format")] = "csv",
    refused: Annotated[bool, typer.Option(help="The recipients not taken in, by row, instead.")] = False,
) -> None:
    """Every recipient and what became of the message, a row each, streamed to standard output."""

    async def work(database: Database) -> None:
        wanted = _id(campaign_id)
        await aggregation.status(database, wanted)  # raises NotFound before anything is printed
        if refused:
            columns, lines = await aggregation.export_refused(database, wanted)
        else:
            columns, lines = await aggregation.export(database, wanted)
        await _write(columns, lines, file_format)

    do(work)


async def _write(columns: list[str], lines: AsyncIterator[dict[str, Any]], file_format: str) -> None:
    writer = csv.DictWriter(sys.stdout, columns, restval="", lineterminator="\n")
    if file_format == "csv":
        writer.writeheader()
    async for line in lines:
        if file_format == "csv":
            writer.writerow(line)
        else:
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def _change(campaign_id: str, target: CampaignState, done: str) -> None:
    async def work(database: Database) -> None:
        changed = await aggregation.change_state(database, _id(campaign_id), target)
        overview = await aggregation.status(database, _id(campaign_id))
        waiting = display.unsettled_states(overview)
        rest = ", ".join(f"{count} {state}" for state, count in waiting.items())
        out.print(done if changed else f"it was {overview.state} already" + (f"; {rest}" if rest else ""))

    do(work)


@app.command()
def pause(campaign_id: CampaignId) -> None:
    """Stop handing over within one batch; what was handed over is still followed to its end."""
    _change(campaign_id, CampaignState.PAUSED, "paused")


@app.command()
def resume(campaign_id: CampaignId) -> None:
    """Go on with a paused campaign."""
    _change(campaign_id, CampaignState.RUNNING, "running")


@app.command()
def cancel(campaign_id: CampaignId) -> None:
    """Never hand over what is still queued; what was handed over is followed to its end."""
    _change(campaign_id, CampaignState.CANCELLED, "cancelled")


@app.command()
def resolve(
    campaign_id: CampaignId,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send them again: a second text is possible.")
    ] = False,
    assume_sent: Annotated[bool, typer.Option("--assume-sent", help="Settle them as unknown.")] = False,
    phone: Annotated[str | None, typer.Option(help="Only this number's message.")] = None,
    region: Region = None,
    operator: Annotated[str | None, typer.Option(help="Who says so; else your login.")] = None,
) -> None:
    """Your word on messages in doubt, recorded with who and when."""
    if resend == assume_sent:
        raise typer.BadParameter("say one of --resend and --assume-sent")
    settings = load_settings()

    async def work(database: Database) -> None:
        count = await rescue.resolve(
            database,
            settings.policy(),
            _id(campaign_id),
            "resend" if resend else "assume_sent",
            raw_phone=phone,
            region=region.upper() if region else None,
            operator=operator or getuser(),
        )
        done = "queued again" if resend else "settled as unknown"
        out.print(f"{count} in doubt, now {done}" if count else "nothing of it is in doubt")

    do(work, settings)


# --- single messages, and running it -------------------------------------------------------------------

for command in (
    message_command.message,
    run_commands.up,
    run_commands.web,
    run_commands.demo,
    run_commands.migrate,
    run_commands.simulator,
    run_commands.doctor,
):
    app.command()(command)
