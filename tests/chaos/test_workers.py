"""Workers that die, freeze, drain and are poisoned; a provider's clock and a broker that are wrong."""

import json
import signal
import time
import urllib.request
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.redelivery import Redelivery
from tests.chaos.storm import RECIPIENTS, SEED, Storm, storm
from tests.waiting import wait_until
from worker.queues import POLL_BATCHES, QUEUE_OF, SEND_BATCHES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

# Who holds a lease is named host:process:token.
_HELD = (
    "SELECT m.phone, m.state::text AS state FROM batch b JOIN message m ON m.batch_id = b.id"
    " WHERE b.state = 'leased' AND b.leased_for = 'sending' AND split_part(b.leased_by, ':', 2) = $1"
)
_HOLDS_NOTHING = (
    "SELECT 1 WHERE NOT EXISTS"
    " (SELECT 1 FROM batch WHERE state = 'leased' AND split_part(leased_by, ':', 2) = $1)"
)
_IN_FLIGHT = (
    "SELECT 1 FROM batch WHERE state = 'leased' AND sending_count > 0 AND split_part(leased_by, ':', 2) = $1"
)


async def test_01_workers_killed_twenty_times(folder: Path) -> None:
    """kill -9 at random moments: what was in flight is in doubt, nothing more; all else arrives, once."""
    with storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.2"))
        campaign_id = raging.submit(texts=7)
        in_flight: list[int] = []  # messages, at each kill

        def moved(before: int) -> bool:
            return raging.accepted_count() > before or raging.totals(campaign_id)["queued"] == 0

        for number in range(20):
            name = f"worker-{number % 2}"
            wait_until(
                partial(moved, raging.accepted_count()),
                "something moves between two kills",
                seconds=60,
                every=raging.random.uniform(0.05, 0.4),
            )
            pid = str(raging.pid(name))
            raging.kill(name)
            held = await raging.sql(_HELD, pid)
            in_flight.append(sum(row["state"] == "sending" for row in held))
            raging.worker(name)
        raging.quiet(campaign_id)
        found = await raging.judge(campaign_id)
        print(f"in flight at each kill: {in_flight}")  # noqa: T201  docs/chaos.md wants it
        assert len(in_flight) == 20
        assert 0 < found.in_doubt_count <= sum(in_flight)


async def test_02_workers_frozen_past_their_lease(folder: Path) -> None:
    """Four workers freeze for longer than their lease: with requests in flight, between intent and request,
    behind the last look at the clock, inside the transaction that writes the answer. On waking they
    neither send nor overwrite: what they had begun stays in doubt, but for what an answer they had in hand
    says of it; the rest others did.
    """
    points = ("before_request", "on_the_wire", "before_commit")
    frozen = ("worker-0", *(f"worker-{point}" for point in points))
    with storm(
        folder,
        LEASE_SECONDS="11",
        ACCOUNTS__MAIN__TIMEOUT_SECONDS="1",
        ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20",
        ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST="20",
    ) as raging:
        for point in points:
            raging.fail_at(f"worker-{point}", f"{point}:stop:1/2", folder / point)
        raging.begin(workers=1, simulator=("--latency-seconds", "0.2"))
        for name in frozen[1:]:
            raging.worker(name)
        campaign_id = raging.submit()

        await _freeze_in_flight(raging, "worker-0")
        for name in frozen[1:]:
            # It may be waiting for what lies with a frozen one, to whom Redis still hands what comes.
            wait_until(partial(raging.is_stopped, name), f"{name} stands still", seconds=60)
        raging.worker("worker-1")  # not before: it could leave them nothing to freeze over
        held = {row["phone"] for name in frozen for row in await _held(raging, name)}
        for name in frozen:
            # Inside a transaction it holds its batch's row until PostgreSQL ends the session (30 s).
            await raging.until(
                _HOLDS_NOTHING, str(raging.pid(name)), what=f"the leases of {name} are taken back"
            )
        doubtful = (
            "SELECT phone, attempt, updated_at, provider_message_id FROM message WHERE state = 'in_doubt'"
        )
        before = {row["phone"]: row for row in await raging.sql(doubtful)}
        for name in frozen:
            raging.signal_process(name, signal.SIGCONT)
        for name in frozen:
            # Inside a transaction it lost its session too, and it may have had nothing else in hand.
            also = ("database away",) if name == "worker-before_commit" else ()
            wait_until(partial(_says, raging, name, "lease lost", *also), f"{name} is fenced off")
        # An answer that was in hand is evidence without a lease: what it names is followed to its end. When
        # they have ended in order, each is merged or left on disk, to the next worker.
        assert {name: raging.stop(name) for name in frozen} == dict.fromkeys(frozen, 0)
        raging.worker("worker-2")
        spooled = raging.directory / "servers" / "late-answers"
        wait_until(lambda: not list(spooled.glob("*.jsonl")), "late answers are merged")
        await raging.until_quiet()
        found = await raging.judge(campaign_id)

        after = {row["phone"]: row for row in await raging.sql(doubtful)}
        named = {line["phone"] for line in raging.export(campaign_id) if line["provider_message_id"]}
        still = {phone: row for phone, row in before.items() if phone not in named}
        assert {phone: after.get(phone) for phone in still} == still, "somebody overwrote what was in doubt"
        lines = {line["phone"]: line["state"] for line in raging.export(campaign_id)}
        assert {lines[phone] for phone in held} <= {"in_doubt", "delivered"}
        ledger = ledger_counts(raging.url)
        for point in points:
            (hit,) = _hits(folder / point)
            assert set(hit) <= set(before), f"{point}: not in doubt"
            # What was held back on waking was certainly not taken: that late answer queued it again, and it
            # was sent once. On the wire: in doubt, or refused for an old signature and sent once.
            assert {ledger[phone[1:]] for phone in hit} <= ({0, 1} if point == "on_the_wire" else {1}), point
        assert found.in_doubt_count >= 20, "the request of worker-0 was in flight"
        _tell("02", fenced=raging.logs_hold("lease lost"), held=len(held), in_doubt=found.in_doubt_count)


async def test_14_a_providers_clock_ten_minutes_off(folder: Path) -> None:
    """Ten minutes ahead, then ten behind, then right again: each time the clock is learned anew."""
    with storm(
        folder,
        ACCOUNTS__MAIN__REQUESTS_PER_SECOND="50",
        ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST="10",
    ) as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.1"))
        raging.fault("clock", "*", offset_seconds=600)
        campaign_id = raging.submit()
        for offset_seconds in (-600, 0):
            more = raging.accepted_count() + RECIPIENTS // 4
            wait_until(partial(_has_accepted, raging, more), "a quarter more is accepted", seconds=60)
            (former,) = raging.faults()
            raging.fault("clock", "*", offset_seconds=offset_seconds)
            raging.of_simulator(f"/_faults/{former['id']}", "DELETE")  # from here on the next one holds
        await raging.until_quiet()
        found = await raging.judge(campaign_id)

        asked = raging.of_simulator("/_ledger")["requests"]
        refused_count = asked["send"] - _taking_requests(raging)
        assert found.totals["delivered"] == RECIPIENTS
        assert found.in_doubt_count == 0
        assert refused_count >= 2, "no request met the other clock"
        assert asked["timestamp"] >= 3
        assert raging.logs_hold("invalid signature or stale timestamp") >= 2
        assert raging.logs_hold("account on hold") == 0
        assert await raging.sql("SELECT 1 FROM account_hold") == []
        _tell("14", refused_count=refused_count, learned_count=asked["timestamp"])


async def test_15_every_task_again_and_late(folder: Path) -> None:
    """Every task is delivered two or three times, late and in random order, and all once more at the end:
    whoever takes the lease up first works, and nobody else does.
    """
    with storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "0.1"))
        redelivery = Redelivery(raging.redis(), SEED)
        with redelivery:
            campaign_id = raging.submit(texts=7)
            await raging.until_quiet()
        asked = raging.of_simulator("/_ledger")["requests"]
        assert asked["send"] == _taking_requests(raging), "a copy sent something"
        copy_count = redelivery.copy_count
        redelivery.replay()
        wait_until(redelivery.is_drained, "the workers took every old task")
        raging.stop_workers()  # having ended what they took
        assert raging.of_simulator("/_ledger")["requests"] == asked, "an old task asked or sent"
        found = await raging.judge(campaign_id)
        assert found.totals["delivered"] == RECIPIENTS
        assert [tuple(row) for row in await raging.sql("SELECT DISTINCT attempt FROM message")] == [(1,)]
        in_tasks = Counter[str]()  # batches, of which a task carries a few
        for queue, message in redelivery.seen:
            in_tasks[queue] += _batch_count(message)
        assert in_tasks[QUEUE_OF[SEND_BATCHES]] >= RECIPIENTS / 100
        assert in_tasks[QUEUE_OF[POLL_BATCHES]] >= RECIPIENTS / 100
        assert copy_count >= len(redelivery.seen) > 0
        _tell("15", tasks=len(redelivery.seen), copies=redelivery.copy_count)


def _batch_count(message: bytes) -> int:
    """How many batches a published task carries."""
    positional, _, _ = json.loads(b64decode(json.loads(message)["body"]))
    return len(positional[0])


async def test_18_a_drain_under_load(folder: Path) -> None:
    """SIGTERM in mid-request, once or twice: the worker sees its requests to their end, not its batches (of
    twenty requests), and leaves nothing in doubt. SIGQUIT ends it with an error, and nothing is sent twice.
    """
    with storm(
        folder,
        ACCOUNTS__MAIN__REQUESTS_PER_SECOND=str(RECIPIENTS / 5 / 40),  # forty seconds of requests
        ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST="5",
    ) as raging:
        raging.begin(workers=2, simulator=("--latency-seconds", "1"))
        campaign_id = raging.submit()
        drains = []
        for name, times in (("worker-0", 1), ("worker-1", 1), ("worker-0", 2), ("worker-1", 2)):
            await _in_flight(raging, name)
            began = time.monotonic()
            for _ in range(times - 1):
                raging.signal_process(name, signal.SIGTERM)
                wait_until(partial(_says, raging, name, "Warm shutdown"), "it drains")
            assert raging.stop(name) == 0
            drains.append(time.monotonic() - began)
            raging.log(name).unlink()  # the next one begins a log of its own
            raging.worker(name)
        assert max(drains) < 10, f"whole batches were seen to their end: {drains}"
        assert await raging.sql("SELECT 1 FROM message WHERE state = 'in_doubt'") == []
        await _in_flight(raging, "worker-0")
        assert raging.stop("worker-0", signal.SIGQUIT) != 0
        raging.worker("worker-0")
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        _tell("18", longest_drain_seconds=round(max(drains), 1), in_doubt=found.in_doubt_count)


async def test_21_a_batch_that_kills_its_worker(folder: Path) -> None:
    """It is set aside after five workers, and says so. The batches that were in the same worker are not:
    what of them was in flight is in doubt, the rest arrives.
    """
    with (
        storm(
            folder,
            LEASE_SECONDS="11",
            ACCOUNTS__MAIN__TIMEOUT_SECONDS="1",
            ACCOUNTS__MAIN__REQUESTS_PER_SECOND="50",
        ) as raging,
        raging.supervised() as ended,
    ):
        number = raging.random.randrange(RECIPIENTS)
        poison = f"+3706{number // 80:05d}{number % 80:02d}"
        raging.failing["worker-0"] = {
            "FAIL_POISON": poison
        }  # the only one: whoever is dealt with it dies with it
        raging.begin(workers=1, simulator=("--latency-seconds", "0.2"))
        campaign_id = raging.submit()
        buried_count = 0

        async def bury() -> None:
            nonlocal buried_count
            if len(ended) > buried_count:
                buried_count = len(ended)
                await raging.bury()

        await raging.until_quiet(meanwhile=bury)
        found = await raging.judge(campaign_id)
        (aside,) = await raging.sql("SELECT id, crash_count FROM batch WHERE trouble LIKE 'set aside%'")
        batch = await raging.sql(
            "SELECT phone, state::text AS state, reason FROM message WHERE batch_id = $1", aside["id"]
        )
        assert poison in {row["phone"] for row in batch}
        assert {(row["state"], row["reason"]) for row in batch} == {
            ("failed", "set aside: 5 workers in a row ended while working on its batch")
        }
        assert aside["crash_count"] == len(ended) == 5
        assert found.totals["failed"] == len(batch), "another batch was set aside with it"
        assert found.totals["delivered"] + found.in_doubt_count == RECIPIENTS - len(batch)
        _tell("21", crashes=len(ended), set_aside=len(batch), in_doubt=found.in_doubt_count)


async def _held(raging: Storm, name: str) -> list[dict[str, str]]:
    """The messages of the batches a worker has leased for sending."""
    return [dict(row) for row in await raging.sql(_HELD, str(raging.pid(name)))]


async def _in_flight(raging: Storm, name: str) -> None:
    """Wait until a worker has a request in flight."""
    await raging.until(_IN_FLIGHT, str(raging.pid(name)), what=f"{name} has something in flight")


async def _freeze_in_flight(raging: Storm, name: str) -> None:
    """Stop a worker while it has requests in flight."""
    while True:
        await _in_flight(raging, name)
        raging.signal_process(name, signal.SIGSTOP)
        wait_until(partial(raging.is_stopped, name), f"{name} stands still")
        if any(row["state"] == "sending" for row in await _held(raging, name)):
            return
        raging.signal_process(name, signal.SIGCONT)


def _says(raging: Storm, name: str, *words: str) -> bool:
    log = raging.log(name).read_text()
    return any(each in log for each in words)


def _has_accepted(raging: Storm, count: int) -> bool:
    return raging.accepted_count() >= count


def _hits(record: Path) -> Iterable[list[str]]:
    """The phones of each pass that was hit, from what failing workers wrote down."""
    passes = [json.loads(line) for line in record.read_text().splitlines()]
    return [each["phones"] for each in passes if each["hit"]]


def _taking_requests(raging: Storm) -> int:
    """How many send requests the provider took something of."""
    with urllib.request.urlopen(f"{raging.url}/_ledger?full=1", timeout=30) as answer:
        return len({json.loads(line)["request"] for line in answer.read().splitlines()})


def _tell(scenario: str, **counts: float) -> None:
    print(json.dumps({"scenario": scenario, **counts}))  # noqa: T201  for docs/chaos.md
