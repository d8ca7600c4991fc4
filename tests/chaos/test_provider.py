"""Scenarios 7 to 12 and 19: the provider's answer to a send is bad, late or missing."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.provider_storm import (
    A_REQUEST,
    REQUESTS,
    FaultSpec,
    attempts,
    hits,
    hits_now,
    in_doubt,
    ledger_lines,
    provider_storm,
)
from tests.chaos.storm import RECIPIENTS, Storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def send_count(raging: Storm) -> int:
    """How many sending requests ever reached the provider."""
    return int(raging.of_simulator("/_ledger")["requests"].get("send", 0))


def ledger_requests(raging: Storm) -> list[list[str]]:
    """The numbers of each request that brought something in, in the order the request had them."""
    requests: dict[int, list[str]] = defaultdict(list)
    for line in ledger_lines(raging):
        requests[line["request"]].append(line["phone"])
    return list(requests.values())


# --- before acceptance: it comes back, and all is sent ----------------------------------------------


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


# --- after acceptance: in doubt, and never twice ----------------------------------------------------


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
