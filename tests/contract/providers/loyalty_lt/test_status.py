"""Asking Loyalty.lt what became of messages: words, trouble, our pace."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from campaigns.domain.provider import Answers, Receipt, Sighting
from campaigns.domain.states import MessageState
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import CALLBACK_STATUSES, STATUSES, read_status
from tests.contract.providers.clock import Clock
from tests.contract.providers.loyalty_lt.documented import ID, PHONE, STATUS, UNKNOWN, status_of
from tests.contract.providers.loyalty_lt.member import API_KEY, API_SECRET
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Act, WireServer, answer, body_of, cut, drip, half
from tests.waiting import until

# --- status -----------------------------------------------------------------------------------------


def test_every_documented_word_is_in_its_table_and_no_other() -> None:
    assert {word: state for word, (state, _) in STATUSES.items()} == {
        "queued": MessageState.ACCEPTED,
        "sent": MessageState.SENT,
        "delivered": MessageState.DELIVERED,
        "failed": MessageState.FAILED,
        "expired": MessageState.EXPIRED,
    }
    assert {word: line[:2] for word, line in CALLBACK_STATUSES.items()} == {
        "SENT": (MessageState.SENT, False),
        "DELIVERED": (MessageState.DELIVERED, False),
        "FAILED": (MessageState.FAILED, False),
        "UNDELIVERABLE": (MessageState.UNDELIVERED, True),
    }
    assert all(line[-1] for line in (*STATUSES.values(), *CALLBACK_STATUSES.values()))


async def test_a_status_is_asked_for_as_documented(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    server.script.append(answer(body_of(STATUS)))
    assert await make(locale="lt").ask([ID], at_once) == Answers(
        [
            Receipt(
                ID,
                MessageState.DELIVERED,
                "delivered",
                changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
                cost=Decimal("0.0556"),
                currency="EUR",
            )
        ]
    )
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("GET", f"/lt/sms/status/{ID}", b"")
    assert (seen.headers["x-api-key"], seen.headers["x-api-secret"]) == (API_KEY, API_SECRET)
    assert seen.headers["accept"] == "application/json"


async def test_an_id_is_percent_encoded(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    odd = "../ž?a=1#%41 +"
    server.script.append(status_of(odd))
    assert [receipt.provider_message_id for receipt in (await make().ask([odd], at_once)).receipts] == [odd]
    assert server.seen[0].target == "/en/sms/status/..%2F%C5%BE%3Fa%3D1%23%2541%20%2B"


async def test_what_cannot_be_an_id_is_not_asked_for(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    answers = await make().ask(["", " ", "..", ".", "m" * 129, "msg\n1", "\ud83d"], at_once)
    assert answers == Answers([])
    assert server.connections == 0


def test_a_status_is_read_whole() -> None:
    assert read_status(body_of(STATUS), ID) == Sighting(
        ID,
        MessageState.DELIVERED,
        "delivered",
        phone=PHONE,
        cost=Decimal("0.0556"),
        currency="EUR",
        changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
    )
    failed = {
        "message_id": "msg_failed123",
        "status": "failed",
        "destination": PHONE[1:],
        "sent_at": "2025-01-15T12:30:00+02:00",
        "failed_at": "2025-01-15T10:29:02",  # before it was sent: its own moment counts
        "validity": None,
        "parts": 2,
        "cost": {"amount": 0.1, "currency": "usd"},
        "error_message": "Number +370 612 34567 not in service",
    }
    assert read_status(body_of({"success": True, "data": failed}), "msg_failed123") == Sighting(
        "msg_failed123",
        MessageState.FAILED,
        "failed",
        phone=PHONE,
        changed_at=datetime(2025, 1, 15, 10, 29, 2, tzinfo=UTC),
        segment_count=2,
        cost=Decimal("0.1"),
        currency="USD",
        reason="Number +# not in service",
    )


@pytest.mark.parametrize(
    "data",
    [
        {"sent_at": "yesterday", "delivered_at": 1736937005, "failed_at": "0001-01-01T00:00:00+14:00"},
        {"destination": "somebody", "cost": {"amount": {}}},
        {"destination": 37061234567, "cost": []},
        {"message_id": None},
    ],
)
def test_of_a_status_only_the_word_must_be_there(data: dict[str, object]) -> None:
    said = {"status": "sent", **data}
    assert read_status(body_of({"data": said}), ID) == Sighting(ID, MessageState.SENT, "sent")


@pytest.mark.parametrize(
    "document",
    [
        {"success": True, "data": {"message_id": "msg_another", "status": "delivered"}},
        {"success": False, "data": {"message_id": ID, "status": "delivered"}},
        {"success": True, "data": {"message_id": ID}},
        {"success": True, "data": {"message_id": ID, "status": 3}},
        {"success": True, "data": {"message_id": ID, "status": " "}},
        {"success": True, "status": "delivered"},
        [STATUS],
        b"",
    ],
)
async def test_a_status_that_cannot_be_read_is_trouble(
    make: Callable[..., LoyaltyLt], server: WireServer, document: object
) -> None:
    server.script.append(answer(body_of(document)))
    assert await make().ask([ID], at_once) == Answers([], "Loyalty.lt's answer cannot be read")


def test_words_are_bounded_and_known_in_either_case() -> None:
    def read(word: str) -> tuple[MessageState | None, str]:
        sighting = read_status(body_of({"data": {"status": word}}), ID)
        assert sighting is not None
        return sighting.evidence, sighting.provider_state

    assert read("Delivered") == (MessageState.DELIVERED, "Delivered")
    assert read("tele\n\0ported" * 20) == (None, ("teleported" * 20)[:64])
    assert read("UNDELIVERABLE") == (None, "UNDELIVERABLE")  # no word of the status page


async def test_ids_they_do_not_know_are_left_out(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    server.script.extend([answer(UNKNOWN, 404)] * 2)
    assert await make().ask(["msg_1", "msg_2"], at_once) == Answers([])
    assert len(server.seen) == 2


def in_order(ids: Sequence[str], _count: int) -> list[str]:
    """In place of the random order in which they are asked."""
    return list(ids)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"<html>not found</html>", "HTTP 404"),
        (404, b'{"message": "The route could not be found."}', "HTTP 404"),
        (401, b'{"success":false,"code":1001}', "the API key or secret is wrong (HTTP 401)"),
        (402, b"", "not enough money (HTTP 402)"),
        (403, b"", "may not do that (HTTP 403)"),
        (500, UNKNOWN, "HTTP 500"),
        (302, b"", "HTTP 302"),
    ],
)
async def test_trouble_ends_the_round(
    make: Callable[..., LoyaltyLt], server: WireServer, status: int, body: bytes, words: str
) -> None:
    server.script.extend([status_of("msg_1"), answer(body, status)])
    provider = make(concurrency=1)
    ids = ["msg_1", "msg_2", "msg_3", "msg_4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaigns.providers.base.sample", in_order)
        answers = await provider.ask(ids, at_once)
    assert answers.trouble is not None
    assert words in answers.trouble
    assert answers.receipts == [Receipt("msg_1", MessageState.SENT, "sent")]
    assert len(server.seen) == 2


@pytest.mark.parametrize("act", [cut(), half(b'{"success": true}')])
async def test_a_question_never_goes_out_a_second_time_by_itself(
    make: Callable[..., LoyaltyLt], server: WireServer, act: Act
) -> None:
    """aiohttp would ask again by itself, which is the same id again at once."""
    server.script.extend([status_of("msg_1"), act])
    provider = make()
    assert (await provider.ask(["msg_1"], at_once)).trouble is None  # and the connection is kept
    answers = await provider.ask(["msg_2"], at_once)
    assert answers.trouble == "Loyalty.lt did not answer: connection cut before the answer was whole"
    assert [seen.path for seen in server.seen] == ["/en/sms/status/msg_1", "/en/sms/status/msg_2"]


# --- our pace, and questions at once --------------------------------------------------------------------


async def test_a_cancelled_round_is_cancelled(
    make: Callable[..., LoyaltyLt], server: WireServer, clock: Clock
) -> None:
    provider = make()
    server.script.append(drip(b" " * 1_000_000))
    task = asyncio.create_task(provider.ask([ID], at_once))
    await until(lambda: len(server.seen) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections == 0)
    assert await provider.ask([ID], at_once) == Answers([], None, 5.0)  # it was asked nevertheless
