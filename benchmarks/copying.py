"""The floor of a submission: a process that reads the CSV row by row and COPYs it in. Nothing is checked."""

import asyncio
import csv
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from benchmarks.calls import MAKE_TABLE, Job


def _rows(recipients_file: str) -> Iterator[tuple[int, str]]:
    with Path(recipients_file).open(newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            yield number, row["phone"]


async def _whole(job: Job) -> None:
    connection = await asyncpg.connect(job.database_url)
    try:
        await connection.execute(MAKE_TABLE)
        await connection.copy_records_to_table(
            "recipient", records=_rows(job.recipients_file), columns=("id", "phone"), timeout=3600
        )
    finally:
        await connection.close()


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        runner.run(_whole(Job.read()))
