"""seven.io, asked: statuses in every form, messages in doubt looked up in the journal, the balance."""

import json
import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Answers,
    Doubtful,
    Money,
    PaceUsedUp,
    Question,
    Receipt,
    Sighting,
    Sightings,
)
from campaigns.domain.states import MessageState
from campaigns.providers.seven import answers as seven_answers
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import CODES, STATUSES, moment_of, read_balance, read_statuses
from campaigns.providers.seven.journal import read_page
from campaigns.providers.wire import Wire
from tests.contract.providers.member_seven import API_KEY, BALANCE, JOURNAL, STATUS, SevenMember
from tests.contract.providers.members import words_of
from tests.contract.providers.wire_server import Seen, WireServer, answer, garbage, half

CAMPAIGN = "0123456789abcdef0123456789abcdef"
BATCH = f"{CAMPAIGN}-7"
ID = "77229135982"
MOMENT = datetime(2024, 2, 13, 22, 30, tzinfo=UTC)


@pytest.fixture
def make(server: WireServer, wire: Wire) -> Callable[..., Seven]:
    def made(**more: Any) -> Seven:
        return SevenMember().make(server, wire, **more)

    return made


class Turns:
    """Counts the turns that were waited for; the one after `most` is not ours."""

    def __init__(self, most: int = 10**6) -> None:
        self.count = 0
        self._most = most

    async def __call__(self) -> None:
        if self.count >= self._most:
            raise PaceUsedUp(4.0)
        self.count += 1


def ids(count: int) -> list[str]:
    return [f"7722913{at:04}" for at in range(count)]


# --- statuses ---------------------------------------------------------------------------------------


async def test_a_status_question_is_the_documented_one(
    make: Callable[..., Seven], server: WireServer
) -> None:
    await make(word="DELIVERED").ask(ids(2), Turns())
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("GET", f"{STATUS}?msg_id=77229130000,77229130001")
    assert seen.headers["x-api-key"] == API_KEY
    assert seen.headers["accept"] == "application/json"


async def test_ids_are_asked_for_a_hundred_at_a_time_each_on_its_turn(
    make: Callable[..., Seven], server: WireServer
) -> None:
    turns = Turns(2)
    answers = await make(word="DELIVERED").ask([*ids(250), ids(1)[0], "no id!", ""], turns)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids(200)
    assert (answers.trouble, answers.retry_after_seconds) == (None, 4.0)
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
    assert await make().ask([ID], Turns()) == Answers([], "seven.io's answer cannot be read")


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
        assert await make().ask([ID], Turns()) == Answers([], trouble)


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
    answers = await make().ask(ids(100), Turns())
    assert {receipt.provider_message_id for receipt in answers.receipts} == set(ids(100)) - bad
    assert answers.trouble is None
    assert len(server.seen) < 40


async def test_halving_is_bounded(make: Callable[..., Seven], server: WireServer) -> None:
    server.free[STATUS] = statuses_or_901(set(ids(100)))
    answers = await make().ask(ids(100), Turns())
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


# --- the journal ------------------------------------------------------------------------------------


def row(message_id: str, phone: str, foreign_id: str | None, **more: object) -> dict[str, object]:
    """One row as the documents show it."""
    return {
        "id": message_id,
        "to": phone.removeprefix("+"),
        "from": "sender",
        "text": "Hello World",
        "timestamp": "2024-02-13 23:31:00.500",
        "price": "0.0750",
        "dlr": "DELIVERED",
        "dlr_timestamp": "2024-02-13 23:31:07.102",
        "mccmnc": "26207",
        "latency": "14.3830",
        "type": "direct",
        "channel": "SMS",
        "connection": "http",
        "label": None,
        "foreign_id": foreign_id,
        **more,
    }


@dataclass
class Journal:
    """A server's journal: filters by number and id, gives a page of at most a hundred."""

    rows: list[dict[str, object]] = field(default_factory=list)
    questions: list[dict[str, str]] = field(default_factory=list)
    heeds_number: bool = True
    moment: float = 0.0  # by a clock that only its questions move
    takes_seconds: float = 0.0

    def __call__(self, seen: Seen) -> bytes:
        asked = seen.query
        self.moment += self.takes_seconds
        self.questions.append(asked)
        rows: Iterable[dict[str, object]] = self.rows
        if "to" in asked and self.heeds_number:
            rows = [each for each in rows if each["to"] == asked["to"]]
        if "id" in asked:
            rows = [each for each in rows if each["id"] == asked["id"]]
        first, limit = int(asked["offset"]), int(asked["limit"])
        assert 1 <= limit <= 100
        return json.dumps([*rows][first : first + limit]).encode()


@pytest.fixture
def journal(server: WireServer) -> Journal:
    made = Journal()
    server.free[JOURNAL] = made
    return made


def phone(at: int) -> str:
    return f"+370612{at:05}"


def doubtful(at: int, ref: str | None = None, **more: Any) -> Doubtful:
    after, before = MOMENT - timedelta(minutes=1), MOMENT
    return Doubtful(ref or f"{BATCH}-{at}", more.get("phone", phone(at)), after, before)


def seen_of(at: int, message_id: str, state: MessageState = MessageState.DELIVERED) -> Sighting:
    return Sighting(
        message_id,
        state,
        "DELIVERED",
        message_ref=f"{BATCH}-{at}",
        phone=phone(at),
        cost=Decimal("0.0750"),
        accepted_at=datetime(2024, 2, 13, 22, 31, 0, 500_000, tzinfo=UTC),
        changed_at=datetime(2024, 2, 13, 22, 31, 7, 102_000, tzinfo=UTC),
    )


async def test_few_in_doubt_are_asked_for_by_number_around_their_days(
    make: Callable[..., Seven], journal: Journal, server: WireServer
) -> None:
    journal.rows = [row("1", phone(1), BATCH), row("2", phone(2), "somebody-elses")]
    turns = Turns()
    sightings = await make().look_up([doubtful(1), doubtful(2)], turns)
    assert sightings == Sightings([seen_of(1, "1")], [f"{BATCH}-2"])
    days = {"date_from": "2024-02-12", "date_to": "2024-02-15", "limit": "100", "offset": "0"}
    assert journal.questions == [{"to": phone(at)[1:], **days} for at in (1, 2)]
    assert turns.count == 2
    assert server.seen[0].headers["x-api-key"] == API_KEY


@pytest.mark.parametrize(
    ("foreign_id", "is_ours"),
    [
        (BATCH, True),
        (f"{BATCH}-1", True),
        (f"{BATCH}-2", False),
        (f"{CAMPAIGN}-8", False),
        (CAMPAIGN, False),
        (f"{BATCH}-11", False),
        (BATCH.upper(), False),
        ("", False),
        (None, False),
    ],
)
async def test_a_row_is_ours_by_its_number_and_its_foreign_id(
    make: Callable[..., Seven], journal: Journal, foreign_id: str | None, is_ours: bool
) -> None:
    journal.rows = [row("1", phone(1), foreign_id), row("5", phone(5), BATCH)]
    sightings = await make().look_up([doubtful(1)], Turns())
    assert sightings == (Sightings([seen_of(1, "1")], []) if is_ours else Sightings([], [f"{BATCH}-1"]))


@pytest.mark.parametrize(
    ("dlr", "state"),
    [
        (None, MessageState.ACCEPTED),
        ("", MessageState.ACCEPTED),
        ("UNKNOWN", MessageState.ACCEPTED),
        ("teleported", MessageState.ACCEPTED),
        ("BUFFERED", MessageState.BUFFERED),
        ("REJECTED", MessageState.REJECTED),
        ("NOTDELIVERED", MessageState.UNDELIVERED),
    ],
)
async def test_what_stands_in_the_journal_was_taken_whatever_the_word(
    make: Callable[..., Seven], journal: Journal, dlr: str | None, state: MessageState
) -> None:
    journal.rows = [row("1", phone(1), BATCH, dlr=dlr)]
    (sighting,) = (await make().look_up([doubtful(1)], Turns())).seen
    assert (sighting.evidence, sighting.provider_state) == (state, dlr or "")


async def test_of_two_rows_of_one_message_the_higher_counts(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [
        row("1", phone(1), BATCH, dlr="REJECTED"),
        row("2", phone(1), f"{BATCH}-1", dlr="DELIVERED"),
        row("3", phone(1), BATCH, dlr=None),
    ]
    (sighting,) = (await make().look_up([doubtful(1)], Turns())).seen
    assert sighting.provider_message_id == "2"


async def test_many_in_doubt_are_found_at_the_journals_top(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row(f"{at + 1}", phone(at), BATCH) for at in range(150)]
    sightings = await make().look_up([doubtful(at) for at in range(100)], Turns())
    assert len(sightings.seen) == 100
    assert len(journal.questions) == 1
    assert "to" not in journal.questions[0]


async def test_the_top_is_read_on_while_it_pays_and_then_by_number(
    make: Callable[..., Seven], journal: Journal
) -> None:
    others = [row(f"9{at:03}", phone(5000 + at), None) for at in range(99)]
    journal.rows = [
        *others,
        row("1", phone(1), BATCH),
        row("2", phone(2), BATCH),
        *others,
        *others,
        *others,
        row("3", phone(3), BATCH),
    ]
    sightings = await make().look_up([doubtful(at) for at in range(1, 7)], Turns())
    assert {each.message_ref for each in sightings.seen} == {f"{BATCH}-{at}" for at in (1, 2, 3)}
    assert sorted(sightings.absent) == [f"{BATCH}-{at}" for at in (4, 5, 6)]
    asked = [question.get("to", question["offset"]) for question in journal.questions]
    assert asked == ["0", "100", "200", *(phone(at)[1:] for at in (3, 4, 5, 6))]


async def test_a_journal_that_fits_one_page_says_who_is_absent_at_once(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH)]
    sightings = await make().look_up([doubtful(at) for at in range(100)], Turns())
    assert sightings.seen == [seen_of(1, "1")]
    assert sightings.absent == [f"{BATCH}-{at}" for at in range(100) if at != 1]
    assert len(journal.questions) == 1


async def test_a_full_page_makes_nobody_absent(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(f"{at}", phone(1), "somebody-elses") for at in range(1, 101)]
    assert await make().look_up([doubtful(1)], Turns()) == Sightings([], [])
    journal.rows.pop()
    assert await make().look_up([doubtful(1)], Turns()) == Sightings([], [f"{BATCH}-1"])


@pytest.mark.parametrize(
    "torn",
    [
        {"id": None},
        {"id": "1,2"},
        {"to": None},
        {"to": "4917612345XXXX"},
        {"to": ""},
        {"foreign_id": {"a": 1}},
        "row",
        None,
    ],
)
async def test_a_row_that_cannot_be_read_makes_nobody_absent(
    make: Callable[..., Seven], server: WireServer, torn: Any
) -> None:
    wrong = {**row("1", phone(1), None), **torn} if isinstance(torn, dict) else torn
    without = {name: value for name, value in row("1", phone(1), None).items() if name != "foreign_id"}
    for each in (wrong, without):
        server.free[JOURNAL] = json.dumps([each]).encode()
        for count in (1, 3):
            several = [doubtful(at) for at in range(1, count + 1)]
            assert await make().look_up(several, Turns()) == Sightings([], [])
        server.free[JOURNAL] = json.dumps([each, row("2", phone(2), BATCH)]).encode()
        assert (await make().look_up([doubtful(2)], Turns())).seen == [seen_of(2, "2")]


async def test_an_answer_about_other_numbers_makes_nobody_absent(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", "0" + phone(1)[4:], BATCH)]  # the number in another notation, perhaps
    journal.heeds_number = False
    assert await make().look_up([doubtful(1)], Turns()) == Sightings([], [])


async def test_what_could_be_either_of_two_is_neither(make: Callable[..., Seven], journal: Journal) -> None:
    twins = [doubtful(1), doubtful(2, phone=phone(1))]
    journal.rows = [row("1", phone(1), BATCH)]
    assert await make().look_up(twins, Turns()) == Sightings([], [])
    journal.rows = [row("1", phone(1), f"{BATCH}-1")]
    assert await make().look_up(twins, Turns()) == Sightings([seen_of(1, "1")], [f"{BATCH}-2"])


async def test_who_could_not_be_marked_is_neither_seen_nor_absent(
    make: Callable[..., Seven], journal: Journal
) -> None:
    assert await make().look_up([doubtful(1, ref="x" * 65), doubtful(2, ref="a b")], Turns()) == Sightings(
        [], []
    )
    assert journal.questions == []


async def test_looking_up_goes_at_our_pace_and_keeps_what_it_learned(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH)]
    sightings = await make().look_up([doubtful(1), doubtful(2)], Turns(1))
    assert sightings == Sightings([seen_of(1, "1")], [], None, 4.0)


async def test_looking_up_is_bounded_in_questions_and_in_time(
    make: Callable[..., Seven], journal: Journal
) -> None:
    provider = make(timeout_seconds=5.0, monotonic=lambda: journal.moment)
    journal.rows = [row(f"9{at:03}", phone(5000 + at), None) for at in range(100)]
    sightings = await provider.look_up([doubtful(at) for at in range(150)], Turns())
    assert len(journal.questions) == 100
    assert len(sightings.absent) == 99

    journal.questions.clear()
    journal.takes_seconds = 1.5
    sightings = await provider.look_up([doubtful(at) for at in range(150)], Turns())
    assert len(journal.questions) == 4  # the last begins after 4.5 s
    assert len(sightings.absent) == 3
    assert (sightings.trouble, sightings.retry_after_seconds) == (None, None)


async def test_who_was_seen_in_anothers_answer_is_not_asked_for(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH), row("2", phone(2), BATCH)]
    journal.heeds_number = False
    sightings = await make().look_up([doubtful(1), doubtful(2)], Turns())
    assert (sightings.seen, len(journal.questions)) == ([seen_of(1, "1"), seen_of(2, "2")], 1)


@pytest.mark.parametrize(
    ("act", "trouble", "wait"),
    [
        (answer(b'"900"'), "seven.io refused the question: invalid API key (code 900)", None),
        (answer(b"900"), "seven.io refused the question: invalid API key (code 900)", None),
        (answer(b"{}"), "seven.io's answer cannot be read", None),
        (answer(b"<html>"), "seven.io's answer cannot be read", None),
        (answer(b"", status=503, headers={"Retry-After": "9"}), "seven.io answered HTTP 503", 9.0),
        (answer(b"[]", status=500), "seven.io answered HTTP 500", None),
        (
            half(b"[" + b" " * 100),
            "seven.io did not answer: connection cut before the answer was whole",
            None,
        ),
        (garbage(), "seven.io did not answer: the answer is not HTTP", None),
    ],
)
async def test_looking_up_in_vain_is_a_value_and_nobody_absent(
    make: Callable[..., Seven], server: WireServer, act: Any, trouble: str, wait: float | None
) -> None:
    for count in (1, 3):
        server.script.append(act)
        looked = await make().look_up([doubtful(at) for at in range(count)], Turns())
        assert looked == Sightings([], [], trouble, wait)


# --- what a person asks -----------------------------------------------------------------------------


async def test_an_id_is_found_in_the_journal(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(ID, phone(1), f"{BATCH}-1"), row("2", phone(2), None)]
    (found,) = await make().find(Question("id", ID), Turns())
    assert found == Sighting(
        ID,
        MessageState.DELIVERED,
        "DELIVERED",
        message_ref=f"{BATCH}-1",
        phone=phone(1),
        cost=Decimal("0.0750"),
        accepted_at=datetime(2024, 2, 13, 22, 31, 0, 500_000, tzinfo=UTC),
        changed_at=datetime(2024, 2, 13, 22, 31, 7, 102_000, tzinfo=UTC),
    )
    assert journal.questions == [{"id": ID, "limit": "100", "offset": "0"}]


async def test_an_id_the_journal_does_not_show_is_asked_for_by_status(
    make: Callable[..., Seven], journal: Journal, server: WireServer
) -> None:
    provider = make(word="UNKNOWN")
    (found,) = await provider.find(Question("id", ID), Turns())
    assert found == Sighting(ID, None, "UNKNOWN", changed_at=found.changed_at)
    assert found.changed_at is not None
    server.free[STATUS] = b"901"
    assert await provider.find(Question("id", ID), Turns()) == []
    assert await provider.find(Question("id", "no id!"), Turns()) == []
    server.free[STATUS] = b"902"
    with pytest.raises(ProviderRefused, match=r"API disabled.* \(code 902\)"):
        await provider.find(Question("id", ID), Turns())
    for most in (0, 1):
        with pytest.raises(PaceUsedUp):
            await provider.find(Question("id", ID), Turns(most))


async def test_a_number_is_found_newest_first(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [
        row("1", phone(1), None, timestamp="2024-02-13 10:00:00"),
        row("2", phone(1), BATCH, timestamp="2024-02-13 12:00:00"),
        row("3", phone(1), None, timestamp="2024-02-13 05:50:63.102"),
        row("4", phone(1), None, timestamp="2024-02-13 11:00:00"),
        row("5", phone(2), None),
    ]
    found = await make().find(Question("phone", phone(1)), Turns())
    assert [each.provider_message_id for each in found] == ["2", "4", "1", "3"]
    assert {each.message_ref for each in found} == {None}  # a batch's part names no message
    assert journal.questions == [{"to": phone(1)[1:], "limit": "100", "offset": "0"}]
    assert len(await make().find(Question("phone", phone(1), count=2), Turns())) == 2
    assert await make().find(Question("phone", phone(9)), Turns()) == []

    noon = datetime(2024, 2, 13, 10, 30, tzinfo=UTC)
    before = await make().find(Question("phone", phone(1), sent_before=noon), Turns())
    assert [each.provider_message_id for each in before] == ["4", "1", "3"]
    assert journal.questions[-1] == {
        "to": phone(1)[1:],
        "date_from": "2024-01-13",
        "date_to": "2024-02-15",
        "limit": "100",
        "offset": "0",
    }


async def test_a_reference_is_found_by_reading_the_journal(
    make: Callable[..., Seven], journal: Journal
) -> None:
    filler = [row(f"9{at:03}", phone(5000 + at), None) for at in range(120)]
    journal.rows = [
        *filler,
        row("1", phone(1), BATCH),
        row("2", phone(2), f"{BATCH}-2"),
        row("3", phone(3), f"{CAMPAIGN}-8"),
        row("4", phone(4), f"{BATCH}2-2"),
    ]

    async def found(reference: str) -> list[str]:
        asked = await make().find(Question("reference", reference), Turns())
        return sorted(each.provider_message_id for each in asked)

    assert await found(f"{BATCH}-2") == ["2"]
    assert await found(BATCH) == ["1", "2"]
    assert await found(f"{CAMPAIGN}-9-1") == []
    with pytest.raises(ProviderRefused, match="went together under one reference: ask by number"):
        await found(f"{BATCH}-1")
    assert [question["offset"] for question in journal.questions[:2]] == ["0", "100"]


async def test_an_endless_journal_is_given_up(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(f"9{at:05}", phone(at), None) for at in range(2500)]
    with pytest.raises(ProviderRefused, match="too long to be searched so"):
        await make().find(Question("reference", BATCH), Turns())
    assert len(journal.questions) == 20
    with pytest.raises(PaceUsedUp):
        await make().find(Question("reference", BATCH), Turns(3))


# --- the balance ------------------------------------------------------------------------------------


async def test_the_balance_is_an_object(make: Callable[..., Seven], server: WireServer) -> None:
    provider = make()
    for body, money in (
        (b'{"amount":593.994,"currency":"EUR"}', Money(Decimal("593.994"), "EUR")),
        (b'{"amount":"-0.5","currency":"euro"}', Money(Decimal("-0.5"), None)),
        (b'{"amount":900}', Money(Decimal(900), None)),
    ):
        server.script.append(answer(body))
        assert await provider.balance() == money
    assert (server.seen[0].method, server.seen[0].target) == ("GET", BALANCE)
    assert server.seen[0].headers["accept"] == "application/json"
    server.script.append(answer(b'{"amount":0.0,"currency":"EUR"}'))
    assert await provider.probe() == Money(Decimal("0.0"), "EUR")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"900", "seven.io refused the question: invalid API key (code 900)"),
        (b'"900"', "seven.io refused the question: invalid API key (code 900)"),
        (b'{"code":903}', "seven.io refused the question: IP address not allowed (code 903)"),
        (b"593.994", "seven.io's answer cannot be read"),
        (b'{"amount":"much","currency":"EUR"}', "seven.io's answer cannot be read"),
        (b"", "seven.io's answer cannot be read"),
    ],
)
async def test_a_code_is_no_money(
    make: Callable[..., Seven], server: WireServer, body: bytes, sentence: str
) -> None:
    for question in ("balance", "probe"):
        server.script.append(answer(body))
        with pytest.raises(ProviderRefused) as refused:
            await getattr(make(), question)()
        assert str(refused.value) == sentence


# --- what is never shown ----------------------------------------------------------------------------


async def test_no_secret_no_number_and_no_text_is_shown(
    make: Callable[..., Seven], server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = make()
    telling = json.dumps({"error_text": f"{API_KEY} {phone(1)} Hello World", "text": "Hello World"}).encode()
    shown: list[str] = []
    for status in (200, 403, 500, 503):
        server.script.append(answer(telling, status=status))
        shown.append(repr(await provider.look_up([doubtful(1)], Turns())))
        for question in (Question("phone", phone(1)), Question("id", ID), Question("reference", BATCH)):
            server.script.append(answer(telling, status=status))
            with pytest.raises(ProviderRefused) as refused:
                await provider.find(question, Turns())
            shown += ["".join(traceback.format_exception(refused.value)), repr(question)]
    server.free[JOURNAL] = json.dumps([row("1", phone(1), BATCH)]).encode()
    shown.append(repr(await provider.look_up([doubtful(1)], Turns())))
    shown.append(repr(await provider.find(Question("phone", phone(1)), Turns())))
    for hidden in (API_KEY, phone(1)[1:], phone(1)[4:], "Hello World"):
        assert not [text for text in [*shown, caplog.text] if hidden in text], hidden
