"""The main job with the README's own commands: worker, beat and simulator as real processes."""

from collections import Counter
from datetime import UTC, datetime

import asyncpg
import pytest
from celery import Celery

from tests.acceptance.processes import Stack, csv_of, ledger_counts, post_fault
from tests.waiting import until, wait_until
from worker.settings.addresses import broker_url
from worker.stack.embedded.servers import ServerUrls

pytestmark = pytest.mark.acceptance

# Written from the simulator's documents, not read from its code: what the last two digits mean.
_FATES = {
    "90": "undelivered",
    "91": "expired",
    "92": "unknown",  # pending for ever: our deadline's word
    "93": "rejected",
    "94": "rejected",
    "95": "rejected",
    "96": "rejected",
    "97": "unknown",  # sent for ever
    "98": "unknown",  # its status is never known
    "99": "failed",
}
_NEVER_ACCEPTED = {"93", "94", "95", "96", "99"}


def _fate(phone: str) -> str:
    return _FATES.get(phone[-2:], "delivered")


async def test_five_thousand_recipients_end_as_their_numbers_say(stack: Stack, database_url: str) -> None:
    """Every message settled exactly as its fate says, the ledger holding each phone once; ticks noted how it
    went.
    """
    rows = [{"phone": f"+3706{n:07d}", "city": ("Vilnius", "Kaunas", "Klaipeda")[n % 3]} for n in range(5000)]
    url = stack.simulator("--delivery-seconds", "2")
    stack.worker()
    stack.beat()

    submitted = stack.json("submit", "-", "--account", "main", "--text", "Sale in {city}", stdin=csv_of(rows))
    status = stack.finished(submitted["id"])

    expected = Counter(_fate(row["phone"]) for row in rows)
    assert status["state"] == "finished"
    assert {state: count for state, count in status["totals"].items() if count} == expected
    assert {line["phone"]: line["state"] for line in stack.export(submitted["id"])} == {
        row["phone"]: _fate(row["phone"]) for row in rows
    }
    connection = await asyncpg.connect(database_url)

    async def delivered_counts() -> list[int]:
        rows = await connection.fetch("SELECT totals->'delivered' AS n FROM campaign_progress ORDER BY at")
        found = [int(row["n"] or 0) for row in rows]
        return found if found and found[-1] == expected["delivered"] else []

    noted = await until(delivered_counts, "the last point of its progress")

    async def is_counted_by_day() -> bool:
        return bool(await connection.fetchval("SELECT bool_and(is_counted_by_day) FROM campaign"))

    await until(is_counted_by_day, "its days are counted")
    await connection.close()
    assert noted[0] == 0
    assert noted == sorted(noted)
    ledger = ledger_counts(url)
    assert set(ledger) == {row["phone"][1:] for row in rows if row["phone"][-2:] not in _NEVER_ACCEPTED}
    assert set(ledger.values()) == {1}
    assert sum(ledger.values()) == 4_750
    assert status["segment_count"] == 4_750
    assert status["cost"] == {"amount": "68.40", "currency": "EUR"}  # 4,750 x 0.0144
    _reconciles(stack)


def _reconciles(stack: Stack) -> None:
    """The provider's own month has what came to its end; what has no final status explains the rest."""
    month = f"{datetime.now(UTC):%Y-%m}"
    said = stack.json("account", "main", "reconcile", "--month", month)
    assert sum(day["ours"]["segment_count"] for day in said["days"]) == 4_750
    assert sum(day["theirs"]["segment_count"] for day in said["days"]) == 4_600
    assert sum(float(day["cost_difference"]) for day in said["days"]) == pytest.approx(-150 * 0.0144)
    assert {each["why"] for day in said["days"] for each in day["explanations"]} <= {"open", "midnight"}
    shown = stack.run("account", "main", "reconcile", "--month", month).stdout.decode()
    assert "≠ -150" in shown or len(said["days"]) > 1  # at midnight there are two
    assert "no final status yet" in " ".join(shown.split()) or len(said["days"]) > 1


def test_another_service_enqueues_by_name(stack: Stack, servers: ServerUrls) -> None:
    """`send_task` with JSON alone, twice with the same key: one campaign, each number sent once."""
    url = stack.simulator("--delivery-seconds", "0")
    stack.worker()
    stack.beat()
    service = Celery(broker=broker_url(servers.redis_url))
    for _ in range(2):
        service.send_task(
            "campaigns.submit",
            queue="campaigns.submit",
            kwargs={
                "account": "main",
                "text": "Hello {name}",
                "recipients": [
                    {"phone": "+37060000001", "name": "Ona"},
                    {"phone": "+37060000002", "name": "Jonas"},
                ],
                "submission_key": "from-a-service",
            },
        )
    service.close()

    wait_until(lambda: stack.json("list"), "the campaign is there", every=0.3)
    (campaign,) = stack.json("list")
    stack.finished(campaign["id"])

    assert ledger_counts(url) == {"37060000001": 1, "37060000002": 1}
    assert len(stack.json("list")) == 1


def test_pause_stops_handing_over_and_polling_goes_on(stack: Stack) -> None:
    """After `pause` at most the batches in flight still leave; `resume` sends the rest, each once."""
    rows = [{"phone": f"+3706{n // 80:05d}{n % 80:02d}"} for n in range(3000)]
    url = stack.simulator("--delivery-seconds", "1")
    stack.settings |= {"ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "4", "POLL__GIVE_UP_SECONDS": "600"}
    stack.worker()
    stack.beat()
    campaign_id = stack.json("submit", "-", "--account", "main", "--text", "Hi", stdin=csv_of(rows))["id"]
    wait_until(lambda: len(ledger_counts(url)) >= 300, "some were handed over")

    stack.run("pause", campaign_id)
    status = wait_until(
        lambda: (
            (s := stack.json("status", campaign_id))
            and s["totals"]["queued"] + s["totals"]["delivered"] == 3000
            and s
        ),
        "what was handed over is delivered, the rest still queued",
        every=0.3,
    )
    assert status["state"] == "paused"
    assert status["totals"]["queued"] > 0
    assert len(ledger_counts(url)) == status["totals"]["delivered"]

    stack.run("resume", campaign_id)
    assert stack.finished(campaign_id)["totals"]["delivered"] == 3000
    assert set(ledger_counts(url).values()) == {1}


def test_an_answer_that_never_comes_leaves_doubt_and_no_second_text(stack: Stack) -> None:
    """The provider accepts and cuts: those messages are in doubt, then unknown; nobody is texted twice."""
    rows = [{"phone": f"+3706{n // 80:05d}{n % 80:02d}"} for n in range(500)]
    url = stack.simulator("--delivery-seconds", "0")
    post_fault(url, {"endpoint": "send", "kind": "cut_after", "times": 2})
    stack.settings["POLL__GIVE_UP_SECONDS"] = "20"  # how long doubt lasts
    stack.worker()
    stack.beat()
    campaign_id = stack.json("submit", "-", "--account", "main", "--text", "Hi", stdin=csv_of(rows))["id"]

    doubtful = wait_until(
        lambda: (t := stack.json("status", campaign_id)["totals"])["in_doubt"] + t["unknown"] == 200 and t,
        "two batches are in doubt",
        every=0.3,
    )
    assert doubtful["failed"] == 0

    status = stack.finished(campaign_id)
    assert (status["totals"]["delivered"], status["totals"]["unknown"]) == (300, 200)
    assert len(ledger_counts(url)) == 500
    assert set(ledger_counts(url).values()) == {1}
    log = stack.log("worker").read_text()
    assert "37060" not in log
    assert "your_api_key" not in log
