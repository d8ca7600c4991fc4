"""Every point of a hand-over at which a crash matters, against every way to fail there."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.failing_worker import FAULTS, POINTS
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.folders import passable_folder
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

COUNT = min(RECIPIENTS, 400)  # fifteen cases share the time of one scenario
LEASE_SECONDS = 11.0

# Of what was in hand at the point: how it ends, and how often the provider has it. Only these are in doubt:
# the intent is committed and the outcome is not, and the worker never comes to commit it.
IN_DOUBT = {
    ("before_request", "kill"): 0,
    ("after_request", "kill"): 1,
    ("before_commit", "kill"): 1,  # stopped there it holds the row: nobody takes its lease, and it commits
}


@pytest.fixture(scope="module")
def sea() -> Iterator[Storm]:
    """Servers, simulator and beat for all cases; each starts workers of its own on an empty database."""
    with (
        passable_folder("campaigns-chaos-") as folder,
        storm(
            folder,
            LEASE_SECONDS=str(LEASE_SECONDS),
            ACCOUNTS__MAIN__TIMEOUT_SECONDS="1",
            ACCOUNTS__MAIN__REQUESTS_PER_SECOND="50",
            ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST="20",
        ) as raging,
    ):
        raging.begin(workers=0, simulator=("--latency-seconds", "0.05"))
        yield raging


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", POINTS)
async def test_22_every_failpoint_and_every_fault(sea: Storm, point: str, fault: str) -> None:
    """One pass is hit, drawn from the seed; what was in hand ends as it must, and everything else arrives."""
    began = time.monotonic()
    record = sea.directory / f"{point}-{fault}"
    if sea.has_no_postgres():  # a case before failed
        sea.start_missing_servers()
    sea.rows.clear()
    sea.of_simulator("/_ledger", "DELETE")
    await sea.sql("TRUNCATE campaign, batch, message, account_hold CASCADE")
    nurse = _Nurse(sea, point)
    try:
        for name in nurse.names:
            sea.log(name).unlink(missing_ok=True)
            sea.fail_at(name, f"{point}:{fault}:1/4", record)
            sea.worker(name)
        campaign_id = sea.submit(COUNT)
        await sea.until_quiet(meanwhile=nurse.look)
        await nurse.until_all_are_well()
        # Who was frozen says late what became of it: not taken, and it is sent once more; or taken.
        spooled = sea.directory / "servers" / "late-answers"
        wait_until(lambda: not list(spooled.glob("*.jsonl")), "late answers are merged")
        await sea.until_quiet()
        found = await sea.judge(campaign_id)
    finally:
        nurse.dismiss()

    passes = [json.loads(line) for line in record.read_text().splitlines()]
    (hit,) = (each["phones"] for each in passes if each["hit"])
    rows = await sea.sql("SELECT phone, state::text AS state FROM message")
    states = {row["phone"]: row["state"] for row in rows}
    ledger = ledger_counts(sea.url)
    doubt = IN_DOUBT.get((point, fault))
    assert {states[phone] for phone in hit} == {"delivered" if doubt is None else "in_doubt"}
    assert {ledger[phone[1:]] for phone in hit} == {1 if doubt is None else doubt}
    assert nurse.treated == [fault]
    told = {
        "scenario": "22",
        "point": point,
        "fault": fault,
        "hit": len(hit),
        "in_doubt": found.in_doubt_count,
    }
    print(json.dumps({**told, "seconds": round(time.monotonic() - began, 1)}))  # noqa: T201  for docs/chaos.md


class _Nurse:
    """Does for the processes what a supervisor and an operator do: starts, wakes."""

    names = ("worker-0", "worker-1")

    def __init__(self, raging: Storm, point: str) -> None:
        self._raging = raging
        self._point = point
        self._asleep_since: dict[str, float] = {}
        self.treated: list[str] = []

    async def until_all_are_well(self) -> None:
        """Until who stood still is awake, and has said that its lease is lost where it is."""
        deadline = time.monotonic() + 30
        while self._asleep_since and not self._is_fenced():
            assert time.monotonic() < deadline, "nobody says that its lease is lost"
            await self.look()
            await asyncio.sleep(0.05)

    def _is_fenced(self) -> bool:
        if "stop" not in self.treated:
            return False
        held_on = self._point in ("before_commit", "after_commit")
        return held_on or any("lease lost" in self._raging.log(name).read_text() for name in self.names)

    async def look(self) -> None:
        """One look at everything."""
        raging = self._raging
        if raging.has_no_postgres():
            raging.start_missing_servers()
            self.treated.append("postgres")
        for name in self.names:
            if raging.has_ended(name):
                self.treated.append("kill")
                await raging.bury()
                raging.worker(name)
            elif raging.is_stopped(name):
                # Past the lease, and a tick to take it back where nobody holds the row.
                since = self._asleep_since.setdefault(name, time.monotonic())
                if time.monotonic() - since > LEASE_SECONDS + 2.5:
                    raging.signal_process(name, signal.SIGCONT)
                    self.treated.append("stop")

    def dismiss(self) -> None:
        """Leave nobody behind for the next case."""
        for name in self.names:
            self._raging.kill(name)
