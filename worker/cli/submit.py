"""`campaigns submit`: takes a campaign in, out of a file or from standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from campaigns import reading, submission
from campaigns.cleaning import NOTES, REASONS
from campaigns.domain.errors import CampaignError, origin_of
from campaigns.domain.phone import REFUSED_KINDS
from campaigns.domain.schedule import read_schedule
from campaigns.recipient_files import open_recipients
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from worker import shapes
from worker.cli.printable import printable
from worker.cli.streams import OutputLost
from worker.cli.terminal import AsJson, Region, Watch, Zone, do, err, follow, out, print_json, read_text
from worker.settings.reading import load_settings

_SLICE_BYTES = 65_536  # read at once

ONCE_WITHIN_SECONDS = 23.5 * 3600
"""A day, less half an hour: a daily job may start a bit earlier than the day before, and is no repeat."""


def submit(  # noqa: PLR0913, PLR0917  the public contract names them
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="CSV, JSONL, .xlsx or .ods, also gzipped; - for standard input."),
    ],
    account: Annotated[str, typer.Option(help="The account to send through.")],
    text: Annotated[
        str | None,
        typer.Option(
            help="What to send; {column} is filled in for each recipient, or {column|else} if it is empty."
        ),
    ] = None,
    text_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The text out of a file, - for standard input: not in the list of processes."
        ),
    ] = None,
    sender_id: Annotated[
        str | None, typer.Option(help="The sender that phones show; else the account's own.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people; else the file's name.")] = None,
    submission_key: Annotated[
        str | None, typer.Option(help="The same key with the same content is the same campaign.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Send once more what was submitted, without a key, within 23.5 hours."),
    ] = False,
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
    sheet: Annotated[str | None, typer.Option(help="Which sheet of a workbook; else the first.")] = None,
    allow_kind: Annotated[
        list[str] | None,
        typer.Option(help=f"Send to this kind of number, too; may be repeated: {', '.join(REFUSED_KINDS)}."),
    ] = None,
    mobile_only: Annotated[
        bool, typer.Option("--mobile-only", help="Leave out numbers that can only be fixed lines.")
    ] = False,
    literal: Annotated[
        bool, typer.Option("--literal", help="Send {{name}}, \\[name] and the like as they stand.")
    ] = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Take a campaign in: the whole file or nothing.

    The same recipients, text, sender, account and times within 23.5 hours are
    the same campaign, so a command that is tried again sends nothing twice;
    --again and --submission-key say otherwise. Exit code 0: it is taken in,
    whatever becomes of the terminal afterwards, and its id is on standard
    error.
    """
    if again and submission_key is not None:
        raise typer.BadParameter("say one of --again and --submission-key")
    if (text is None) == (text_file is None):
        raise typer.BadParameter("say one of --text and --text-file")
    if text_file == file == "-":
        raise typer.BadParameter("the recipients and the text cannot both come by standard input")
    settings = load_settings()
    terms = settings.terms(account)
    asked = submission.Submission(
        account=terms,
        text=text if text is not None else read_text(str(text_file)),
        sender_id=sender_id,
        name=name or ("standard input" if file == "-" else submission.name_of(Path(file).stem)),
        submission_key=submission_key,
        phone_column=phone_column,
        region=region,
        on_doubt=on_doubt,
        schedule=read_schedule(at, not_after, zone),
        once_within_seconds=None if again else ONCE_WITHIN_SECONDS,
        allow_kinds=allow_kind or (),
        mobile_only=mobile_only,
        literal=literal,
    )
    wanted = submission.completed(asked)  # what is wrong with it is said before a row is read
    if sender_id and not terms.limits.takes_sender_id:
        err.print(f"{terms.limits.provider} takes no sender id: it is kept with the campaign and not sent")
    done = _Done()

    async def work(database: Database) -> None:
        with (
            _opened(file) as stream,
            open_recipients(_pieces(stream, file), printable(file), sheet=sheet) as reader,
        ):
            if reader.note is not None:
                err.print(f"{printable(file)} is {reader.note}", markup=False)
            with err.status("reading …") as status:
                taken = await submission.submit(
                    database,
                    settings.policy(),
                    wanted,
                    reader,
                    progress=lambda count: status.update(f"reading … {count} rows"),
                )
        done.taken = taken
        _say_id(taken)
        if not as_json:
            await _tell(database, taken, has_key=submission_key is not None)
        if watch:
            await follow(database, taken.id, err if as_json else out)
        if as_json:
            print_json(shapes.Campaign.of(await reading.status(database, taken.id)).public())

    try:
        do(work, settings)
    except (Exception, KeyboardInterrupt) as trouble:
        if done.taken is None:
            raise
        # If this were reported as a failure, the campaign would be submitted again.
        _say_that_it_stands(done.taken, trouble)


@dataclass
class _Done:
    """What the command has done so far. Once the campaign is stored, the command cannot fail any more."""

    taken: TakenIn | None = field(default=None)


def _say_id(taken: TakenIn) -> None:
    # On standard error: standard output may be lost, and a script finds it here with and without --json.
    err.print(f"campaign {taken.id} {'is taken in' if taken.created else 'was taken in before'}")


def _say_that_it_stands(taken: TakenIn, trouble: BaseException) -> None:
    if isinstance(trouble, OutputLost) and trouble.is_reader_gone:
        return
    why = str(trouble) if isinstance(trouble, CampaignError | OutputLost) else origin_of(trouble)
    what = "interrupted" if isinstance(trouble, KeyboardInterrupt) else printable(why)
    err.print(f"after that: {what}; see: campaigns status {taken.id}", markup=False)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        if sys.stdin.isatty():
            err.print("reading recipients from this terminal; Ctrl-D ends them")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115  closed below; opening alone may fail
    except OSError as error:
        raise CampaignError(f"{printable(file)} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


def _pieces(stream: BinaryIO, file: str) -> Iterator[bytes]:
    try:
        while piece := stream.read(_SLICE_BYTES):
            yield piece
    except OSError as error:
        what = "standard input" if file == "-" else printable(file)
        raise CampaignError(f"{what} cannot be read to its end: {error.strerror}") from error


async def _tell(database: Database, taken: TakenIn, *, has_key: bool) -> None:
    if not taken.created:
        since = f" since {taken.created_at:%Y-%m-%d %H:%M} UTC" if taken.created_at else ""
        known = "this submission key is known" if has_key else "the same recipients, text, sender and account"
        more = "" if has_key else "; to send it once more, say --again"
        out.print(f"{known}{since}: campaign {taken.id}, nothing was stored again{more}")
        return
    out.print(f"campaign {taken.id}: {taken.recipient_count} recipients taken in")
    for reason, count in taken.refused.items():
        out.print(f"  {count} not taken in: {reason} ({REASONS.get(reason, reason)})", markup=False)
    rows = await reading.refusals_in_full(database, taken.id, limit=10)
    if rows:
        more = " …" if sum(taken.refused.values()) > len(rows) else ""
        each = (f"{row} {why}" + (f" {{{printable(name)}}}" if name else "") for row, why, name in rows)
        out.print("  rows: " + ", ".join(each) + more, markup=False)
    for note, count in taken.noted.items():
        out.print(f"  {count} {NOTES.get(note, note)}", markup=False)
    if taken.costly:
        shown = " ".join(taken.costly)
        out.print(f"    these cost {taken.saved_segment_count} segments more: {shown}", markup=False)
