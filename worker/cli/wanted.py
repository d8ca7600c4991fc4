"""What `campaigns submit` and `campaigns check` are told: the same options, and the file of recipients."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from campaigns import submission
from campaigns.domain.errors import CampaignError
from campaigns.domain.phone import REFUSED_KINDS
from campaigns.domain.schedule import read_schedule
from campaigns.recipient_files import RecipientFile, open_recipients
from worker.cli.backend.backend import Told
from worker.cli.printable import printable
from worker.cli.terminal import err, read_text

_SLICE_BYTES = 65_536  # read at once

File = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV, JSONL, .xlsx or .ods, also gzipped; - for standard input.")
]
AccountName = Annotated[str, typer.Option("--account", help="The account to send through.")]
GivenText = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="What to send; {column} is filled in for each recipient, or {column|else} if it is empty.",
    ),
]
TextFile = Annotated[
    str | None,
    typer.Option(
        "--text-file",
        metavar="FILE",
        help="The text out of a file, - for standard input: not in the list of processes.",
    ),
]
SenderId = Annotated[
    str | None, typer.Option("--sender-id", help="The sender that phones show; else the account's own.")
]
SubmissionKey = Annotated[
    str | None,
    typer.Option("--submission-key", help="The same key with the same content is the same campaign."),
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Send once more what was submitted, without a key, within 23.5 hours."),
]
PhoneColumn = Annotated[str, typer.Option("--phone-column", help="The column with the number.")]
OnDoubt = Annotated[
    Literal["hold", "resend"],
    typer.Option(
        "--on-doubt", help="Messages in doubt: hold them, or send them again (a second text is possible)."
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="Hand nothing over before, e.g. 2026-12-01T09:30+02:00."),
]
NotAfter = Annotated[
    str | None,
    typer.Option("--not-after", metavar="TIME", help="Hand nothing over later; what is left expires."),
]
SheetName = Annotated[str | None, typer.Option("--sheet", help="Which sheet of a workbook; else the first.")]
AllowKind = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-kind",
        help=f"Send to this kind of number, too; may be repeated: {', '.join(REFUSED_KINDS)}.",
    ),
]
MobileOnly = Annotated[
    bool, typer.Option("--mobile-only", help="Leave out numbers that can only be fixed lines.")
]
Literally = Annotated[
    bool, typer.Option("--literal", help="Send {{name}}, \\[name] and the like as they stand.")
]


@dataclass(frozen=True, slots=True)
class Typed:
    """The options, as they were typed."""

    file: str
    account: str
    text: str | None = field(repr=False)
    text_file: str | None
    sender_id: str | None
    name: str | None
    submission_key: str | None
    again: bool
    phone_column: str
    region: str | None
    on_doubt: Literal["hold", "resend"]
    at: str | None
    not_after: str | None
    zone: str | None
    allow_kinds: Sequence[str]
    mobile_only: bool
    literal: bool


def told_by(typed: Typed) -> Told:
    """What is meant. What is wrong with it is said here, before a row is read.

    Raises typer.BadParameter for options that exclude each other, NotFound, CampaignError.
    """
    if typed.again and typed.submission_key is not None:
        raise typer.BadParameter("say one of --again and --submission-key")
    if (typed.text is None) == (typed.text_file is None):
        raise typer.BadParameter("say one of --text and --text-file")
    if typed.text_file == typed.file == "-":
        raise typer.BadParameter("the recipients and the text cannot both come by standard input")
    from_file = "standard input" if typed.file == "-" else submission.name_of(Path(typed.file).stem)
    return Told(
        account=typed.account,
        text=typed.text if typed.text is not None else read_text(str(typed.text_file)),
        name=typed.name or from_file,
        sender_id=typed.sender_id,
        submission_key=typed.submission_key,
        again=typed.again,
        phone_column=typed.phone_column,
        region=typed.region,
        on_doubt=typed.on_doubt,
        schedule=read_schedule(typed.at, typed.not_after, typed.zone),
        allow_kinds=typed.allow_kinds,
        mobile_only=typed.mobile_only,
        literal=typed.literal,
    )


@contextmanager
def recipients_in(file: str, sheet: str | None) -> Iterator[RecipientFile]:
    """The recipients in a file, or on standard input (`-`), for the length of the block."""
    with (
        _opened(file) as stream,
        open_recipients(_pieces(stream, file), printable(file), sheet=sheet) as reader,
    ):
        if reader.note is not None:
            err.print(f"{printable(file)} is {reader.note}", markup=False)
        yield reader


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
