"""Asking LightSMS what became of messages."""

from collections.abc import Callable

import pytest

from campaigns.domain.provider import AccountTrouble, Answers, PaceUsedUp, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.lightsms.adapter import LightSms
from tests.contract.providers.clock import Clock
from tests.contract.providers.lightsms.documented import STATUS, TIMESTAMP, handed_over, ids, signed_rightly
from tests.contract.providers.lightsms.member import SERVER_MOMENT
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Seen, WireServer, answer, body_of, cut


def statuses_or_18(bad: set[str]) -> Callable[[Seen], bytes]:
    """A server that answers code 18 to any question that holds an id it does not know."""

    def said(seen: Seen) -> bytes:
        assert signed_rightly(seen)
        asked = seen.query["state"].split(",")
        return body_of({"error": 18} if bad.intersection(asked) else dict.fromkeys(asked, "delivered"))

    return said


async def test_ids_are_asked_for_a_hundred_at_a_time_each_on_the_pace(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    waits = 0

    async def wait_for_pace() -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise PaceUsedUp(4.0)

    server.free[STATUS] = statuses_or_18(set())
    answers = await make().ask(ids(250), wait_for_pace)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids(200)
    assert answers.retry_after_seconds == 4.0
    questions = [seen for seen in server.seen if seen.path == STATUS]
    assert [len(seen.query["state"].split(",")) for seen in questions] == [100, 100]


async def test_the_wait_for_the_pace_comes_before_the_timestamp(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    async def wait_for_pace() -> None:
        clock.pass_by(30)

    server.free[STATUS] = statuses_or_18(set())
    await make().ask(ids(1), wait_for_pace)
    assert server.seen[-1].query["timestamp"] == str(SERVER_MOMENT + 30)


async def test_words_and_objects_are_read_and_the_rest_is_left_out(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    asked = ids(9)
    said = [
        "DELIVERED",
        {"status": "partly_deliver", "time": "2014-10-05 10:00:00"},
        "",
        "weird\n\x1b[31m" + "x" * 100,
        5,
        None,
        {"state": "sent"},
        ["sent"],
    ]
    document = {**dict(zip(asked, said, strict=False)), "7": "delivered"}
    server.free[STATUS] = body_of(document)
    answers = await make().ask([*asked, asked[0], "no,id"], at_once)
    assert answers.receipts == [
        Receipt(asked[0], MessageState.DELIVERED, "DELIVERED"),
        Receipt(asked[1], MessageState.SENT, "partly_deliver"),
        Receipt(asked[2], MessageState.ACCEPTED, ""),
        Receipt(asked[3], None, ("weird[31m" + "x" * 100)[:64]),
        Receipt(asked[4], None, "5"),
    ]
    assert answers.trouble == "LightSMS's answer cannot be read"  # of two of them
    assert server.seen[-1].query["state"] == ",".join(asked)


@pytest.mark.parametrize(
    "document", [{"error": 18}, b"18", {"": {"error": "18"}}, {ids(1)[0]: {"error": 18}}]
)
async def test_an_unknown_id_alone_is_absent(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.free[STATUS] = body_of(document)
    answers = await make().ask(ids(1), at_once)
    assert (list(answers.receipts), answers.trouble) == ([], None)


STATUS_ID = ids(1)[0]


@pytest.mark.parametrize(
    "document",
    [
        {"statuses": {STATUS_ID: "delivered"}},
        {"response": {"statuses": [{"id_sms": STATUS_ID, "status": "delivered"}]}},
        [{"id_sms": STATUS_ID, "status": "delivered"}],
        [STATUS_ID, "delivered"],
        {"7": "delivered"},
        {STATUS_ID: ["delivered"]},
        {STATUS_ID: {"state": "delivered"}},
        {STATUS_ID: True},
        b'"delivered"',
        b"true",
    ],
)
async def test_statuses_in_a_form_nobody_knows_are_trouble_and_not_silence(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    server.free[STATUS] = body_of(document)
    assert await make().ask([STATUS_ID], at_once) == Answers([], "LightSMS's answer cannot be read")


@pytest.mark.parametrize(
    "document",
    [[], {}, {STATUS_ID: None}, {STATUS_ID: {"status": None, "time": ""}}, {STATUS_ID: {"error": 18}}],
)
async def test_no_word_yet_is_no_trouble(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    """PHP writes an object without entries as []."""
    server.free[STATUS] = body_of(document)
    assert await make().ask([STATUS_ID, ids(2)[1]], at_once) == Answers([])


async def test_errors_said_id_by_id_need_no_halving(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    unknown, known = ids(2)
    server.script.append(answer(body_of({unknown: {"error": 18}, known: {"error": "18"}})))
    assert await make().ask([unknown, known], at_once) == Answers([])
    server.script.append(answer(body_of({unknown: {"error": 18}, known: "sent"})))
    receipts = [Receipt(known, MessageState.SENT, "sent")]
    assert await make().ask([unknown, known], at_once) == Answers(receipts)


async def test_error_0_is_no_error(make: Callable[..., LightSms], server: WireServer) -> None:
    (asked,) = ids(1)
    for document in ({"error": "0", asked: "sent"}, {asked: {"error": 0, "status": "sent"}}):
        server.script.append(answer(body_of(document)))
        receipts = [Receipt(asked, MessageState.SENT, "sent")]
        assert await make().ask([asked], at_once) == Answers(receipts)


async def test_unknown_ids_are_found_by_halving(make: Callable[..., LightSms], server: WireServer) -> None:
    asked = ids(100)
    bad = {asked[3], asked[77]}
    server.free[STATUS] = statuses_or_18(bad)
    answers = await make().ask(asked, at_once)
    assert {receipt.provider_message_id for receipt in answers.receipts} == set(asked) - bad
    assert answers.trouble is None
    assert len(server.seen) < 40


@pytest.mark.parametrize(
    ("document", "trouble"),
    [
        ({"error": 7}, "LightSMS refused the question: invalid login (code 7)"),
        ({ids(1)[0]: {"error": "7"}}, "LightSMS refused the question: invalid login (code 7)"),
        (b"000", "LightSMS refused the question: service unavailable (code 000)"),
        (b"", "LightSMS's answer cannot be read"),
    ],
)
async def test_other_errors_are_trouble(
    make: Callable[..., LightSms], server: WireServer, document: object, trouble: str
) -> None:
    server.free[STATUS] = body_of(document)
    answers = await make().ask(ids(1), at_once)
    assert (list(answers.receipts), answers.trouble) == ([], trouble)


async def test_what_was_learned_before_the_trouble_is_kept(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    first, second = ids(2)
    server.script.extend([answer(body_of({first: "sent"})), cut(), cut()])
    answers = await make(max_status_ids_per_request=1).ask([first, second], at_once)
    assert answers.receipts == [Receipt(first, MessageState.SENT, "sent")]
    assert answers.trouble == "LightSMS did not answer: connection cut before the answer was whole"


async def test_a_question_is_signed_anew_once(make: Callable[..., LightSms], server: WireServer) -> None:
    (asked,) = ids(1)
    server.script.extend([answer(body_of({"error": "6"})), answer(body_of({asked: "sent"}))])
    provider = make()
    assert (await provider.ask([asked], at_once)).receipts == [Receipt(asked, MessageState.SENT, "sent")]
    assert [seen.path for seen in server.seen] == [TIMESTAMP, STATUS] * 2

    server.script.extend([answer(body_of({"error": "6"}))] * 2)
    answers = await provider.ask([asked], at_once)
    assert answers.trouble == "LightSMS refused the signature, also by a clock learned anew (code 6 or 24)"
    assert len(server.seen) == 7
    server.script.append(answer(body_of({"error": "6"})))
    (outcome,) = await handed_over(provider)
    assert isinstance(outcome, AccountTrouble)  # a question has tried the new clock already
