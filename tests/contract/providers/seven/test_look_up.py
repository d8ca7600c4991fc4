"""Doubt looked up in seven.io's journal."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from campaigns.domain.provider import Sighting, Sightings
from campaigns.domain.states import MessageState
from campaigns.providers.seven.adapter import Seven
from tests.contract.providers.pace import Pace
from tests.contract.providers.seven.journal import BATCH, CAMPAIGN, Journal, doubtful, phone, row
from tests.contract.providers.seven.member import API_KEY, JOURNAL
from tests.contract.providers.wire_server import WireServer, answer, garbage, half


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
    waits = Pace()
    sightings = await make().look_up([doubtful(1), doubtful(2)], waits)
    assert sightings == Sightings([seen_of(1, "1")], [f"{BATCH}-2"])
    days = {"date_from": "2024-02-12", "date_to": "2024-02-15", "limit": "100", "offset": "0"}
    assert journal.questions == [{"to": phone(at)[1:], **days} for at in (1, 2)]
    assert waits.count == 2
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
    sightings = await make().look_up([doubtful(1)], Pace())
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
    (sighting,) = (await make().look_up([doubtful(1)], Pace())).seen
    assert (sighting.evidence, sighting.provider_state) == (state, dlr or "")


async def test_of_two_rows_of_one_message_the_higher_counts(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [
        row("1", phone(1), BATCH, dlr="REJECTED"),
        row("2", phone(1), f"{BATCH}-1", dlr="DELIVERED"),
        row("3", phone(1), BATCH, dlr=None),
    ]
    (sighting,) = (await make().look_up([doubtful(1)], Pace())).seen
    assert sighting.provider_message_id == "2"


async def test_many_in_doubt_are_found_at_the_journals_top(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row(f"{at + 1}", phone(at), BATCH) for at in range(150)]
    sightings = await make().look_up([doubtful(at) for at in range(100)], Pace())
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
    sightings = await make().look_up([doubtful(at) for at in range(1, 7)], Pace())
    assert {each.message_ref for each in sightings.seen} == {f"{BATCH}-{at}" for at in (1, 2, 3)}
    assert sorted(sightings.absent) == [f"{BATCH}-{at}" for at in (4, 5, 6)]
    asked = [question.get("to", question["offset"]) for question in journal.questions]
    assert asked == ["0", "100", "200", *(phone(at)[1:] for at in (3, 4, 5, 6))]


async def test_a_journal_that_fits_one_page_says_who_is_absent_at_once(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH)]
    sightings = await make().look_up([doubtful(at) for at in range(100)], Pace())
    assert sightings.seen == [seen_of(1, "1")]
    assert sightings.absent == [f"{BATCH}-{at}" for at in range(100) if at != 1]
    assert len(journal.questions) == 1


async def test_a_full_page_makes_nobody_absent(make: Callable[..., Seven], journal: Journal) -> None:
    journal.rows = [row(f"{at}", phone(1), "somebody-elses") for at in range(1, 101)]
    assert await make().look_up([doubtful(1)], Pace()) == Sightings([], [])
    journal.rows.pop()
    assert await make().look_up([doubtful(1)], Pace()) == Sightings([], [f"{BATCH}-1"])


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
            assert await make().look_up(several, Pace()) == Sightings([], [])
        server.free[JOURNAL] = json.dumps([each, row("2", phone(2), BATCH)]).encode()
        assert (await make().look_up([doubtful(2)], Pace())).seen == [seen_of(2, "2")]


async def test_an_answer_about_other_numbers_makes_nobody_absent(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", "0" + phone(1)[4:], BATCH)]  # the number in another notation, perhaps
    journal.heeds_number = False
    assert await make().look_up([doubtful(1)], Pace()) == Sightings([], [])


async def test_what_could_be_either_of_two_is_neither(make: Callable[..., Seven], journal: Journal) -> None:
    twins = [doubtful(1), doubtful(2, phone=phone(1))]
    journal.rows = [row("1", phone(1), BATCH)]
    assert await make().look_up(twins, Pace()) == Sightings([], [])
    journal.rows = [row("1", phone(1), f"{BATCH}-1")]
    assert await make().look_up(twins, Pace()) == Sightings([seen_of(1, "1")], [f"{BATCH}-2"])


async def test_who_could_not_be_marked_is_neither_seen_nor_absent(
    make: Callable[..., Seven], journal: Journal
) -> None:
    assert await make().look_up([doubtful(1, ref="x" * 65), doubtful(2, ref="a b")], Pace()) == Sightings(
        [], []
    )
    assert journal.questions == []


async def test_looking_up_goes_at_our_pace_and_keeps_what_it_learned(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH)]
    sightings = await make().look_up([doubtful(1), doubtful(2)], Pace(1))
    assert sightings == Sightings([seen_of(1, "1")], [], None, 7.0)


async def test_looking_up_is_bounded_in_questions_and_in_time(
    make: Callable[..., Seven], journal: Journal
) -> None:
    provider = make(timeout_seconds=5.0, monotonic=lambda: journal.moment)
    journal.rows = [row(f"9{at:03}", phone(5000 + at), None) for at in range(100)]
    sightings = await provider.look_up([doubtful(at) for at in range(150)], Pace())
    assert len(journal.questions) == 100
    assert len(sightings.absent) == 99

    journal.questions.clear()
    journal.takes_seconds = 1.5
    sightings = await provider.look_up([doubtful(at) for at in range(150)], Pace())
    assert len(journal.questions) == 4  # the last begins after 4.5 s
    assert len(sightings.absent) == 3
    assert (sightings.trouble, sightings.retry_after_seconds) == (None, None)


async def test_who_was_seen_in_anothers_answer_is_not_asked_for(
    make: Callable[..., Seven], journal: Journal
) -> None:
    journal.rows = [row("1", phone(1), BATCH), row("2", phone(2), BATCH)]
    journal.heeds_number = False
    sightings = await make().look_up([doubtful(1), doubtful(2)], Pace())
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
        looked = await make().look_up([doubtful(at) for at in range(count)], Pace())
        assert looked == Sightings([], [], trouble, wait)
