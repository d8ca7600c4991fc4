"""The provider fails in every way it can, before and after it took the message.

What it certainly did not take is sent again. What it may have taken is in doubt: it stands in the ledger
at most once, and nobody guesses.
"""

import json
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

A_REQUEST = 10  # recipients: ten requests a batch, so that a fault hits some of a batch and spares the others
REQUESTS = RECIPIENTS // A_REQUEST
FaultSpec = tuple[str, dict[str, Any]]


@contextmanager
def provider_storm(
    folder: Path,
    *,
    faults: Iterable[FaultSpec] = (),
    endpoint: str = "send",
    workers: int = 2,
    **settings: str,
) -> Iterator[Storm]:
    """Workers, a beat, small requests, and a provider that misbehaves from the start."""
    small = {"ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST": str(A_REQUEST)}
    with storm(folder, **small, **settings) as raging:
        raging.begin(workers=workers)
        for kind, more in faults:
            raging.fault(kind, **({"endpoint": endpoint} | more))
        yield raging


def hits(raging: Storm, *kinds: str) -> int:
    """How often faults of these kinds hit (without any: all), each of which must have."""
    counts = {
        (fault["id"], fault["kind"]): fault["hits"]
        for fault in raging.faults()
        if fault["kind"] in kinds or not kinds
    }
    assert counts
    assert all(counts.values()), f"the storm never hit {[key for key, n in counts.items() if not n]}"
    return sum(counts.values())


def hits_now(raging: Storm) -> int:
    """How often faults have hit so far."""
    return sum(int(fault["hits"]) for fault in raging.faults())


def send_count(raging: Storm) -> int:
    """How many sending requests ever reached the provider."""
    return int(raging.of_simulator("/_ledger")["requests"].get("send", 0))


def ledger_lines(raging: Storm) -> list[dict[str, Any]]:
    """Every acceptance, in order."""
    with urllib.request.urlopen(f"{raging.url}/_ledger?full=1", timeout=30) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]


def ledger_requests(raging: Storm) -> list[list[str]]:
    """The numbers of each request that brought something in, in the order the request had them."""
    requests: dict[int, list[str]] = defaultdict(list)
    for line in ledger_lines(raging):
        requests[line["request"]].append(line["phone"])
    return list(requests.values())


async def in_doubt(raging: Storm) -> set[str]:
    """The numbers (digits without +) in doubt now."""
    rows = await raging.sql("SELECT substr(phone, 2) AS phone FROM message WHERE state = 'in_doubt'")
    return {row["phone"] for row in rows}


async def attempts(raging: Storm) -> dict[int, int]:
    """How many messages were handed over how often."""
    rows = await raging.sql("SELECT attempt, count(*) AS n FROM message GROUP BY 1")
    return {row["attempt"]: row["n"] for row in rows}


# --- before acceptance: it comes back, and all is sent -----------------------------------------------------


async def test_07_unavailable_before_acceptance(folder: Path) -> None:
    """30 % of requests get 503, some with Retry-After: everything arrives, nothing is in doubt."""
    faults = [
        ("status", {"code": 503, "probability": 0.2}),
        ("status", {"code": 503, "probability": 0.125, "retry_after": 1}),
    ]
    with provider_storm(folder, faults=faults) as raging:
        campaign_id = raging.submit()
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        assert found.totals["delivered"] == RECIPIENTS
        assert sum(n for attempt, n in (await attempts(raging)).items() if attempt > 1) > 0
        # Each hit is one more request on the wire, and nothing else is.
        assert send_count(raging) == hits(raging) + len(ledger_requests(raging))


async def test_11_throttled_in_bursts(folder: Path) -> None:
    """429 with Retry-After: no request comes before its time, and all is sent in the end."""
    seconds = 4
    # One worker: whoever learns of a burst is the one that holds the account.
    with provider_storm(folder, workers=1, RETRY__FIRST_SECONDS="0.1", RETRY__MAX_SECONDS="0.5") as raging:
        raging.fault("status", code=429, retry_after=seconds, times=1)
        first_id = raging.submit(A_REQUEST)
        wait_until(lambda: hits_now(raging) == 1, "the first request is throttled", every=0.01)
        throttled_at = time.monotonic()  # or a moment before
        wait_until(lambda: send_count(raging) == 2, "it is sent again", every=0.02)
        assert time.monotonic() - throttled_at > seconds - 0.5, "Retry-After was not waited for"

        raging.fault("status", code=429, retry_after=seconds, skip=5, times=8)
        raging.fault("status", code=429, retry_after=seconds, skip=20, times=8)
        second_id = raging.submit(first=80)
        probe_in: dict[Any, float] = {}  # by hold
        watched: dict[Any, list[tuple[float, int]]] = defaultdict(list)  # its age, requests until then

        async def watch() -> None:
            rows = await raging.sql(
                "SELECT since, extract(epoch FROM probe_at - since)::float8 AS probe_in,"
                " extract(epoch FROM clock_timestamp() - since)::float8 AS age FROM account_hold"
            )
            for row in rows:
                probe_in.setdefault(row["since"], row["probe_in"])
                watched[row["since"]].append((row["age"], send_count(raging)))

        await raging.until_quiet(meanwhile=watch)
        found = await raging.judge(first_id, second_id)
        assert found.totals["delivered"] == RECIPIENTS + A_REQUEST
        assert hits(raging) == 17
        assert send_count(raging) == 17 + len(ledger_requests(raging))
        assert probe_in, "the account was never held"
        assert min(probe_in.values()) > seconds - 0.01
        for looks in watched.values():
            # Those that were on their way when the hold began have arrived after a second.
            assert len({count for age, count in looks if 1 < age < seconds - 0.2}) <= 1
        assert any(sum(1 < age < seconds - 0.2 for age, _ in looks) > 3 for looks in watched.values())


# --- after acceptance: in doubt, and never twice -----------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([("cut_after", {"probability": 0.2})], id="08_accepts_and_cuts"),
        pytest.param(
            [
                ("nonsense", {"probability": 0.1}),
                ("nonsense", {"probability": 0.05, "body": ""}),
                ("nonsense", {"probability": 0.05, "body": '{"error": [], "37060000001": {"error": "0"}}'}),
                ("cut_half", {"probability": 0.1}),
            ],
            id="09_accepts_and_answers_nonsense",
        ),
        pytest.param(
            [
                ("hang_after", {"probability": 0.1, "seconds": 30}),
                ("drip", {"probability": 0.1, "seconds": 9}),
            ],
            id="10_accepts_and_hangs",
        ),
        pytest.param(
            [
                ("redirect_after", {"probability": 0.1, "status": 307}),
                ("redirect_after", {"probability": 0.1, "status": 308}),
                ("status_after", {"probability": 0.1, "code": 502}),
            ],
            id="19_accepts_and_redirects",
        ),
    ],
)
async def test_08_09_10_19_the_answer_is_not_seen(folder: Path, faults: list[FaultSpec]) -> None:
    """Accepted, and not told so: exactly those requests are in doubt, whole, and none is sent again."""
    with provider_storm(folder, faults=faults) as raging:
        campaign_id = raging.submit()
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        # One that hangs may drip as well: two faults, one request.
        most = max(int(fault["hits"]) for fault in raging.faults())
        assert most * A_REQUEST <= found.in_doubt_count <= hits(raging) * A_REQUEST
        assert found.totals["delivered"] == RECIPIENTS - found.in_doubt_count
        doubtful = await in_doubt(raging)
        requests = ledger_requests(raging)
        assert sorted(len(request) for request in requests) == [A_REQUEST] * REQUESTS
        hit = [request for request in requests if not doubtful.isdisjoint(request)]
        assert {phone for request in hit for phone in request} == doubtful
        assert send_count(raging) == REQUESTS, "a request was on the wire twice"


async def test_19_redirected_before_acceptance_and_stale_connections(folder: Path) -> None:
    """307 and 308 say nothing of acceptance: in doubt, not followed. So is what rode a connection that is cut
    when it is used again: aiohttp would send that GET anew.
    """
    faults: list[FaultSpec] = [
        ("redirect", {"probability": 0.1, "status": 307}),
        ("redirect", {"probability": 0.1, "status": 308}),
        ("keepalive_cut", {"probability": 0.3, "endpoint": "*"}),
    ]
    with provider_storm(folder, faults=faults) as raging:
        campaign_id = raging.submit()
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        doubtful = await in_doubt(raging)
        cut = [request for request in ledger_requests(raging) if not doubtful.isdisjoint(request)]
        assert 0 < len(cut) <= hits(raging, "keepalive_cut")
        assert found.in_doubt_count == (hits(raging, "redirect") + len(cut)) * A_REQUEST
        assert {phone for request in cut for phone in request} <= doubtful
        assert send_count(raging) == REQUESTS, "a redirect was followed, or a cut request sent again"


async def test_12_recipients_left_out_of_the_answer(folder: Path) -> None:
    """Exactly those the answer is silent about are in doubt; each was accepted once."""
    left_out = 3
    faults = [("omit", {"probability": 0.2, "count": left_out})]
    with provider_storm(folder, faults=faults) as raging:
        campaign_id = raging.submit()
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        doubtful = await in_doubt(raging)
        requests = ledger_requests(raging)
        hit = [request for request in requests if not doubtful.isdisjoint(request)]
        assert len(hit) == hits(raging)
        assert doubtful == {phone for request in hit for phone in request[-left_out:]}
        assert found.totals["delivered"] == RECIPIENTS - len(doubtful)


# --- what became of it -------------------------------------------------------------------------------------

UNKNOWN_FATES = {"92", "97", "98"}  # pending for ever, sent for ever, status never known
STATE_OF_FATE = {
    **dict.fromkeys(UNKNOWN_FATES, "unknown"),
    **dict.fromkeys(("93", "94", "95", "96"), "rejected"),
    "90": "undelivered",
    "91": "expired",
    "99": "failed",
}


async def test_13_status_answers_that_cannot_be_trusted(folder: Path) -> None:
    """502, nonsense, ids left out, one id that spoils its whole question: every other message still gets
    its own final word, nothing is guessed, and unknown is the deadline's word alone.
    """
    give_up_seconds = 60.0  # some forty questions: of so many, chance spoils no message's every one
    faults: list[FaultSpec] = [
        ("status", {"code": 502, "probability": 0.06}),
        ("nonsense", {"probability": 0.03}),
        ("cut_half", {"probability": 0.03}),
        ("nonsense", {"probability": 0.03, "body": "{}"}),
        ("code18", {"probability": 0.06}),
        ("code18", {"poison": "unknown"}),
        ("missing_ids", {"probability": 0.2, "count": 3}),
        ("unknown_word", {"probability": 0.05, "word": "teleported"}),
        ("object_form", {"probability": 0.2}),
        ("keepalive_cut", {"probability": 0.1}),
    ]
    with provider_storm(
        folder,
        faults=faults,
        endpoint="status",
        POLL__GIVE_UP_SECONDS=str(give_up_seconds),
        POLL__MAX_SECONDS="1.5",
    ) as raging:
        campaign_id = raging.submit(endings=100)
        await raging.until_quiet(seconds=200)
        hits(raging)
        found = await raging.judge(campaign_id)
        assert found.in_doubt_count == 0
        accepted_at = {line["phone"]: datetime.fromisoformat(line["at"]) for line in ledger_lines(raging)}
        for row in await raging.sql("SELECT substr(phone, 2) AS phone, state::text, updated_at FROM message"):
            assert row["state"] == STATE_OF_FATE.get(row["phone"][-2:], "delivered")
            if row["state"] == "unknown":
                waited = row["updated_at"] - accepted_at[row["phone"]]
                assert waited.total_seconds() > give_up_seconds - 0.1, "given up before the deadline"


# --- the provider is gone, or wants nothing of us ----------------------------------------------------------


def held(raging: Storm, campaign_id: str) -> str | None:
    """Why the campaign's account is on hold, as `campaigns status` has it."""
    reason = raging.json("status", campaign_id)["held"]
    return None if reason is None else str(reason)


async def handed_over_count(raging: Storm) -> int:
    """How many attempts were ever spent."""
    return int((await raging.sql("SELECT sum(attempt) AS n FROM message"))[0]["n"])


async def test_23_the_provider_is_gone(folder: Path) -> None:
    """Stopped in the middle and started again on its port: the account is held, nothing fails, nothing is
    even tried until a probe gets an answer, and then all is sent.
    """
    with provider_storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        campaign_id = raging.submit()
        wait_until(lambda: raging.accepted_count() >= RECIPIENTS // 4, "a quarter is accepted")
        raging.run("pause", campaign_id)
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM message"
            " WHERE state IN ('sending', 'accepted', 'sent'))",
            what="what was handed over is settled",
        )
        raging.stop_simulator()
        assert 0 < sum(raging.former_ledger.values()) < RECIPIENTS
        raging.run("resume", campaign_id)
        await raging.until("SELECT 1 FROM account_hold", what="the account is held")
        reason = held(raging, campaign_id)
        assert reason is not None
        assert reason.startswith("the provider takes nothing: ")
        # Tasks that ran when the hold came have ended; from then on there are probes alone.
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM batch WHERE state = 'leased')", what="still"
        )
        tried = await handed_over_count(raging)
        await raging.until(
            "SELECT 1 FROM account_hold WHERE probe_count >= 2", what="two probes found nobody"
        )
        assert await handed_over_count(raging) == tried
        assert raging.totals(campaign_id)["failed"] == 0
        raging.start_simulator_again()
        await raging.until_quiet()
        assert held(raging, campaign_id) is None
        assert raging.logs_hold("account resumed by its probe") >= 1
        found = await raging.judge(campaign_id)
        assert found.totals["delivered"] == RECIPIENTS
        assert found.in_doubt_count == 0


async def test_23_the_provider_takes_nothing_for_a_while(folder: Path) -> None:
    """It answers 503 to whatever it is asked: requests fall to one probe an interval."""
    with provider_storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        campaign_id = raging.submit()
        wait_until(lambda: raging.accepted_count() >= RECIPIENTS // 4, "a quarter is accepted")
        raging.fault("status", "*", code=503)
        await raging.until("SELECT 1 FROM account_hold", what="the account is held")
        assert (held(raging, campaign_id) or "").startswith("the provider takes nothing: HTTP 503")
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM batch"
            " WHERE state = 'leased' AND leased_for = 'sending')",
            what="tasks that ran have ended",
        )
        before = raging.of_simulator("/_ledger")["requests"]
        probes_before = await probe_count(raging)
        await raging.until(
            "SELECT 1 FROM account_hold WHERE probe_count >= 3", what="it is probed three times"
        )
        after = raging.of_simulator("/_ledger")["requests"]
        asked = Counter(after) - Counter(before)
        assert asked["send"] == 0
        assert asked["balance"] + asked["timestamp"] <= 3 - probes_before + 1
        raging.of_simulator("/_faults", "DELETE")
        await raging.until_quiet()
        found = await raging.judge(campaign_id)
        assert found.totals["delivered"] == RECIPIENTS
        assert found.in_doubt_count == 0


async def probe_count(raging: Storm) -> int:
    """How often the held account was probed."""
    return int((await raging.sql("SELECT probe_count FROM account_hold"))[0]["probe_count"])


@pytest.mark.parametrize(
    ("code", "endpoint", "reason"),
    [
        pytest.param("7", "*", "invalid login", id="23_bad_credentials"),
        pytest.param("32", "send", "not enough money", id="23_no_money"),
    ],
)
async def test_23_the_account_is_at_fault(folder: Path, code: str, endpoint: str, reason: str) -> None:
    """Bad credentials, no money: the account is held, no attempt is spent on it, and it goes on by its
    probe when the trouble is over, no sooner.
    """
    with provider_storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        campaign_id = raging.submit()
        wait_until(lambda: raging.accepted_count() >= RECIPIENTS // 4, "a quarter is accepted")
        raging.fault("code", endpoint, code=code)
        (hold,) = await raging.until(
            "SELECT since, extract(epoch FROM probe_at - since)::float8 AS probe_in FROM account_hold",
            what="the account is held",
        )
        assert held(raging, campaign_id) == reason
        assert hold["probe_in"] == pytest.approx(30, abs=1)
        hit_count = hits(raging)
        # Its probe, now and not in half a minute. There is money, says the balance in the one case; then the
        # next request is refused whole, and the account is on hold anew.
        await raging.sql("UPDATE account_hold SET probe_at = now()")
        if endpoint == "*":
            await raging.until("SELECT 1 FROM account_hold WHERE probe_count = 1", what="it is probed")
            wait_until(lambda: hits_now(raging) > hit_count, "the probe is refused")
        else:
            await raging.until("SELECT 1 FROM account_hold WHERE since > $1", hold["since"], what="held anew")
        assert held(raging, campaign_id) == reason
        raging.of_simulator("/_faults", "DELETE")
        await raging.sql("UPDATE account_hold SET probe_at = now()")
        await raging.until_quiet()
        assert raging.logs_hold("account resumed by its probe") >= 1
        found = await raging.judge(campaign_id)
        assert found.totals["delivered"] == RECIPIENTS
        assert found.in_doubt_count == 0
        assert await attempts(raging) == {1: RECIPIENTS}


# --- somebody's word on doubt ------------------------------------------------------------------------------


async def test_24_an_operator_resolves_doubt(folder: Path) -> None:
    """One number is sent again by word, the rest is assumed sent: nothing else changes, and it is over."""
    with provider_storm(folder, faults=[("cut_after", {"probability": 0.2})]) as raging:
        campaign_id = raging.submit()
        await raging.until_quiet()
        doubtful = sorted(await in_doubt(raging))
        assert len(doubtful) == hits(raging) * A_REQUEST
        raging.of_simulator("/_faults", "DELETE")
        again, *rest = doubtful
        raging.run("resolve", campaign_id, "--resend", "--phone", f"+{again}", "--operator", "Ona")
        await raging.until_quiet()
        assert await in_doubt(raging) == set(rest)
        raging.run("resolve", campaign_id, "--assume-sent", "--operator", "Jonas")
        status = raging.finished(campaign_id)
        assert status["state"] == "finished"
        found = await raging.judge(campaign_id, again=[again])
        assert found.totals["unknown"] == len(rest)
        assert found.totals["delivered"] == RECIPIENTS - len(rest)
        ledger = ledger_counts(raging.url)
        assert {phone for phone, count in ledger.items() if count > 1} == {again}
        assert ledger[again] == 2
        said = await raging.sql("SELECT word, operator, message_count FROM resolution ORDER BY id")
        assert [tuple(row) for row in said] == [("resend", "Ona", 1), ("assume_sent", "Jonas", len(rest))]


async def test_24_a_campaign_that_wants_doubt_sent_again(folder: Path) -> None:
    """`--on-doubt resend`: nothing is lost; twice in the ledger is only what was in doubt, and exactly as
    often as it was handed over.
    """
    faults = [("cut_after", {"probability": 0.2})]
    with provider_storm(
        folder, faults=faults, LEASE_SECONDS="11.5", ACCOUNTS__MAIN__TIMEOUT_SECONDS="1.5"
    ) as raging:
        campaign_id = raging.submit(RECIPIENTS, "--on-doubt", "resend")
        seen: set[str] = set()

        async def look() -> None:
            seen.update(await in_doubt(raging))

        await raging.until(
            "SELECT 1 FROM campaign WHERE finished_at IS NOT NULL", what="it is over", meanwhile=look
        )
        found = await raging.judge(campaign_id, again=seen)
        assert hits(raging) > REQUESTS // 10
        assert found.totals["delivered"] == RECIPIENTS
        ledger = ledger_counts(raging.url)
        assert {phone for phone, count in ledger.items() if count > 1} == seen
        rows = await raging.sql("SELECT substr(phone, 2) AS phone, attempt FROM message")
        assert {row["phone"]: row["attempt"] for row in rows} == dict(ledger)
