"""A storm that is under way while a server is in trouble."""

import json
import os
import signal
import time
from pathlib import Path

from tests.chaos.storm import RECIPIENTS, Judgement, Storm
from tests.waiting import wait_until


def pace_for(seconds: float, *, requests: int = 125) -> dict[str, str]:
    """Settings by which a storm's recipients leave in about so many requests and take about so long."""
    return {
        "ACCOUNTS__MAIN__REQUESTS_PER_SECOND": f"{requests / seconds:.3f}",
        "ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST": str(max(1, min(100, RECIPIENTS // requests))),
    }


def last_for(seconds: float) -> None:
    """Let a trouble last: how long is what the scenario is about, there is nothing else to wait for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time passes", seconds=seconds + 5)


def moves_on(raging: Storm, *, seconds: float = 60.0) -> float:
    """Wait until the provider gets something new (or has everything), and give how long that took."""
    begin = time.monotonic()
    before = raging.accepted_count()
    everything = len(raging.rows)
    wait_until(
        lambda: raging.accepted_count() > before or before == everything, "it goes on", seconds=seconds
    )
    return round(time.monotonic() - begin, 1)


async def arrives(raging: Storm, *campaign_ids: str) -> Judgement:
    """Wait until all is quiet, and judge: every message reached its handset, or is in doubt."""
    await raging.until_quiet()
    found = await raging.judge(*campaign_ids)
    assert found.totals["delivered"] + found.in_doubt_count == found.recipient_count, found.totals
    return found


def tell(scenario: str, **found: object) -> None:
    """What only this scenario knows, for `pytest -s` and docs/chaos.md."""
    print(json.dumps({"scenario": scenario, **found}))  # noqa: T201


def stop_postgres(raging: Storm) -> None:
    """An immediate stop: nothing is written out, every session is cut off."""
    pid = int((raging.directory / "servers" / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)

    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes() == b""  # a zombie has none
        except FileNotFoundError:
            return True

    wait_until(is_gone, "PostgreSQL is gone")
