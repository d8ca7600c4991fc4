"""Scenarios 13, 23 and 24: what became of messages, a provider that is gone, doubt that somebody decides."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.provider_storm import (
    A_REQUEST,
    REQUESTS,
    FaultSpec,
    attempts,
    held,
    hits,
    hits_now,
    in_doubt,
    ledger_lines,
    provider_storm,
)
from tests.chaos.storm import RECIPIENTS, Storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


# --- what became of it ------------------------------------------------------------------------------


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


# --- the provider is gone, or wants nothing of us ---------------------------------------------------


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


# --- somebody's word on doubt -----------------------------------------------------------------------


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
