"""Asking Namirial what became of messages."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from campaigns.domain.provider import (
    Answers,
    PaceUsedUp,
    Receipt,
)
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from tests.contract.providers.members import words_of
from tests.contract.providers.namirial import member as at_namirial
from tests.contract.providers.namirial.documented import says
from tests.contract.providers.namirial.member import id_of, status_object
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import (
    Act,
    WireServer,
    answer_when,
    cut,
    drip,
    reset,
)
from tests.waiting import until


async def test_each_id_is_asked_for_with_the_key_of_the_status_host(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    server.script.append(says({"message": status_object(reference={})}))
    answers = await make().ask([id_of("ref-1")], at_once)
    assert answers == Answers(
        [
            Receipt(
                id_of("ref-1"),
                MessageState.DELIVERED,
                "DELIVERED",
                changed_at=datetime(2026, 2, 4, 6, 54, 55, tzinfo=UTC),
                segment_count=1,
                channel="SMS",
            )
        ]
    )
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("GET", f"/api/messagestatus/{id_of('ref-1')}")
    assert seen.headers["x-api-key"] == at_namirial.API_KEY
    assert "authorization" not in seen.headers
    assert seen.body == b""


async def test_an_id_nobody_knows_is_absent_and_no_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    refs = ["ref-1", "ref-2", "ref-3"]
    for ref in ("ref-1", "ref-3"):
        said = {"message": status_object(ref, "SENT")}
        server.free[f"/api/messagestatus/{id_of(ref)}"] = json.dumps(said).encode()
    server.script.append(says({"title": "Not Found"}, 404))
    answers = await make(concurrency=1).ask([id_of(ref) for ref in refs], at_once)
    assert (answers.trouble, answers.retry_after_seconds) == (None, None)
    assert words_of(answers.receipts) == [
        Receipt(id_of(ref), MessageState.SENT, "SENT", ref) for ref in ("ref-1", "ref-3")
    ]


async def test_ids_are_asked_for_once_and_never_what_is_none(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(word="SENT")
    wrong = ["", ".", "..", "a/b", "a" * 129, "ą", "a b", "\ud83d"]
    answers = await provider.ask([*wrong, id_of("ref-2"), id_of("ref-1"), id_of("ref-2")], at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == [id_of("ref-2"), id_of("ref-1")]
    assert answers.trouble is None
    assert len(server.seen) == 2


async def test_several_are_asked_for_at_once_but_never_more(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider, open_at_once = make(concurrency=3), 0
    asked = [f"ref-{at}" for at in range(1, 8)]

    def in_flight() -> bool:
        nonlocal open_at_once
        open_at_once = max(open_at_once, server.open_connections)
        return len(server.seen) >= 3

    # Nobody is answered before three wait: with fewer at once this would never end.
    server.script.extend(answer_when(in_flight, json.dumps({"message": None}).encode()) for _ in asked)
    async with asyncio.timeout(10):
        answers = await provider.ask([id_of(ref) for ref in asked], at_once)
    assert answers.trouble
    assert open_at_once == 3


async def test_each_question_waits_for_the_pace_and_what_was_learned_is_given(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider, waits = make(word="SENT", concurrency=1), 0

    async def twice() -> None:
        nonlocal waits
        waits += 1
        if waits > 2:
            raise PaceUsedUp(1.5)

    answers = await provider.ask([id_of(f"ref-{at}") for at in range(1, 6)], twice)
    assert (waits, len(server.seen), len(answers.receipts)) == (3, 2, 2)
    assert (answers.trouble, answers.retry_after_seconds) == (None, 1.5)


@pytest.mark.parametrize(
    ("act", "trouble", "seconds"),
    [
        (says(b"", 429, Retry_After="9"), "Namirial answered HTTP 429", 9.0),
        (says(b"", 503, Retry_After="30"), "Namirial answered HTTP 503", 30.0),
        (says({"code": 64}, 500), "Namirial answered HTTP 500", None),
        (says(b"", 403), "Namirial refused the API key (HTTP 403)", None),
        (says(b"", 401), "Namirial refused the API key (HTTP 401)", None),
        (says(b"", 302, Location="/again"), "Namirial answered HTTP 302", None),
        (cut(), "Namirial did not answer: connection cut before the answer was whole", None),
        (reset(), "Namirial did not answer: connection cut before the answer was whole", None),
    ],
)
async def test_trouble_ends_the_round(
    server: WireServer, make: Callable[..., Namirial], act: Act, trouble: str, seconds: float | None
) -> None:
    provider = make(word="SENT", concurrency=1)
    server.script.extend([act, act])  # aiohttp asks a cut question once more, which costs nothing
    unknown = [f"unknown-{at}" for at in range(9)]
    answers = await provider.ask(unknown, at_once)
    assert answers == Answers([], trouble, seconds)
    assert len({seen.target for seen in server.seen}) == 1
    server.script.clear()


def lines() -> int:
    """How many lines of questions are at work."""
    return sum("ask_each.<locals>.line" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_what_waits_for_the_pace_does_not_ask_after_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    waits = 0

    async def wait_for_pace() -> None:
        nonlocal waits
        waits += 1
        if waits == 2:  # until the first line has ended, with trouble
            await until(lambda: lines() == 1)

    server.script.append(says(b"", 500))
    answers = await make(concurrency=2).ask([id_of(f"ref-{at}") for at in range(1, 9)], wait_for_pace)
    assert answers == Answers([], "Namirial answered HTTP 500")
    assert (waits, len(server.seen)) == (2, 1)


async def test_one_answer_that_cannot_be_read_does_not_hold_up_the_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(word="SENT", concurrency=1)
    ids = [id_of(f"ref-{at}") for at in range(1, 8)]
    server.free[f"/api/messagestatus/{ids[3]}"] = b"{}"
    server.free[f"/api/messagestatus/{ids[5]}"] = json.dumps({"message": status_object("other")}).encode()
    answers = await provider.ask(ids, at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == [*ids[:3], ids[4], ids[6]]
    assert answers.trouble == "Namirial's answer cannot be read"
    # ... but when nothing can be read it is no use asking on.
    server.free = {f"/api/messagestatus/{each}": b"<html>Back soon</html>" for each in ids}
    server.seen.clear()
    assert (await provider.ask(ids, at_once)).receipts == []
    assert len(server.seen) == 3


async def test_one_that_always_fails_does_not_starve_the_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """An HTTP 500 ends a round; asked in the same order each time, what stands behind it would never be."""
    provider, learned = make(word="SENT", concurrency=1), set[str | None]()
    ids = [id_of(f"ref-{at}") for at in range(1, 7)]
    del server.free[f"/api/messagestatus/{ids[0]}"]
    async with asyncio.timeout(30):
        while learned != set(ids[1:]):
            server.script.append(says(b"", 500))
            answers = await provider.ask(ids, at_once)
            learned |= {receipt.provider_message_id for receipt in answers.receipts}
    server.script.clear()


async def test_a_round_gives_what_it_has_when_it_takes_long(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """Else the caller's patience would end first, and all that was learned be lost, each time."""
    provider, loop = make(word="SENT", concurrency=1, timeout_seconds=0.2), asyncio.get_running_loop()
    begun = loop.time()

    async def slow() -> None:
        await until(lambda: loop.time() > begun + 0.2)

    answers = await provider.ask([id_of(f"ref-{at}") for at in range(1, 6)], slow)
    assert (len(answers.receipts), len(server.seen)) == (1, 1)
    assert (answers.trouble, answers.retry_after_seconds) == (None, None)


async def test_a_pace_that_breaks_ends_everything(server: WireServer, make: Callable[..., Namirial]) -> None:
    """Also what is being asked by then and would hang for a minute."""
    waits = 0

    async def broken() -> None:
        nonlocal waits
        waits += 1
        if waits == 2:
            await until(lambda: len(server.seen) == 1)
            raise RuntimeError("Redis is away")

    server.script.append(drip(b" " * 1_000_000))
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="Redis"):
            await make(timeout_seconds=60).ask([id_of("ref-1"), id_of("ref-2")], broken)
    assert (waits, len(server.seen), lines()) == (2, 1, 0)


async def test_a_cancelled_round_leaves_nothing_behind(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    server.script.extend(drip(b" " * 1_000_000) for _ in range(4))
    task = asyncio.create_task(make(concurrency=4).ask([id_of(f"ref-{at}") for at in range(9)], at_once))
    await until(lambda: len(server.seen) == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections == 0)
    assert lines() == 0
