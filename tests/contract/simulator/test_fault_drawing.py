"""Which requests a posted fault hits, and what cannot be posted."""

import json
from typing import Any

import pytest

from .client import Simulator
from .conftest import Start

PHONES = ["37061234561", "37061234562", "37061234563"]


async def hits(simulator: Simulator, requests: int) -> list[bool]:
    """Which of so many sends were refused with 503."""
    return [(await simulator.send()).status == 503 for _ in range(requests)]


async def test_times_and_skip(simulator: Simulator) -> None:
    await simulator.fault("send", "status", code=503, times=2, skip=1)
    assert await hits(simulator, 5) == [False, True, True, False, False]
    (fault,) = await simulator.faults()
    assert fault == {
        "id": 1,
        "endpoint": "send",
        "kind": "status",
        "code": 503,
        "body": None,
        "retry_after": None,
        "times": 2,
        "skip": 1,
        "probability": 1.0,
        "seen": 3,
        "hits": 2,
    }
    await simulator.fault("send", "status", code=503)
    assert await hits(simulator, 3) == [True] * 3


async def test_chance_can_be_replayed(start: Start) -> None:
    async def run(seed: int) -> list[bool]:
        simulator = await start(seed=seed)
        await simulator.fault("send", "status", code=503, probability=0.5)
        return await hits(simulator, 40)

    first = await run(1)
    assert 5 < first.count(True) < 35
    assert await run(1) == first
    assert await run(2) != first
    never = await start()
    await never.fault("send", "status", code=503, probability=0)
    assert not any(await hits(never, 5))


async def test_a_fault_stays_at_its_endpoint(simulator: Simulator) -> None:
    await simulator.fault("balance", "status", code=503)
    assert (await simulator.send()).status == 200
    assert (await simulator.ask("balance")).status == 503
    await simulator.delete("/_faults")
    await simulator.fault("*", "status", code=502)
    for script in ("send", "status", "stat_by_month", "timestamp", "balance", "find_on_stop"):
        assert (await simulator.get(f"/external/get/{script}.php")).status == 502
    assert (await simulator.get("/_ledger")).status == 200


async def test_one_ending_wins_and_the_rest_adds_up(simulator: Simulator) -> None:
    await simulator.fault("*", "status", code=503, times=1)
    await simulator.fault("send", "cut_before")
    await simulator.fault("send", "omit", count=1)
    assert (await simulator.send(",".join(PHONES))).status == 503
    assert [fault["hits"] for fault in await simulator.faults()] == [1, 0, 0]
    assert await simulator.delete("/_faults/2") == 200
    await simulator.fault("*", "int_codes")
    await simulator.fault("send", "extra_keys")
    await simulator.fault("*", "object_form")
    answer = (await simulator.send(",".join(PHONES))).json()
    assert list(answer) == PHONES[:2]
    assert answer[PHONES[0]]["error"] == answer[PHONES[0]]["ported"] == 0
    assert [fault["hits"] for fault in await simulator.faults()] == [1, 1, 1, 1, 0]
    assert await simulator.accepted() == 3


async def test_faults_are_listed_and_removed(simulator: Simulator) -> None:
    assert await simulator.faults() == []
    ids = [await simulator.fault("send", kind) for kind in ("cut_before", "cut_after")]
    assert [fault["id"] for fault in await simulator.faults()] == ids == [1, 2]
    assert await simulator.delete("/_faults/1") == 200
    assert await simulator.delete("/_faults/1") == 404
    assert await simulator.delete("/_faults/x") == 404
    assert [fault["kind"] for fault in await simulator.faults()] == ["cut_after"]
    assert await simulator.delete("/_faults") == 200
    assert await simulator.faults() == []
    assert (await simulator.send()).code == "0"
    assert await simulator.fault("send", "omit") == 3


@pytest.mark.parametrize(
    ("posted", "word"),
    [
        ("nonsense 37061234567", "JSON"),
        ([], "object"),
        ({}, "kind"),
        ({"endpoint": "send"}, "kind"),
        ({"endpoint": "send", "kind": "explode 37061234567"}, "expected tags"),
        ({"kind": "refuse"}, "endpoint"),
        ({"endpoint": "somewhere", "kind": "refuse"}, "endpoint"),
        ({"endpoint": "send", "kind": "status"}, "code"),
        ({"endpoint": "send", "kind": "status", "code": 200}, "code"),
        ({"endpoint": "send", "kind": "status", "code": "503"}, "code"),
        ({"endpoint": "send", "kind": "status", "code": 503, "retry_after": -1}, "retry_after"),
        ({"endpoint": "send", "kind": "hang"}, "seconds"),
        ({"endpoint": "send", "kind": "hang", "seconds": -1}, "seconds"),
        ({"endpoint": "send", "kind": "redirect", "status": 302}, "status"),
        ({"endpoint": "send", "kind": "code", "code": "0"}, "code"),
        ({"endpoint": "send", "kind": "code", "code": 0}, "code"),
        ({"endpoint": "send", "kind": "code", "code": True}, "code"),
        ({"endpoint": "send", "kind": "code", "code": "6", "form": "loud"}, "form"),
        ({"endpoint": "send", "kind": "omit", "count": 0}, "count"),
        ({"endpoint": "send", "kind": "refuse", "times": 0}, "times"),
        ({"endpoint": "send", "kind": "refuse", "times": 1.5}, "times"),
        ({"endpoint": "send", "kind": "refuse", "probability": 1.5}, "probability"),
        ({"endpoint": "send", "kind": "refuse", "skip": -1}, "skip"),
        ({"endpoint": "send", "kind": "refuse", "colour": "red"}, "colour"),
        ({"endpoint": "send", "kind": "unknown_word", "word": "x"}, "does not show at send"),
        ({"endpoint": "status", "kind": "omit"}, "does not show at status"),
        ({"endpoint": "send", "kind": "clock", "offset_seconds": 5}, "takes * alone"),
    ],
)
async def test_a_malformed_fault_is_refused_with_one_sentence(
    simulator: Simulator, posted: Any, word: str
) -> None:
    body = posted if isinstance(posted, str) else json.dumps(posted)
    async with simulator.session.post(simulator.url + "/_faults", data=body) as response:
        assert response.status == 400
        answer = await response.json()
    assert answer.keys() == {"error"}
    assert word in answer["error"]
    assert "\n" not in answer["error"]
    assert await simulator.faults() == []
