"""What the floor and the peers share, so that they differ in the queue alone: the same HTTP calls, the same
table, the same two updates. No pool, no lease, no doubt, no pace: what a bare script would do.

Imports nothing of ours: each rival runs with its own dependencies, also where ours are not installed.
"""

import csv
import hashlib
import json
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

LOGIN, API_KEY, SENDER = "YourLogin", "your_api_key", "Demo"
TEXT = "Hello"
PERSONAL_TEXT = (
    "Dear {name}, your order {order} is on its way to {city} and will be there on {day}. If nobody is at"
    " home, we leave it next door. Follow it here: {link} Thank you for your trust, {name}!"
)
"""Of the personal workload: some two hundred characters, another text for each recipient."""
BATCH_SIZE = 100

MAKE_TABLE = (
    "CREATE TABLE recipient (id int PRIMARY KEY, phone text NOT NULL, text text,"
    " state text NOT NULL DEFAULT 'queued', provider_message_id text)"
)
WRITE_IDS = (
    "UPDATE recipient r SET provider_message_id = u.provider_message_id, state = 'accepted'"
    " FROM unnest($1::int[], $2::text[]) AS u(id, provider_message_id) WHERE r.id = u.id"
)
WRITE_STATES = (
    "UPDATE recipient r SET state = u.state FROM unnest($1::int[], $2::text[]) AS u(id, state)"
    " WHERE r.id = u.id"
)
COUNT_UNSETTLED = "SELECT count(*) FROM recipient WHERE state <> 'delivered'"


@dataclass(frozen=True)
class Job:
    """What one run is about, as the harness hands it over in the environment variable BENCH."""

    recipients_file: str
    database_url: str  # asyncpg's form
    redis_url: str  # redis-py's form
    broker_url: str  # Celery's form
    base_url: str  # the simulator's
    in_flight: int
    done_file: str  # grows by a byte for each task that is done, so that nobody need ask the database
    is_personal: bool = False  # a text of its own for each recipient, and so a request for each

    @classmethod
    def read(cls) -> "Job":
        """The job of this process."""
        return cls(**json.loads(os.environ["BENCH"]))


def read_phones(recipients_file: str) -> list[str]:
    """The recipients' numbers as the provider takes them: digits without +."""
    with Path(recipients_file).open(newline="") as stream:
        return [row["phone"][1:] for row in csv.DictReader(stream)]


def read_recipients(job: Job) -> list[str]:
    """The recipients' numbers; where each has a text of its own, a tab and the text follow."""
    if not job.is_personal:
        return read_phones(job.recipients_file)
    with Path(job.recipients_file).open(newline="") as stream:
        return [f"{row['phone'][1:]}\t{PERSONAL_TEXT.format(**row)}" for row in csv.DictReader(stream)]


def signed(parameters: dict[str, str]) -> dict[str, str]:
    """A LightSMS query: md5 over the values in order of their names, then the key."""
    whole = {"login": LOGIN, "return": "json", "timestamp": str(int(time.time())), **parameters}
    values = "".join(whole[name] for name in sorted(whole)) + API_KEY
    return whole | {"signature": hashlib.md5(values.encode(), usedforsecurity=False).hexdigest()}


async def send(session: aiohttp.ClientSession, base_url: str, recipients: Sequence[str]) -> list[str]:
    """One request for a batch; one for each where texts differ, for a request takes one text.

    Gives their ids, in order. Raises KeyError where one was not taken.
    """
    url = f"{base_url}/external/get/send.php"
    if "\t" not in recipients[0]:
        answer = await _get(
            session, url, signed({"phone": ",".join(recipients), "text": TEXT, "sender": SENDER})
        )
        return [answer[phone]["id_sms"] for phone in recipients]
    ids = []
    for recipient in recipients:
        phone, text = recipient.split("\t")
        answer = await _get(session, url, signed({"phone": phone, "text": text, "sender": SENDER}))
        ids.append(answer[phone]["id_sms"])
    return ids


async def ask(session: aiohttp.ClientSession, base_url: str, ids: Sequence[str]) -> list[str]:
    """One question for a batch. Gives the words, in order."""
    answer = await _get(session, f"{base_url}/external/get/status.php", signed({"state": ",".join(ids)}))
    return [answer[each] for each in ids]


async def _get(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> dict[str, Any]:
    async with session.get(url, params=query) as response:
        response.raise_for_status()
        answer: dict[str, Any] = json.loads(await response.read())
        return answer


async def fill(connection: asyncpg.Connection | asyncpg.Pool, recipients: Sequence[str]) -> None:
    """COPY the recipients in."""
    records = ((number, *recipient.split("\t")) for number, recipient in enumerate(recipients))
    columns = ("id", "phone", "text")[: 2 + recipients[0].count("\t")]
    await connection.copy_records_to_table("recipient", records=records, columns=columns, timeout=600)


async def send_and_settle(
    session: aiohttp.ClientSession,
    pool: asyncpg.Pool,
    base_url: str,
    ids: Sequence[int],
    recipients: Sequence[str],
) -> None:
    """The life of one batch: hand over, write ids back, ask, write states back."""
    message_ids = await send(session, base_url, recipients)
    await pool.execute(WRITE_IDS, ids, message_ids)
    words = await ask(session, base_url, message_ids)
    await pool.execute(WRITE_STATES, ids, words)


def open_session(in_flight: int) -> aiohttp.ClientSession:
    """Bare aiohttp: connections kept alive, as many as requests in flight."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=in_flight), timeout=aiohttp.ClientTimeout(total=60)
    )


def tick_off(job: Job) -> None:
    """Say that a task is done: a byte, appended by whichever process."""
    descriptor = os.open(job.done_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b".")
    finally:
        os.close(descriptor)


def done_count(job: Job) -> int:
    """How many tasks are done."""
    path = Path(job.done_file)
    return path.stat().st_size if path.exists() else 0


def report(**found: Any) -> None:
    """A driver's result for the harness: one line of JSON, its last."""
    print(json.dumps(found | {"peak_bytes": _peak_bytes()}), flush=True)


def _peak_bytes() -> int:
    # Not ru_maxrss: on Linux a process inherits that from its parent.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS, which counts bytes
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
