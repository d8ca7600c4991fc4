"""`campaigns check`: what a submission would become and cost; nothing is stored and nothing is sent."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from campaigns.cleaning import NOTES, REASONS
from worker import shapes
from worker.cli.backend.backend import Backend
from worker.cli.printable import printable
from worker.cli.streams import write_bytes
from worker.cli.terminal import AsJson, Region, Zone, check_told, err, out, print_json, use
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
from worker.settings.reading import load_settings

_COUNTRIES_SHOWN = 10  # the largest
_CHARACTERS_SHOWN = 12  # that cost


def check(  # noqa: PLR0913, PLR0917  the options of `submit`
    file: File,
    account: AccountName,
    text: GivenText = None,
    text_file: TextFile = None,
    sender_id: SenderId = None,
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
    refused: Annotated[
        bool,
        typer.Option(
            "--refused", help="Print the refused rows as CSV, to be mended and submitted: cells and reason."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what `submit` would do with the same file and options, and what it would cost.

    Nothing is stored, nothing is sent. The cost is an estimate: what this
    account was charged for a segment to the same country in the last 30 days,
    else what the provider's price list says, where it has one.
    With --refused standard output is a CSV of the rows that would be refused,
    and what is said of the whole goes to standard error. Exit code 1: it would
    be refused as a whole.
    """
    if refused and as_json:
        raise typer.BadParameter("say one of --refused and --json")
    settings = load_settings()
    told = told_by(
        Typed(
            file=file,
            account=account,
            text=text,
            text_file=text_file,
            sender_id=sender_id,
            name=None,
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

    async def work(backend: Backend) -> shapes.Check:
        with recipients_in(file, sheet) as reader, err.status("reading …") as status:
            return await backend.check(
                told,
                reader,
                lambda count: status.update(f"reading … {count} rows"),
                write_bytes if refused else None,
            )

    found = use(work, settings, needs_parts=True)
    if refused:
        sys.stdout.flush()
    if as_json:
        print_json(found.public())
    else:
        console = err if refused else out
        for line in _lines(found):
            console.print(line, markup=False)
    if found.trouble is not None:
        raise typer.Exit(1)


def _lines(found: shapes.Check) -> Iterator[str]:
    if found.known is not None:
        yield f"it is campaign {found.known.id} already: nothing would be stored again"
    if found.trouble is not None:
        yield f"it would be refused: {found.trouble}"
    yield f"{found.message_count} of {found.row_count} rows would be sent to, in {found.batch_count} batches"
    for each in found.refused:
        more = " …" if each.count > len(each.rows) else ""
        yield f"  {each.count} not taken in: {each.reason} ({REASONS.get(each.reason, each.reason)})"
        yield f"    rows: {', '.join(map(str, each.rows))}{more}"
    if found.suppressed_count:
        yield f"  {found.suppressed_count} are suppressed"
    for note, count in found.noted.items():
        yield f"  {count} {NOTES.get(note, note)}"
    if found.unused_columns:
        yield f"  columns that the text does not use: {', '.join(map(printable, found.unused_columns))}"
    by_count = ", ".join(f"{count} need {segments}" for segments, count in found.segments.items())
    of_encoding = ", ".join(f"{count} {encoding}" for encoding, count in found.encodings.items() if count)
    yield f"{found.segment_count} segments ({by_count}; {of_encoding})" if by_count else "0 segments"
    if found.costly:
        yield f"  these characters cost {found.saved_segment_count} segments more:"
        for costly in found.costly[:_CHARACTERS_SHOWN]:
            instead = f", write {costly.replacement} instead" if costly.replacement else ""
            where = "in the text" if costly.is_in_text else f"first in row {costly.row}"
            yield f"    {costly.character} {costly.name}, {where}: {costly.message_count} messages{instead}"
    if found.longest is not None:
        yield f"  the longest is that of row {found.longest.row}: {found.longest.segment_count} segments"
    yield from _money(found.cost)
    yield f"about {found.duration_seconds:.0f} s at the account's pace ({found.request_count} requests)"
    for message in found.sample:
        yield f"row {message.row}: {printable(message.text)}"


def _money(estimate: shapes.Estimate) -> Iterator[str]:
    currency = printable(estimate.currency or "")
    if estimate.amount is None:
        yield "the cost is not known: there is no price of a segment to these countries"
    else:
        yield f"about {shapes.amount_text(estimate.amount)} {currency}"
        for each in estimate.countries[:_COUNTRIES_SHOWN]:
            yield f"  {each.country}: {each.segment_count} segments, {_price(each)}"
    if estimate.quote_trouble is not None:
        yield f"  the provider's price list is not known: {printable(estimate.quote_trouble)}"
    if estimate.balance is None or estimate.balance.amount is None:
        yield f"the balance is not known: {printable(estimate.balance_trouble or '')}"
    else:
        enough = {True: "enough", False: "NOT ENOUGH", None: "whether it is enough is not known"}
        left = f"{shapes.amount_text(estimate.balance.amount)} {printable(estimate.balance.currency or '')}"
        yield f"balance {left.strip()}: {enough[estimate.is_enough]}"


def _price(country: shapes.CountryCost) -> str:
    if country.price is None or country.lowest_price is None:
        return "no price is known"
    highest, lowest = shapes.amount_text(country.price), shapes.amount_text(country.lowest_price)
    price = highest if lowest == highest else f"{lowest} to {highest}, counted as {highest}"
    return f"{price} each ({printable(country.price_source or '')})"
