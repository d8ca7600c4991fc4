"""The ledger: every acceptance, counted right, at a flat cost."""

import hashlib
import json
import time
import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from simulator.ledger import Ledger, Taken

from .client import PHONE, Simulator


async def test_the_ledger_is_the_truth(simulator: Simulator) -> None:
    assert await simulator.ledger() == {
        "accepted": 0,
        "phones": 0,
        "most_per_phone": 0,
        "requests": {},
        "repeated": [],
    }
    ids = await simulator.accept("37060000001", "37060000002")
    ids += await simulator.accept("37060000001")
    await simulator.send("37060000093")
    await simulator.send(sender="Other")
    await simulator.ask("balance")
    assert await simulator.ledger() == {
        "accepted": 3,
        "phones": 2,
        "most_per_phone": 2,
        "requests": {"send": 4, "balance": 1},
        "repeated": ["37060000001"],
    }
    full = [json.loads(line) for line in (await simulator.get("/_ledger?full=1")).body.splitlines()]
    assert [line.pop("at")[:4] for line in full] == [time.strftime("%Y", time.gmtime())] * 3
    digest = hashlib.sha256(b"Hello").hexdigest()
    assert full == [
        {"phone": phone, "id": message_id, "request": number, "text_sha256": digest, "segments": 1}
        for phone, message_id, number in zip(
            ["37060000001", "37060000002", "37060000001"], ids, [1, 1, 2], strict=True
        )
    ]
    counts = [json.loads(line) for line in (await simulator.get("/_ledger?counts=1")).body.splitlines()]
    assert counts == [{"phone": "37060000001", "count": 2}, {"phone": "37060000002", "count": 1}]


async def test_clearing_the_ledger_forgets_and_never_gives_an_id_again(simulator: Simulator) -> None:
    (old,) = await simulator.accept(PHONE)
    assert await simulator.delete("/_ledger") == 200
    assert await simulator.ledger() == {
        "accepted": 0,
        "phones": 0,
        "most_per_phone": 0,
        "requests": {},
        "repeated": [],
    }
    (new,) = await simulator.accept(PHONE)
    assert int(new) == int(old) + 1
    assert (await simulator.ask("status", state=f"{old},{new}")).json() == {new: "delivered"}
    assert (await simulator.ledger())["most_per_phone"] == 1
    (line,) = (await simulator.get("/_ledger?full=1")).body.splitlines()
    assert json.loads(line)["id"] == new


REQUESTS = st.lists(st.lists(st.integers(10**6, 10**6 + 29), max_size=30), max_size=20)


@given(REQUESTS, st.integers(0, 20))
def test_the_ledger_adds_up_however_often_it_is_asked(requests: list[list[int]], asked_after: int) -> None:
    ledger = Ledger(str)
    every: list[int] = []
    again: dict[str, None] = {}  # in the order they first came again
    for place, phones in enumerate(requests):
        assert ledger.accept(phones, float(place), bytes(32), 1) == len(every) + 1
        for phone in phones:
            if phone in every:
                again[str(phone)] = None
            every.append(phone)
        if place == asked_after:
            ledger.summary()
    assert ledger.summary() == {
        "accepted": len(every),
        "phones": len(set(every)),
        "most_per_phone": max((every.count(phone) for phone in every), default=0),
        "requests": {},
        "repeated": list(again)[:20],
    }
    taken = [Taken(phone, float(place)) for place, phones in enumerate(requests) for phone in phones]
    assert [ledger.find(sequence) for sequence in range(len(every) + 2)] == [None, *taken, None]
    lines = b"".join(ledger.full_blocks()).splitlines()
    assert [int(json.loads(line)["phone"]) for line in lines] == every
    counts = [json.loads(line) for line in b"".join(ledger.count_blocks()).splitlines()]
    assert {int(line["phone"]): line["count"] for line in counts} == Counter(every)


def test_a_million_acceptances_are_small() -> None:
    ledger = Ledger(str)
    tracemalloc.start()
    try:
        for request in range(10_000):
            first = 37060000000 + request * 100
            ledger.accept(range(first, first + 100), None, bytes(32), 1)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 32 * 2**20
    last = ledger.find(1_000_000)
    assert last is not None
    assert last.phone == 37060000000 + 999_999


def test_a_stream_shows_the_ledger_as_it_stood_at_its_start() -> None:
    ledger = Ledger(str)
    old = list(range(10**6, 10**6 + 5000))
    ledger.accept(old[:3000], None, bytes(32), 1)
    ledger.accept(old[3000:], None, bytes(32), 1)
    for blocks in (ledger.full_blocks(), ledger.count_blocks()):
        written = next(blocks)
        ledger.accept([1], None, bytes(32), 1)
        ledger.summary()
        ledger.clear()
        written += b"".join(blocks)
        assert [int(json.loads(line)["phone"]) for line in written.splitlines()] == old
        ledger.accept(old[:3000], None, bytes(32), 1)
        ledger.accept(old[3000:], None, bytes(32), 1)


async def test_a_long_ledger_streams_while_sending_goes_on(simulator: Simulator) -> None:
    for request in range(30):
        await simulator.accept(*(str(37060000000 + request * 100 + ending) for ending in range(80)))
    for what in ("full", "counts"):
        async with simulator.session.get(f"{simulator.url}/_ledger?{what}=1") as response:
            await simulator.accept(PHONE)
            lines = (await response.text()).splitlines()
        assert len({json.loads(line)["phone"] for line in lines} - {PHONE}) == 2400
