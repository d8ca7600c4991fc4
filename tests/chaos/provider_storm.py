"""A storm in which the provider is in trouble."""

import json
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.storm import RECIPIENTS, Storm, storm

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


def ledger_lines(raging: Storm) -> list[dict[str, Any]]:
    """Every acceptance, in order."""
    with urllib.request.urlopen(f"{raging.url}/_ledger?full=1", timeout=30) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]


async def in_doubt(raging: Storm) -> set[str]:
    """The numbers (digits without +) in doubt now."""
    rows = await raging.sql("SELECT substr(phone, 2) AS phone FROM message WHERE state = 'in_doubt'")
    return {row["phone"] for row in rows}


async def attempts(raging: Storm) -> dict[int, int]:
    """How many messages were handed over how often."""
    rows = await raging.sql("SELECT attempt, count(*) AS n FROM message GROUP BY 1")
    return {row["attempt"]: row["n"] for row in rows}


def held(raging: Storm, campaign_id: str) -> str | None:
    """Why the campaign's account is on hold, as `campaigns status` has it."""
    reason = raging.json("status", campaign_id)["held"]
    return None if reason is None else str(reason)
