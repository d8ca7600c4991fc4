"""A rival that cheats gets no figure: what the harness must notice, on real servers and a real simulator."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import pages, timeline
from benchmarks.ground import Ground, Refused, ground
from benchmarks.rivals import FLOOR, Rival, run

pytestmark = pytest.mark.acceptance

RECIPIENTS = 250

_CHEAT = """
import asyncio
from benchmarks import calls, floor

honest = floor.send_and_settle


async def cheat(session, pool, base_url, ids, phones):
    {body}


floor.send_and_settle = cheat
floor.main()
"""


@pytest.fixture(scope="module")
def there() -> Iterator[Ground]:
    with ground() as made, made.provider(0.0):
        yield made


def _cheating(folder: Path, body: str) -> Rival:
    script = folder / "cheat.py"
    script.write_text(_CHEAT.format(body=body))
    return replace(FLOOR, name="cheat", driver=(sys.executable, str(script)))


def test_the_floor_does_its_job_and_is_measured(there: Ground) -> None:
    done = run(there, FLOOR, RECIPIENTS, limit_seconds=60)
    assert done.recipients == RECIPIENTS
    assert 0 < done.submission_seconds <= done.seconds
    assert done.requests == {"send": 3, "status": 3}
    assert done.cpu_seconds["driver"] > 0
    assert done.peak_bytes["driver"] > 2**20


def test_a_run_with_a_text_for_each_is_seen_in_time(there: Ground) -> None:
    with there.personal(True):
        said = timeline.watch(there, FLOOR, 20 * RECIPIENTS)  # fewer are less than a tick of PostgreSQL's
    _, _, head, _, *lines = said.splitlines()
    assert head == "| s | postgresql | redis | provider | driver | the machine | stolen |"
    cores = [[float(each) for each in line.strip("| ").split(" | ")] for line in lines]
    assert all(sum(sample[column] for sample in cores) > 0 for column in (1, 3, 4)), said
    assert there.requests() == {"send": 20 * RECIPIENTS, "status": 50}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("await honest(session, pool, base_url, ids, phones); "
         "await calls.send(session, base_url, phones[:1])",
         "3 more than once"),
        ("await honest(session, pool, base_url, ids[1:], phones[1:])", "3 were not sent to"),
        ("await calls.send(session, base_url, phones)", "250 are not settled"),
        ("raise RuntimeError('broken down')", "broken down"),
        ("await asyncio.sleep(60)", "did not end within 3 s"),
    ],
)  # fmt: skip
def test_a_rival_that_does_not_do_its_job_gets_no_figure(
    there: Ground, tmp_path: Path, body: str, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        run(there, _cheating(tmp_path, body), RECIPIENTS, limit_seconds=3 if "sleep" in body else 60)


def test_a_server_that_forgets_is_refused(there: Ground) -> None:
    url = there.fresh_database(migrated=False)
    name = there.value(url, "SELECT current_database()")
    there.check_durable(url)
    there.sql(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(Refused, match="synchronous_commit"):
        there.check_durable(url)
    there.drop(url)


def test_every_page_is_asked_for(there: Ground) -> None:
    rows = pages.measure(there, messages=2_000, repeat=1, limit_seconds=100)
    assert len({row.what for row in rows}) == len(rows) > 50
    assert [row.figure.median for row in rows] == sorted((row.figure.median for row in rows), reverse=True)
    large = [pages.MOST_BYTES, pages.MOST_BYTES + 1]
    with pytest.raises(Refused, match="page: keys has 60001 bytes"):
        pages.rows({"page: keys": [[1.0, size] for size in large]}, 1)
