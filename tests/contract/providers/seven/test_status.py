"""Asking seven.io what became of messages."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import Answers, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.seven import answers as seven_answers
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import CODES, STATUSES, moment_of, read_balance, read_statuses
from campaigns.providers.seven.journal import read_page
from tests.contract.providers.members import words_of
from tests.contract.providers.pace import Pace
from tests.contract.providers.seven.journal import ID
from tests.contract.providers.seven.member import API_KEY, STATUS
from tests.contract.providers.wire_server import Seen, WireServer, answer


def ids(count: int) -> list[str]:
    return [f"7722913{at:04}" for at in range(count)]


async def test_a_status_question_is_the_documented_one(
    make: Callable[..., Seven], server: WireServer
) -> None:
    await make(word="DELIVERED").ask(ids(2), Pace())
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("GET", f"{STATUS}?msg_id=77229130000,77229130001")
    assert seen.headers["x-api-key"] == API_KEY
    assert seen.headers["accept"] == "application/json"


async def test_ids_are_asked_for_a_hundred_at_a_time_each_on_the_pace(
    make: Callable[..., Seven], server: WireServer
) -> None:
    waits = Pace(2)
    answers = await make(word="DELIVERED").ask([*ids(250), ids(1)[0], "no id!", ""], waits)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids(200)
    assert (answers.trouble, answers.retry_after_seconds) == (None, 7.0)
    assert [len(seen.query["msg_id"].split(",")) for seen in server.seen] == [100, 100]


def test_every_form_of_a_status() -> None:
    for word, (state, _) in STATUSES.items():
        known = [Receipt(ID, state, word)]
        for document in (
            [{"id": ID, "status": word, "status_time": "2024-02-13 05:50:58.802000"}],
            [{"id": int(ID), "status": word, "status_time": None}, {"id": "5", "status": "DELIVERED"}],
            {"id": ID, "status": word, "status_time": "x"},
            {"status": word, "status_time": "x"},
        ):
            receipts = read_statuses(json.dumps(document).encode(), [ID])
            assert isinstance(receipts, list)
            assert words_of(receipts) == known, document
        for line in ("", "\n", "\n2024-02-13 05:50:58.802", "\r\n1707799858\r\n", "\n1707799858802"):
            receipts = read_statuses(f"{word}{line}".encode(), [ID])
            assert isinstance(receipts, list)
            assert words_of(receipts) == known, line
        assert read_statuses(f"{word}\n1707799858".encode(), [ID, "5"]) is None  # of which of the two?


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2024-02-13 05:50:58.802000", datetime(2024, 2, 13, 4, 50, 58, 802_000, tzinfo=UTC)),
        ("1707799858", datetime(2024, 2, 13, 4, 50, 58, tzinfo=UTC)),
        (1707799858, datetime(2024, 2, 13, 4, 50, 58, tzinfo=UTC)),
        ("x", None),
        (None, None),
    ],
)
def test_a_status_says_since_when(said: object, moment: datetime | None) -> None:
    document = [{"id": ID, "status": "DELIVERED", "status_time": said}]
    receipts = read_statuses(json.dumps(document).encode(), [ID])
    assert receipts == [Receipt(ID, MessageState.DELIVERED, "DELIVERED", changed_at=moment)]


@pytest.mark.parametrize("word", ["delivered", " Delivered "])
def test_a_word_is_known_in_any_case_and_kept_as_it_is(word: str) -> None:
    body = json.dumps([{"id": ID, "status": word}]).encode()
    assert read_statuses(body, [ID]) == [Receipt(ID, MessageState.DELIVERED, word)]


def test_an_unknown_word_is_kept_in_text_too_where_a_moment_follows() -> None:
    assert read_statuses(b"TELEPORTED\n1707799858", [ID]) == [
        Receipt(ID, None, "TELEPORTED", changed_at=datetime(2024, 2, 13, 4, 50, 58, tzinfo=UTC))
    ]
    body = json.dumps([{"id": ID, "status": "\x00ab\ud83d" + "c" * 99}]).encode()
    assert read_statuses(body, [ID]) == [Receipt(ID, None, "ab" + "c" * 62)]


@pytest.mark.parametrize("status", [None, "", "  ", 901, "901", True, {"a": 1}, []])
def test_where_there_is_no_status_yet_nothing_is_said(status: object) -> None:
    document = [{"id": ID, "status": status}, {"id": "5", "status": "BUFFERED"}]
    assert read_statuses(json.dumps(document).encode(), [ID, "5"]) == [
        Receipt("5", MessageState.BUFFERED, "BUFFERED")
    ]
    assert read_statuses(json.dumps({"id": ID, "status": status}).encode(), [ID]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"Maintenance",
        b"TELEPORTED\nsoon",
        b"DELIVERED\n1707799858\nmore",
        b"DELIVERED\nnonsense",
        b"\xff\xfe",
        b"{}",
        b"null",
        b'["DELIVERED"]',
        b'[{"id":"77229135982"}]',
        b'{"77229135982":"DELIVERED"}',
    ],
)
async def test_what_cannot_be_read_is_trouble_and_no_word(
    make: Callable[..., Seven], server: WireServer, body: bytes
) -> None:
    server.script.append(answer(body))
    assert await make().ask([ID], Pace()) == Answers([], "seven.io's answer cannot be read")


def test_no_statuses_at_all_is_an_answer() -> None:
    assert read_statuses(b"[]", [ID]) == []


@pytest.mark.parametrize("code", [*CODES, "999"])
async def test_a_refused_question_is_trouble_and_901_an_unknown_id(
    make: Callable[..., Seven], server: WireServer, code: str
) -> None:
    reason = CODES[code][1] if code in CODES else "a code their documents do not hold"
    trouble = None if code == "901" else f"seven.io refused the question: {reason} (code {code})"
    for body in (f'"{code}"', code, f'{{"code":{code}}}'):
        server.script.append(answer(body.encode()))
        assert await make().ask([ID], Pace()) == Answers([], trouble)


def statuses_or_901(bad: set[str]) -> Callable[[Seen], bytes]:
    """A server that answers 901 to any question that holds an id it does not know."""

    def said(seen: Seen) -> bytes:
        asked = seen.query["msg_id"].split(",")
        if bad.intersection(asked):
            return b'"901"'
        return json.dumps(
            [{"id": each, "status": "DELIVERED", "status_time": None} for each in asked]
        ).encode()

    return said


async def test_an_unknown_id_does_not_hide_the_others(make: Callable[..., Seven], server: WireServer) -> None:
    bad = {ids(100)[3], ids(100)[77]}
    server.free[STATUS] = statuses_or_901(bad)
    answers = await make().ask(ids(100), Pace())
    assert {receipt.provider_message_id for receipt in answers.receipts} == set(ids(100)) - bad
    assert answers.trouble is None
    assert len(server.seen) < 40


async def test_halving_is_bounded(make: Callable[..., Seven], server: WireServer) -> None:
    server.free[STATUS] = statuses_or_901(set(ids(100)))
    answers = await make().ask(ids(100), Pace())
    assert answers.trouble == "seven.io does not know too many of these ids to ask for each at once"
    assert len(server.seen) < 140


@given(body=st.binary(max_size=80), asked=st.lists(st.text(max_size=4), max_size=3))
def test_no_bytes_break_the_readers(body: bytes, asked: list[str]) -> None:
    said = read_statuses(body, asked)
    assert said is None or len(said) <= 4
    read_page(body)
    read_balance(body)


def test_moments_are_berlins_where_nothing_else_is_said() -> None:
    for text in ("2024-02-13 05:50:58.802", "2024-02-13T04:50:58.802Z", "2024-02-13T05:50:58.802+01:00"):
        moment = moment_of(text)
        assert moment == datetime(2024, 2, 13, 4, 50, 58, 802_000, tzinfo=UTC)
        assert moment.tzinfo is UTC
    assert moment_of("2024-08-13 05:50:58") == datetime(2024, 8, 13, 3, 50, 58, tzinfo=UTC)
    assert moment_of("1707799858") == datetime(2024, 2, 13, 4, 50, 58, tzinfo=UTC)
    assert moment_of("1707799858802") == datetime(2024, 2, 13, 4, 50, 58, 802_000, tzinfo=UTC)
    for wrong in ("2024-02-13 05:50:63.102", "soon", "", None, 17, "9" * 15):  # the first is their example
        assert moment_of(wrong) is None


def test_without_a_database_of_zones_the_hour_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(seven_answers, "ZoneInfo", none)
    seven_answers._berlin.cache_clear()
    try:
        assert moment_of("2024-02-13 05:50:58.802") is None
        assert moment_of("2024-02-13T04:50:58Z") == datetime(2024, 2, 13, 4, 50, 58, tzinfo=UTC)
    finally:
        seven_answers._berlin.cache_clear()
