"""Asking Namirial what became of messages."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from campaigns.domain.provider import Answers, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from tests.contract.providers.members import words_of
from tests.contract.providers.namirial import member as at_namirial
from tests.contract.providers.namirial.documented import says
from tests.contract.providers.namirial.member import id_of, status_object
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Act, WireServer, cut, reset
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
