"""`campaigns export`: every recipient of a campaign and what became of them, for other programs."""

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

import typer

from worker import csv_cells
from worker.cli.backend.backend import Backend
from worker.cli.printable import json_of, printable
from worker.cli.streams import write_bytes
from worker.cli.terminal import CampaignId, read_id, use

_CHARACTERS_A_WRITE = 65_536  # gathered before they are written


def export(
    campaign_id: CampaignId,
    file_format: Annotated[Literal["csv", "jsonl"], typer.Option("--format")] = "csv",
    refused: Annotated[bool, typer.Option(help="Export the refused recipients instead, by row.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="CSV: no apostrophe before values that look like formulas.")
    ] = False,
    excel: Annotated[
        bool,
        typer.Option(
            "--excel",
            help='CSV for Excel: a byte order mark, and numbers as ="+370…" so that none '
            "is rounded or loses its +.",
        ),
    ] = False,
) -> None:
    """Every recipient and what became of the message, a row each, streamed to standard output in UTF-8.

    CSV as RFC 4180 has it, lines ending in a line feed. Text that others wrote
    (own columns and their names, the provider's words and ids, reasons) and
    that a spreadsheet would run as a formula, because it begins with = + - @
    or a control character, has an apostrophe before it; --raw leaves that out,
    JSONL never has it. The column phone is ours and begins with + as it is:
    for Excel say --excel.
    """
    if (raw or excel) and file_format != "csv":
        raise typer.BadParameter("--raw and --excel are for CSV")

    async def work(backend: Backend) -> None:
        # A terminal would obey control characters; a file gets them unchanged.
        shown = _printable if sys.stdout.isatty() else _as_it_is
        columns, lines = await backend.export(read_id(campaign_id), file_format, refused=refused)
        if file_format == "jsonl":
            await _write(lines, lambda line: json_of(line) + "\n")
        else:
            head = ("\ufeff" if excel else "") + csv_cells.head_line(
                (str(shown(name)) for name in columns), raw=raw
            )

            def row(line: dict[str, Any]) -> str:
                cells = ((name, shown(line.get(name))) for name in columns)
                return csv_cells.line(cells, raw=raw, excel=excel)

            await _write(lines, row, head)

    use(work)


async def _write(
    lines: AsyncGenerator[dict[str, Any], None], shown: Callable[[dict[str, Any]], str], head: str = ""
) -> None:
    held, held_characters = [head], 0
    # Closed here in every case: a reader that stops early (`| head`) ends the loop in the middle.
    async with aclosing(lines):
        async for line in lines:
            held.append(shown(line))
            held_characters += len(held[-1])
            if held_characters >= _CHARACTERS_A_WRITE:
                write_bytes(_encoded(held))
                held, held_characters = [], 0
    write_bytes(_encoded(held))
    sys.stdout.flush()


def _encoded(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode(errors="backslashreplace")


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def _as_it_is(value: object) -> object:
    return value
