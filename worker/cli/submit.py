"""`campaigns submit`: takes a campaign in, out of a file or from standard input."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

import typer

from campaigns.cleaning import NOTES, REASONS
from campaigns.domain.errors import CampaignError, origin_of
from campaigns.store.submission import TakenIn
from worker import shapes
from worker.cli.backend.backend import Backend
from worker.cli.printable import printable
from worker.cli.streams import OutputLost
from worker.cli.terminal import AsJson, Region, Watch, Zone, check_told, err, follow, out, print_json, use
from worker.cli.wanted import (
    AccountName,
    Again,
    AllowKind,
    At,
    File,
    GivenText,
    Literally,
    MobileOnly,
    NotAfter,
    OnDoubt,
    PhoneColumn,
    SenderId,
    SheetName,
    SubmissionKey,
    TextFile,
    Typed,
    recipients_in,
    told_by,
)
from worker.settings.model import Settings
from worker.settings.reading import load_settings


def submit(  # noqa: PLR0913, PLR0917  the public contract names them
    file: File,
    account: AccountName,
    text: GivenText = None,
    text_file: TextFile = None,
    sender_id: SenderId = None,
    name: Annotated[str | None, typer.Option(help="A name for people; else the file's name.")] = None,
    submission_key: SubmissionKey = None,
    again: Again = False,
    phone_column: PhoneColumn = "phone",
    region: Region = None,
    on_doubt: OnDoubt = "hold",
    at: At = None,
    not_after: NotAfter = None,
    zone: Zone = None,
    sheet: SheetName = None,
    allow_kind: AllowKind = None,
    mobile_only: MobileOnly = False,
    literal: Literally = False,
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
    settings = load_settings()
    told = told_by(
        Typed(
            file=file,
            account=account,
            text=text,
            text_file=text_file,
            sender_id=sender_id,
            name=name,
            submission_key=submission_key,
            again=again,
            phone_column=phone_column,
            region=region,
            on_doubt=on_doubt,
            at=at,
            not_after=not_after,
            zone=zone,
            allow_kinds=allow_kind or (),
            mobile_only=mobile_only,
            literal=literal,
        ),
    )

    check_told(settings, told)

    async def work(backend: Backend) -> TakenIn:
        with recipients_in(file, sheet) as reader, err.status("reading …") as status:
            return await backend.submit(told, reader, lambda count: status.update(f"reading … {count} rows"))

    same = "the same recipients, text, sender and account" if submission_key is None else None
    take_in(work, settings, same=same, watch=watch, as_json=as_json)


def take_in(
    work: Callable[[Backend], Awaitable[TakenIn]],
    settings: Settings,
    *,
    same: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Take a campaign in by `work`, and say what became of it.

    Once it is stored nothing that follows is a failure. `same`: what two submissions had in common where it
    was taken in before; None: their submission key.
    """
    done = _Done()

    async def whole(backend: Backend) -> None:
        taken = done.taken = await work(backend)
        _say_id(taken)
        if not as_json:
            await _tell(backend, taken, same)
        if watch:
            await follow(backend, taken.id, err if as_json else out)
        if as_json:
            print_json(shapes.Campaign.of(await backend.status(taken.id)).public())

    try:
        use(whole, settings)
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


async def _tell(backend: Backend, taken: TakenIn, same: str | None) -> None:
    if not taken.created:
        since = f" since {taken.created_at:%Y-%m-%d %H:%M} UTC" if taken.created_at else ""
        known = same or "this submission key is known"
        more = "; to send it once more, say --again" if same else ""
        out.print(f"{known}{since}: campaign {taken.id}, nothing was stored again{more}")
        return
    out.print(f"campaign {taken.id}: {taken.recipient_count} recipients taken in")
    for reason, count in taken.refused.items():
        out.print(f"  {count} not taken in: {reason} ({REASONS.get(reason, reason)})", markup=False)
    rows = await backend.refusals(taken.id, 10)
    if rows:
        more = " …" if sum(taken.refused.values()) > len(rows) else ""
        each = (f"{row} {why}" + (f" {{{printable(name)}}}" if name else "") for row, why, name in rows)
        out.print("  rows: " + ", ".join(each) + more, markup=False)
    for note, count in taken.noted.items():
        out.print(f"  {count} {NOTES.get(note, note)}", markup=False)
    if taken.costly:
        shown = " ".join(taken.costly)
        out.print(f"    these cost {taken.saved_segment_count} segments more: {shown}", markup=False)
