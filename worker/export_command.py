"""`campaigns export`: every recipient of a campaign and what became of them, for other programs."""

import csv
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import typer

from campaigns import aggregation
from campaigns.store.session import Database
from worker.terminal import CampaignId, do, read_id


def export(
    campaign_id: CampaignId,
    file_format: Annotated[Literal["csv", "jsonl"], typer.Option("--format")] = "csv",
    refused: Annotated[bool, typer.Option(help="The recipients not taken in, by row, instead.")] = False,
) -> None:
    """Every recipient and what became of the message, a row each, streamed to standard output."""

    async def work(database: Database) -> None:
        wanted = read_id(campaign_id)
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
