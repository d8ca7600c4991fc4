"""Garbage in: submissions nobody should have made. Each becomes a campaign that adds up, or one sentence
and nothing stored; the process lives on and does not grow.
"""

import asyncio
import gc
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from campaigns import submission
from campaigns.domain.blocks import Block
from campaigns.domain.errors import CampaignError
from campaigns.domain.policy import BATCH_SIZE
from campaigns.domain.recipients import read_recipients
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from tests.acceptance.processes import BIN, environment
from tests.chaos.garbage import SECRET, Garbage, garbage
from tests.conftest import POLICY
from tests.integration.rows import query
from worker.stack.embedded.servers import ServerUrls

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

COUNT = int(os.environ.get("CHAOS_GARBAGE", "10000"))
STEPS = 10
AT_ONCE = 4
# After the first two steps, in which caches fill. Objects are exact, and what we keep ourselves takes two a
# submission; memory is not: each thread that met ten megabytes or deep nesting keeps its heap and stack.
MOST_OBJECTS_EACH = 3
MOST_OBJECTS = 3000
MOST_GROWTH_BYTES = 256 * 1024 * 1024

_OUR_NUMBERS = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\+37060000000|row \d+|than \d+ characters"
)
_LONG_NUMBER = re.compile(r"\d(?:[ ()./-]?\d){6,}")
_VARIABLE = re.compile(r"'[^']*'|\([^)]*\)|\{[^}]*\}|\d+")


def complaint(error: BaseException) -> str | None:
    """What is wrong with a refusal; None when it is one sentence that may be shown to anybody."""
    said = str(error)
    troubles = {
        f"{type(error).__name__} is no error of ours": not isinstance(error, CampaignError),
        "it is empty": not said.strip(),
        "it has more than 400 characters": len(said) > 400,
        "it is more than a line, or moves the cursor": not said.isprintable(),
        "it holds a number": _LONG_NUMBER.search(_OUR_NUMBERS.sub("", said)) is not None,
        "it holds what stood in a cell": SECRET in said,
        "an error behind it holds what stood in a cell": SECRET in "".join(traceback.format_exception(error)),
        "it holds a traceback": "Traceback" in said or 'File "' in said,
    }
    return next((trouble for trouble, is_so in troubles.items() if is_so), None)


@dataclass(slots=True)
class Tally:
    """What the submissions came to."""

    taken: dict[UUID, tuple[int, TakenIn, frozenset[str] | None]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)  # of those taken in
    sentences: Counter[str] = field(default_factory=Counter)
    fingerprints: set[bytes] = field(default_factory=set)
    known_count: int = 0  # the submission key and the content were there already


async def attempt(database: Database, number: int, tally: Tally) -> None:
    """One submission the way the doors make it: a file through the reader, a list through blocks_of."""
    made = garbage(number)
    tally.fingerprints.add(sha256(pickle.dumps((made.source, made.wanted))).digest())
    row_count = 0

    def counted(blocks: Iterable[Block]) -> Iterator[Block]:
        nonlocal row_count
        for block in blocks:
            row_count += len(block)
            yield block

    try:
        taken = await submission.submit(database, POLICY, made.wanted, counted(_rows(made)))
    except Exception as error:  # whatever it is: `complaint` says whether it may be
        trouble, said = complaint(error), str(error)
    else:
        if not taken.created:
            tally.known_count += 1
            return
        assert taken.recipient_count >= 1
        assert taken.recipient_count + sum(taken.refused.values()) == row_count, f"{number} lost a row"
        tally.kinds[made.kind] += 1
        tally.taken[taken.id] = (number, taken, made.planted)
        return
    assert trouble is None, f"submission {number} ({made.kind}): {trouble}: {said[:600]!r}"
    tally.sentences[_VARIABLE.sub("…", said)] += 1


def _rows(made: Garbage) -> Iterable[Block]:
    if made.kind == "foreign":
        return submission.blocks_of(made.source)
    return read_recipients([made.source], format=None, name="list.csv")


async def assert_exactly_that_is_stored(database: Database, tally: Tally) -> None:
    """Every row that is there belongs to a campaign that was taken in, and adds up."""
    stored = await query(
        database,
        "SELECT c.id, c.recipient_count, c.refused::text AS refused,"
        " (SELECT coalesce(sum(b.message_count), 0) FROM batch b WHERE b.campaign_id = c.id) AS in_batches,"
        " (SELECT count(*) FROM refusal r WHERE r.campaign_id = c.id) AS refusal_count,"
        " array(SELECT m.phone FROM batch b JOIN message m ON m.batch_id = b.id WHERE b.campaign_id = c.id)"
        " AS phones FROM campaign c",
    )
    assert {row["id"] for row in stored} == set(tally.taken)
    for row in stored:
        number, taken, planted = tally.taken[row["id"]]
        assert row["recipient_count"] == row["in_batches"] == len(row["phones"]) == taken.recipient_count
        assert json.loads(row["refused"]) == dict(taken.refused)
        assert row["refusal_count"] == sum(taken.refused.values())
        assert len(set(row["phones"])) == len(row["phones"])
        assert planted is None or set(row["phones"]) <= planted, f"{number}: a number was made up"
    (counts,) = await query(
        database,
        "SELECT (SELECT count(*) FROM batch) AS batch, (SELECT count(*) FROM message) AS message,"
        " (SELECT count(*) FROM refusal) AS refusal",
    )
    everything = [taken for _, taken, _ in tally.taken.values()]
    assert counts == {
        "batch": sum(-(-taken.recipient_count // BATCH_SIZE) for taken in everything),
        "message": sum(taken.recipient_count for taken in everything),
        "refusal": sum(sum(taken.refused.values()) for taken in everything),
    }


async def nothing_is_left_behind(database: Database) -> None:
    """Temporary tables go with their connections; those closed a moment ago still end."""
    deadline = time.monotonic() + 30
    while await query(database, "SELECT relname FROM pg_class WHERE relpersistence = 't'"):
        assert time.monotonic() < deadline, "what was staged stays"
        await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What this process holds."""

    object_count: int
    resident_bytes: int
    file_count: int
    thread_count: int


def footprint() -> Footprint:
    gc.collect()
    return Footprint(
        sys.getallocatedblocks(),
        int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
    )


@pytest.mark.short
async def test_17_garbage_is_taken_in_whole_or_not_at_all(database: Database) -> None:
    """Ten thousand of them; what is stored is looked at ten times and must be exactly what was taken in."""
    tally = Tally()
    began, early = time.monotonic(), footprint()
    for step in range(STEPS):
        numbers = iter(range(COUNT * step // STEPS, COUNT * (step + 1) // STEPS))

        async def work(mine: Iterator[int] = numbers) -> None:
            for number in mine:
                await attempt(database, number, tally)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await assert_exactly_that_is_stored(database, tally)
        if step == 1:
            early = footprint()
    late = footprint()
    grown_bytes = late.resident_bytes - early.resident_bytes
    grown_objects = late.object_count - early.object_count
    print(  # noqa: T201  `pytest -s` and docs/chaos.md want it
        json.dumps(
            {
                "submissions": COUNT,
                "different": len(tally.fingerprints),
                "taken_in": dict(tally.kinds),
                "known": tally.known_count,
                "sentences": len(tally.sentences),
                "grown_bytes": grown_bytes,
                "grown_objects": grown_objects,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )
    assert grown_bytes < MOST_GROWTH_BYTES, "the process grows with what it refuses"
    assert grown_objects < COUNT * MOST_OBJECTS_EACH + MOST_OBJECTS, "something of each submission stays"
    assert late.file_count <= early.file_count + AT_ONCE, "files stay open"
    assert late.thread_count <= early.thread_count + AT_ONCE, "threads stay behind"
    assert len(tally.fingerprints) > COUNT * 0.9, "most of them are the same"
    assert len(tally.sentences) >= min(50, COUNT // 20), "it is all refused for the same few reasons"
    assert sum(tally.kinds.values()) >= COUNT // 20, (
        "it is all refused: nothing says what is taken in adds up"
    )
    await nothing_is_left_behind(database)


# --- the command line --------------------------------------------------------------------------------------

JUNK = bytes(range(256)) * 40
ONE = b"phone\n+37060000001\n"
COMMANDS: list[tuple[str, list[str], bytes]] = [
    ("binary", ["-"], JUNK[128:]),
    ("nothing", ["-"], b""),
    ("a torn quote", ["-"], f'phone,name\n+37060000001,"{SECRET}\n'.encode()),
    ("deep", ["-"], b'{"phone":' + b"[" * 100_000),
    ("nobody to send to", ["-"], f"phone\n{SECRET}\n+3706000000\n".encode()),
    ("endless", ["/dev/zero"], b""),
    ("a folder", ["."], b""),
    ("an odd text", ["-", "--text", "{0.__class__}"], ONE),
    ("half a character", ["-", "--text", "\udcff"], ONE),
    ("a number for a region", ["-", "--region", "+37060000001"], ONE),
    ("a number for a column", ["-", "--phone-column", "+37060000001\n"], ONE),
]


async def test_17_garbage_through_the_command_line(
    database: Database, database_url: str, servers: ServerUrls, folder: Path, subtests: pytest.Subtests
) -> None:
    """A file, standard input, a device: exit code 1, one line on stderr, nothing stored."""
    settings = environment(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": servers.redis_url,
            "DATA_DIR": str(folder),
            "ACCOUNTS__MAIN__PROVIDER": "lightsms",
            "ACCOUNTS__MAIN__LOGIN": "YourLogin",
            "ACCOUNTS__MAIN__API_KEY": "your_api_key",
            "ACCOUNTS__MAIN__SENDER_ID": "Demo",
            "ACCOUNTS__MAIN__BASE_URL": "http://127.0.0.1:9",
        }
    )
    for name, (file, *more), content in COMMANDS:
        with subtests.test(name):
            text = [] if "--text" in more else ["--text", "Hi"]
            done = await asyncio.to_thread(
                subprocess.run,
                [str(BIN / "campaigns"), "submit", file, "--account", "main", *text, *more],
                env=settings,
                cwd=folder,
                input=content,
                capture_output=True,
                timeout=60,
                check=False,
            )
            said = done.stderr.decode()
            assert done.returncode == 1, said
            assert done.stdout == b""
            assert said.startswith("Error: ")
            assert said.endswith("\n")
            assert complaint(CampaignError(said[:-1])) is None, said
    await assert_exactly_that_is_stored(database, Tally())
