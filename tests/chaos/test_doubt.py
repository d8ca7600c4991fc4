"""Where the provider can be asked, doubt does not last: what it has is accepted, what it has not is sent."""

import json
from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

_GRACE = {"seven": 180, "namirial": 60}  # seconds before nothing found is believed
_IN_FLIGHT = {"MAX_RECIPIENTS_PER_REQUEST": "10"}


def kill_a_worker(raging: Storm, number: int) -> None:
    """Wait until something new was accepted, kill -9 a worker, start it again."""
    before = raging.accepted_count()
    everything = len(raging.rows)
    wait_until(lambda: raging.accepted_count() > before or before >= everything, "it goes on", seconds=120)
    name = f"worker-{number % 2}"
    raging.kill(name)
    raging.worker(name)


@pytest.mark.parametrize("provider", list(_GRACE))
async def test_25_doubt_is_settled_by_asking(folder: Path, provider: str) -> None:
    """kill -9 of workers, answers cut off after acceptance and before it: in the end nothing is in doubt, and
    every message is with the provider, once.
    """
    settings = {"ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "200"}
    if provider == "seven":
        settings |= {f"ACCOUNTS__MAIN__{name}": value for name, value in _IN_FLIGHT.items()}
    with storm(folder, **settings) as raging:
        raging.begin(workers=2, provider=provider, simulator=("--latency-seconds", "0.05"))
        raging.fault("cut_after", probability=0.03)
        raging.fault("cut_before", probability=0.03)
        campaign_id = raging.submit()
        kills = 8
        for number in range(kills):
            kill_a_worker(raging, number)
        wait_until(lambda: raging.totals(campaign_id)["queued"] == 0, "all was handed over", seconds=200)
        doubtful = raging.totals(campaign_id)["in_doubt"]
        status = raging.finished(campaign_id, seconds=_GRACE[provider] * 2 + 120)
        found = await raging.judge(campaign_id)
        settled = raging.logs_hold("doubt settled by asking")
        told = {"scenario": "25", "provider": provider, "doubtful": doubtful, "look_ups": settled}
        print(json.dumps(told))  # noqa: T201  for docs/chaos.md
        assert status["totals"]["delivered"] == RECIPIENTS
        assert found.in_doubt_count == 0
        assert set(ledger_counts(raging.url).values()) == {1}
        assert doubtful > 0, "the storm left nothing in doubt"
        assert settled > 0
