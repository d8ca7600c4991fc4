"""Taking a campaign in: what is stored, what is refused, what is an error. Whole or not at all.

Nothing is visible before everything is stored; one submission key, one campaign, whoever asks at once.
"""

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, cleaning, reading, sending, submission, suppression
from campaigns.domain.errors import DatabaseUnavailable, SubmissionError, SubmissionKeyConflict
from campaigns.domain.segments import Segments, count_segments
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store import session
from campaigns.store import submission as intake
from campaigns.store.session import Database
from campaigns.store.submission import Intake, TakenIn
from tests.conftest import POLICY, MakeDesk, open_database
from tests.integration.rows import cut_everywhere, query
from tests.river import flow, lines, phones, submit
from tests.stub import Stub
from tests.waiting import until

ONE = "+37060000001"
TWO = "+37060000002"
THREE = "+37060000003"
DEADLINE_SECONDS = 60


async def stored(database: Database) -> dict[str, int]:
    """How many rows each table holds."""
    names = await query(
        database,
        "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname <> 'alembic_version' ORDER BY 1",
    )
    counts = {}
    for row in names:
        (counted,) = await query(database, f"SELECT count(*) AS n FROM {row['name']}")  # noqa: S608  ours
        counts[row["name"]] = counted["n"]
    assert {"campaign", "batch", "message", "refusal"} <= counts.keys()
    return counts


async def assert_nothing_is_stored(database: Database) -> None:
    """Every table is empty, and no session keeps what was staged."""
    assert not any((await stored(database)).values())

    async def is_gone() -> bool:
        return not await query(database, "SELECT relname FROM pg_class WHERE relpersistence = 't'")

    await until(is_gone, "the temporary tables go with their connection")


async def messages(database: Database, columns: str) -> list[tuple[Any, ...]]:
    """Columns of every message, batch by batch, in order."""
    rows = await query(
        database,
        f"SELECT {columns} FROM batch b JOIN message m ON m.batch_id = b.id"  # noqa: S608  the test's own
        " ORDER BY b.campaign_id, b.number, m.position",
    )
    return [tuple(row.values()) for row in rows]


async def take_in(database: Database, rows: Iterator[tuple[int, Mapping[str, str]]]) -> TakenIn:
    wanted = submission.Submission("main", "Hello", "Demo", "test", submission_key="key")
    return await submission.submit(database, POLICY, wanted, rows, batch_size=batching.BATCH_SIZE)


# --- numbers -----------------------------------------------------------------------------------------


async def test_one_number_in_many_spellings_is_one_recipient_and_the_first_row_wins(
    database: Database,
) -> None:
    spellings = [
        "0 600 00001",
        "+370 600 00001",
        "00370-600-00001",
        "(0-600) 00001",
        "'+37060000001",
        "60000001",
        "37060000001.0",
        "+３７０ 600 00001",
        "tel:+370-600-00001",
    ]
    rows = [{"phone": TWO, "name": "Rasa"}]
    rows += [{"phone": spelling, "name": f"name {n}"} for n, spelling in enumerate(spellings)]

    taken = await submit(database, rows, text="Hello {name}", region="LT")

    assert (taken.recipient_count, dict(taken.refused)) == (2, {"duplicate": len(spellings) - 1})
    found = await messages(database, "m.phone, m.row, m.text")
    assert sorted(found) == [(ONE, 3, "Hello name 0"), (TWO, 2, "Hello Rasa")]
    refusals = await reading.refusals(database, taken.id)
    assert refusals == [(row, "duplicate") for row in range(4, 3 + len(spellings))]


async def test_the_first_row_wins_also_over_portions_and_after_a_refused_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 2)
    rows = [
        {"phone": ONE, "name": ""},  # refused for its empty cell: no recipient, so no duplicate of it
        {"phone": TWO, "name": "first"},
        {"phone": THREE, "name": "only"},
        {"phone": ONE, "name": "second"},
        {"phone": TWO, "name": "late"},
        {"phone": TWO, "name": "later"},
    ]

    taken = await submit(database, rows, text="{name}")

    assert {line["phone"]: line["row"] for line in await lines(database, taken.id)} == {
        TWO: 3,
        THREE: 4,
        ONE: 5,
    }
    assert await reading.refusals(database, taken.id) == [
        (2, "empty_cell"),
        (6, "duplicate"),
        (7, "duplicate"),
    ]


async def test_each_refusal_is_stored_with_its_row_and_reason_and_counted(database: Database) -> None:
    rows = [
        {"phone": ONE, "name": "Ona"},
        {"phone": "", "name": "Ona"},
        {"phone": "call me", "name": "Ona"},
        {"phone": "3.7E+10", "name": "Ona"},
        {"phone": "60000001", "name": "Ona"},  # national, and no region is given
        {"phone": "+9991234567", "name": "Ona"},
        {"phone": "+37060", "name": "Ona"},
        {"phone": "+370600000011111", "name": "Ona"},
        {"phone": ONE, "name": "Ona"},
        {"phone": TWO, "name": "  "},
        {"phone": THREE, "name": "x" * 1531},
        {"phone": "+37060000004", "name": "a\0b"},
        {"phone": "+37060000005", "name": "a\ud800b"},
        {"phone": "\0", "name": "Ona"},
    ]

    taken = await submit(database, rows, text="{name}")

    found = await reading.refusals(database, taken.id)
    assert found == [
        (3, "empty"),
        (4, "letters"),
        (5, "spreadsheet_number"),
        (6, "no_region"),
        (7, "unknown_country"),
        (8, "too_short"),
        (9, "too_long"),
        (10, "duplicate"),
        (11, "empty_cell"),
        (12, "text_too_long"),
        (13, "nul_character"),
        (14, "broken_character"),
        (15, "not_a_number"),
    ]
    assert dict(taken.refused) == Counter(reason for _, reason in found)
    assert taken.recipient_count == 1
    assert {reason for _, reason in found} <= cleaning.REASONS.keys()
    overview = await reading.status(database, taken.id)
    assert (overview.recipient_count, dict(overview.refused)) == (1, dict(taken.refused))
    assert await reading.refusals(database, taken.id, limit=2) == found[:2]


# --- the suppression list ----------------------------------------------------------------------------


async def test_a_number_on_the_suppression_list_is_never_handed_over(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    assert await suppression.suppress(database, ["0 600 00002", TWO], "LT", "asked to stop") == 1
    assert await suppression.suppress(database, [TWO], None, "another reason") == 0
    taken = await submit(database, [{"phone": ONE}, {"phone": "+370 600 00002"}])

    overview = await flow(database, make_desk(stub), taken.id)

    assert [line.message.phone for line in stub.ledger] == [ONE]
    assert taken.recipient_count == 2
    assert overview.totals[MessageState.SUPPRESSED] == 1
    assert {line["phone"]: line["reason"] for line in await lines(database, taken.id)} == {
        ONE: None,
        TWO: "asked to stop",
    }
    assert [(phone, reason) for phone, reason, _ in await suppression.suppressed(database)] == [
        (TWO, "asked to stop")
    ]


async def test_a_campaign_of_suppressed_numbers_alone_ends_without_a_hand_over(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await suppression.suppress(database, [ONE, TWO], None, "asked to stop")
    taken = await submit(database, [{"phone": ONE}, {"phone": TWO}])

    assert await batching.deal_sending(database, desk) == []
    assert await batching.deal_polling(database, desk) == []
    assert await aggregation.finish(database) == [taken.id]
    overview = await reading.status(database, taken.id)
    assert (overview.state, overview.totals[MessageState.SUPPRESSED]) == (CampaignState.FINISHED, 2)


async def test_a_number_taken_off_the_list_is_sent_to_again_and_a_wrong_one_stores_none(
    database: Database, make_desk: MakeDesk
) -> None:
    with pytest.raises(SubmissionError, match="number 2"):
        await suppression.suppress(database, [ONE, "12"], "LT", "asked to stop")
    with pytest.raises(SubmissionError, match="no region"):
        await suppression.suppress(database, ["60000001"], "Lithuania", "asked to stop")
    assert await suppression.suppressed(database) == []

    await suppression.suppress(database, [ONE], None, "asked to stop")
    assert await suppression.unsuppress(database, ["+370 600 00001", TWO], None) == 1
    taken = await submit(database, [{"phone": ONE}])
    overview = await flow(database, make_desk(), taken.id)

    assert overview.totals[MessageState.DELIVERED] == 1


# --- texts -------------------------------------------------------------------------------------------


async def test_placeholders_find_their_columns_and_leave_braces_and_values_alone(database: Database) -> None:
    rows = [
        {" Phone ": ONE, "First Name ": "Ona", "SUM": "5 %s {name}", "name": "not this"},
        {" Phone ": TWO, "First Name ": "{{Jonas}}", "SUM": "{0} %(x)s", "name": "nor this"},
    ]

    await submit(
        database, rows, text="Hi {first name}, {{you}} owe {sum} ({ First Name })", phone_column="PHONE"
    )

    assert sorted(await messages(database, "m.row, m.text")) == [
        (2, "Hi Ona, {you} owe 5 %s {name} (Ona)"),
        (3, "Hi {{Jonas}}, {you} owe {0} %(x)s ({{Jonas}})"),
    ]


async def test_rows_may_name_their_columns_in_any_order_and_have_more_than_others(database: Database) -> None:
    """JSON lines: each object is its own."""
    rows = [
        {"phone": ONE, "name": "Ona"},
        {"NAME": "Jonas", "city": "Kaunas", "Phone": TWO},
        {"name": "Rasa", "phone": THREE},
    ]

    await submit(database, rows, text="Hi {name}")

    assert sorted(await messages(database, "m.phone, m.text")) == [
        (ONE, "Hi Ona"),
        (TWO, "Hi Jonas"),
        (THREE, "Hi Rasa"),
    ]


async def test_a_text_for_all_is_stored_once_and_a_text_of_ones_own_with_the_message(
    database: Database,
) -> None:
    plain = await submit(
        database, [{"phone": ONE, "name": "Ona"}, {"phone": TWO, "name": "Jonas"}], text="50 {{%}}"
    )
    own = await submit(database, [{"phone": ONE, "name": "Ona"}], text="Hi {name}")

    texts = {row["id"]: row["text"] for row in await query(database, "SELECT id, text FROM campaign")}
    assert texts == {plain.id: "50 {%}", own.id: "Hi {name}"}
    assert Counter(await messages(database, "b.campaign_id, m.text, m.segment_count")) == {
        (plain.id, None, 1): 2,
        (own.id, "Hi Ona", 1): 1,
    }


async def test_ten_segments_are_taken_and_one_character_more_is_not(database: Database) -> None:
    most = ["a" * 1530, "ė" * 670, "€" * 760]  # 7 bits, 16 bits, and two septets each that stay together
    assert {count_segments(text).count for text in most} == {cleaning.MAX_SEGMENT_COUNT}

    notes = [*most, *(text + text[0] for text in most)]
    rows = [row | {"note": note} for row, note in zip(phones(6), notes, strict=True)]
    taken = await submit(database, rows, text="{note}")

    assert await reading.refusals(database, taken.id) == [(row, "text_too_long") for row in (5, 6, 7)]
    assert sorted(await messages(database, "m.row, m.segment_count")) == [(2, 10), (3, 10), (4, 10)]


# --- what makes the whole submission doubtful ----------------------------------------------------------

LATE = 10_500  # in the second portion: the first is being staged already


DOUBTFUL: list[tuple[str, list[dict[str, str]], dict[str, Any]]] = [
    (r"row 2: .*\{name\}.*there is: 'phone'", [{"phone": ONE}], {"text": "Hi {name}"}),
    (
        rf"row {LATE + 2}: .*\{{name\}}",
        [{"phone": row["phone"], "name": "x"} for row in phones(LATE)] + [{"phone": ONE}],
        {"text": "Hi {name}"},
    ),
    ("row 2 has no column 'phone'", [{"number": ONE}], {}),
    (rf"row {LATE + 2} has no column 'phone'", [*phones(LATE), {"number": ONE}], {}),
    ("2 columns that could be 'phone'", [{"Phone": ONE, "PHONE": TWO}], {}),
    ("could be any of 2 columns", [{"phone": ONE, "Name": "a", "NAME": "b"}], {"text": "{name}"}),
    ("stands alone", phones(2), {"text": "Hi {name"}),
    ("the text is empty", phones(2), {"text": " \n"}),
    ("the text holds a NUL", phones(2), {"text": "a\0b"}),
    ("the text holds", phones(2), {"text": "a\udc80b"}),
    ("the name holds", phones(2), {"name": "caf\udce9"}),
    ("the sender id holds", phones(2), {"sender_id": "\0"}),
    ("the account holds", phones(2), {"account": "\ud800"}),
    ("the submission key holds", phones(2), {"submission_key": "a\0"}),
    ("no sender id", phones(2), {"sender_id": " "}),
    ("no region", phones(2), {"region": "Lithuania"}),
    ("1 to 200 characters", phones(2), {"submission_key": ""}),
    ("1 to 200 characters", phones(2), {"submission_key": "k" * 201}),
    ("on_doubt must be hold or resend", phones(2), {"on_doubt": "maybe"}),
    ("no recipients", [], {}),
    (
        r"not one of the 2 .*\(1 empty, 1 no_region\); the first is row 2",
        [{"phone": "12"}, {"phone": ""}],
        {},
    ),
    ("not one of the 2 .*2 text_too_long", phones(2), {"text": "x" * 1531}),
]


async def test_a_doubtful_submission_is_one_sentence_and_stores_nothing(
    database: Database, subtests: pytest.Subtests
) -> None:
    for sentence, rows, more in DOUBTFUL:
        with subtests.test(sentence):
            with pytest.raises(SubmissionError, match=sentence) as caught:
                await submit(database, rows, **more)
            assert "\n" not in str(caught.value)
            await assert_nothing_is_stored(database)


async def test_no_error_repeats_a_number_or_a_text(database: Database) -> None:
    """A file without a header: its first recipient would be the names of the columns."""
    secret = "Dear Ona, your debt is 512 EUR and a day is left to pay it"
    rows = [{ONE: TWO, secret: "x", "city": "Kaunas"}]
    wide = [{f"column {n}": "x" for n in range(10_000)}]
    seen = []
    cases: list[tuple[list[dict[str, str]], dict[str, Any]]] = [
        (rows, {}),
        (rows, {"text": "Hi {name}", "phone_column": "city"}),
        (wide, {}),
        (rows, {"text": "{" + secret * 9 + "}", "phone_column": "city"}),
    ]
    for doubtful, more in cases:
        with pytest.raises(SubmissionError) as caught:
            await submit(database, doubtful, **more)
        seen.append(str(caught.value))
    with pytest.raises(SubmissionError) as caught:
        list(submission.rows_of([{"phone": ONE, f"{TWO}": ["x"]}]))
    seen.append(str(caught.value))

    for sentence in seen:
        assert ONE not in sentence
        assert TWO not in sentence
        assert "512 EUR" not in sentence
        assert len(sentence) < 400
    assert "'city'" in seen[0]
    assert "9990 more" in seen[2]


async def test_the_column_called_exactly_so_is_the_phone_column(database: Database) -> None:
    rows = [{"Phone": ONE, "phone": TWO, " PHONE": THREE}]

    taken = await submit(database, rows, phone_column="phone")
    other = await submit(database, rows, phone_column="Phone")

    assert [line["phone"] for line in await lines(database, taken.id)] == [TWO]
    assert [line["phone"] for line in await lines(database, other.id)] == [ONE]


# --- odd characters and sizes --------------------------------------------------------------------------


async def test_an_escape_that_somebody_typed_is_text_like_any_other(database: Database) -> None:
    r"""The six characters \u0000 are no NUL."""
    typed = r"C:\u0000\temp"
    taken = await submit(database, [{"phone": ONE, "path": typed, r"\u0000": "x"}], text="{path}")

    assert dict(taken.refused) == {}
    (line,) = await lines(database, taken.id)
    assert (line["path"], line[r"\u0000"]) == (typed, "x")


async def test_nul_and_half_characters_anywhere_in_a_row_refuse_that_row_alone(database: Database) -> None:
    rows = [
        {"phone": ONE, "note": "x\0y"},
        {"phone": TWO, "no\0te": "x"},
        {"phone": THREE, "note": "\udfff"},
        {"phone": "+37060000004", "\ud800": "x"},
        {"phone": "+3706\ud8000000005", "note": "x"},
        {"phone": "+37060000006", "note": "\U0001f600 whole \uffff"},
    ]

    taken = await submit(database, rows)

    assert dict(taken.refused) == {"nul_character": 2, "broken_character": 3}
    (line,) = await lines(database, taken.id)
    assert (line["row"], line["note"]) == (7, rows[5]["note"])


async def test_huge_cells_and_two_hundred_columns_are_stored_as_they_are(database: Database) -> None:
    huge = "ž" * 1_000_000
    many = {f"column {n}": str(n) for n in range(cleaning.MAX_OWN_COLUMNS - 1)}
    taken = await submit(database, [{"phone": ONE, "note": huge}, {"phone": TWO} | many, {"phone": huge}])

    first, second = await lines(database, taken.id)
    assert first["note"] == huge
    assert {name: second[name] for name in many} == many
    assert await reading.refusals(database, taken.id) == [(4, "too_long")]
    columns, _ = await reading.export(database, taken.id)
    assert set(columns) == {*first, *second}


async def test_texts_too_long_in_any_alphabet_are_not_kept_to_be_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def count(text: str) -> Segments:
        counted.append(len(text))
        return count_segments(text)

    monkeypatch.setattr(cleaning, "count_segments", count)
    notes = ["short", "x" * 1530, "x" * 1531, "x" * 100_000]
    taken = await submit(
        database,
        [row | {"note": note} for row, note in zip(phones(4), notes, strict=True)],
        text="{note}",
    )

    assert await reading.refusals(database, taken.id) == [(4, "text_too_long"), (5, "text_too_long")]
    assert counted == [5, 1530]


async def test_wide_rows_are_held_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "_PORTION_CHARACTERS", 1_000)
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 5)

    def portions(rows: list[dict[str, str]], text: str) -> list[int]:
        cleaner = submission._cleaner(submission.Submission("main", text, "Demo", "test"))
        return [len(portion.recipients) for portion in cleaner.portions(enumerate(rows, 2))]

    assert portions(phones(12), "Hello") == [5, 5, 2]
    assert portions([row | {"note": "x" * 600} for row in phones(5)], "Hello") == [2, 2, 1]
    assert portions([row | {"note": "x" * 300} for row in phones(5)], "{note}") == [2, 2, 1]


async def test_rows_of_another_program_become_texts() -> None:
    recipients: list[dict[str, Any]] = [
        {"phone": 37060000001, "sum": 5.5, "vip": True, "note": None, "name": "Ona", "7": False},
        {},
    ]

    assert list(submission.rows_of(recipients)) == [
        (1, {"phone": "37060000001", "sum": "5.5", "vip": "true", "note": "", "name": "Ona", "7": "false"}),
        (2, {}),
    ]


NO_ROWS: list[tuple[str, Any]] = [
    ("recipient 2 is not an object", [{"phone": ONE}, ["phone", TWO]]),
    ("recipient 2 is not an object", [{"phone": ONE}, None]),
    ("recipient 1 is not an object", [ONE]),
    ("recipient 1: the field 'tags' holds no plain value", [{"phone": ONE, "tags": ["a"]}]),
    ("recipient 1: the field 'phone'", [{"phone": {"number": ONE}}]),
    ("recipient 1: the field 'sum'", [{"phone": ONE, "sum": float("nan")}]),
    ("recipient 1: the field 'sum'", [{"phone": ONE, "sum": float("-inf")}]),
    ("are no list", {"phone": ONE}),
    ("are no list", ONE),
    ("are no list", None),
]


async def test_what_is_no_row_is_named_and_stores_nothing(
    database: Database, subtests: pytest.Subtests
) -> None:
    for sentence, recipients in NO_ROWS:
        with subtests.test(sentence):
            with pytest.raises(SubmissionError, match=sentence):
                await take_in(database, submission.rows_of(recipients))
            await assert_nothing_is_stored(database)


# --- batches -------------------------------------------------------------------------------------------


async def placed(database: Database) -> list[tuple[int, int, int, str | None, int, str, str]]:
    """(batch number, message_count, position, text, row, batch state, message state) in order."""
    return await messages(
        database,
        "b.number, b.message_count, m.position, m.text, m.row,"
        " b.state::text AS batch_state, m.state::text AS state",
    )


async def test_batches_hold_a_hundred_equal_texts_side_by_side(database: Database) -> None:
    rows = [row | {"city": f"city {n % 3}"} for n, row in enumerate(phones(250))]

    await submit(database, rows, text="Hello {city}")

    found = await placed(database)
    assert [number for number, *_ in found] == [1] * 100 + [2] * 100 + [3] * 50
    assert [position for _, _, position, *_ in found] == [*range(100), *range(100), *range(50)]
    assert [(text, row) for _, _, _, text, row, *_ in found] == sorted(
        (f"Hello {row['city']}", n) for n, row in enumerate(rows, 2)
    )
    with pytest.raises(SubmissionError, match="not one"):
        await submit(database, [{"phone": "12"}])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    recipients=st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(["a", "b", "ą", "B", " a", "😀", ""])),
        min_size=1,
        max_size=40,
    ),
    batch_size=st.integers(1, 7),
    suppressed=st.sets(st.integers(0, 15), max_size=8),
)
async def test_batches_partition_the_recipients(
    database: Database, recipients: list[tuple[int, str]], batch_size: int, suppressed: set[int]
) -> None:
    """Whatever comes in: each number once, in batches full but for the last, equal texts side by side."""
    await query(database, "TRUNCATE campaign, batch, message, suppression CASCADE")
    on_list = {f"+370600{n:05d}" for n in suppressed}
    await suppression.suppress(database, sorted(on_list), None, "asked to stop")
    rows = [{"phone": f"+370600{n:05d}", "word": word} for n, word in recipients]
    first: dict[str, tuple[int, str]] = {}
    for number, row in enumerate(rows, 2):
        if row["word"]:
            first.setdefault(row["phone"], (number, row["word"].strip()))

    if not first:
        with pytest.raises(SubmissionError):
            await submit(database, rows, text="{word}", batch_size=batch_size)
        assert await stored(database) == await stored(database) | {"campaign": 0, "batch": 0, "message": 0}
        return
    taken = await submit(database, rows, text="{word}", batch_size=batch_size)

    found = await placed(database)
    phones_found = [phone for (phone,) in await messages(database, "m.phone")]
    assert {phone: (f[4], f[3]) for phone, f in zip(phones_found, found, strict=True)} == first
    assert len(found) == len(first) == taken.recipient_count
    assert sum(taken.refused.values()) == len(rows) - len(first)
    assert [(f[0], f[2]) for f in found] == [
        (place // batch_size + 1, place % batch_size) for place in range(len(found))
    ]
    sizes = Counter(f[0] for f in found)
    assert all(f[1] == sizes[f[0]] for f in found)
    texts = [f[3] for f in found]
    assert len([1 for n, text in enumerate(texts) if text not in texts[:n]]) == 1 + sum(
        a != b for a, b in pairwise(texts)
    ), "equal texts stand together"
    states = {phone: f[6] for phone, f in zip(phones_found, found, strict=True)}
    assert {phone for phone, state in states.items() if state == "suppressed"} == on_list & first.keys()
    for number in sizes:
        all_suppressed = all(f[6] == "suppressed" for f in found if f[0] == number)
        assert {f[5] for f in found if f[0] == number} == {"done" if all_suppressed else "ready"}
    assert await aggregation.verify(database, taken.id) == {}


# --- the submission key --------------------------------------------------------------------------------


async def test_the_same_key_and_content_is_the_same_campaign_and_other_content_a_conflict(
    database: Database,
) -> None:
    rows = [{"phone": ONE, "name": "Ona"}, {"phone": "12", "name": "x"}]
    first = await submit(database, rows, text="Hi {name}", submission_key="k")
    before = await stored(database)

    again = await submit(database, rows, text="Hi {name}", submission_key="k", name="another name")
    assert again == TakenIn(first.id, False, 1, {"no_region": 1})
    others: list[dict[str, Any]] = [
        {"text": "Hi {name}!"},
        {"sender_id": "Other"},
        {"account": "second"},
        {"region": "LT"},
        {"on_doubt": "resend"},
    ]
    for other in others:
        with pytest.raises(SubmissionKeyConflict, match=str(first.id)):
            await submit(database, rows, **({"text": "Hi {name}", "submission_key": "k"} | other))
    for other_rows in (
        rows[:1],
        [rows[1], rows[0]],
        [*rows, {"phone": "", "name": ""}],
        [rows[0] | {"name": "Ona "}, rows[1]],
        [rows[0] | {"city": ""}, rows[1]],
        [{"name": ONE, "phone": "Ona"}, rows[1]],
    ):
        with pytest.raises(SubmissionKeyConflict):
            await submit(database, other_rows, text="Hi {name}", submission_key="k")
    assert await stored(database) == before

    assert (await submit(database, rows, text="Hi {name}", submission_key="l")).created
    assert (await submit(database, rows, text="Hi {name}")).created
    assert (await submit(database, rows, text="Hi {name}")).created, "no key: each is a campaign of its own"


def content_hash(rows: list[dict[str, str]], text: str = "Hello") -> str:
    cleaner = submission._cleaner(submission.Submission("main", text, "Demo", "test"))
    for _ in cleaner.portions(enumerate(rows, 2)):
        continue
    return cleaner.content_hash()


def test_the_content_is_the_same_however_it_is_cut_into_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row | {"name": f"ž{n}"} for n, row in enumerate(phones(100))]
    expected = content_hash(rows)
    for rows_held, characters_held in ((1, 10**9), (7, 10**9), (10**9, 50), (10**9, 10**9)):
        monkeypatch.setattr(cleaning, "_PORTION_ROWS", rows_held)
        monkeypatch.setattr(cleaning, "_PORTION_CHARACTERS", characters_held)
        assert content_hash(rows) == expected


# Also of the characters that hold the pieces apart.
cells = st.text(alphabet='a+1:{}",\\\x1e\x1f\0\ud800é', max_size=4)
some_rows = st.lists(
    st.dictionaries(st.sampled_from(["phone", "a", "b\x1f", '"']), cells).map(lambda r: {"phone": ""} | r),
    max_size=3,
)


@given(some_rows, some_rows)
def test_other_rows_are_other_content(one: list[dict[str, str]], other: list[dict[str, str]]) -> None:
    def said(rows: list[dict[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
        return [(row["phone"], [(k, v) for k, v in row.items() if k != "phone"]) for row in rows]

    assert (content_hash(one) == content_hash(other)) == (said(one) == said(other))


def test_the_hash_of_a_content_is_that_of_every_version() -> None:
    """A key that an earlier version stored is still known by the same content."""
    rows = [
        {"phone": ONE},
        {"phone": "0 600 00002", "name": "Žydrė", "note": 'a "quote", a \\ and 100%'},
        {"note": "line\r\nend\t\x7f\u2028", "%s{name}": "😀", "phone": TWO},
        {"phone": "", "na\x00me": "\x00", "": ""},
        {"phone": "+3706\ud800", "\udfff": "\ud83d \udc00"},
    ]
    assert content_hash(rows) == "782ced18c4a2e8e02ab4fdaf38f12ed54272028e64e8447d83593f6aee12614b"


def test_a_cell_cannot_pretend_to_be_two_rows() -> None:
    two = [{"phone": ONE}, {"phone": TWO}]
    pretended = [{"phone": f"{ONE}\x1f\x1e{TWO}"}, {"phone": f"{ONE}\x1f\x1e{len(TWO)}:{TWO}"}]
    assert len({content_hash(two), *(content_hash([row]) for row in pretended)}) == 3


# --- at the same instant -------------------------------------------------------------------------------


async def test_two_at_the_same_instant_make_one_campaign(database_url: str, database: Database) -> None:
    """Raced many times over two pools: one makes it, the other is given it; other content is a conflict."""
    other = open_database(database_url)
    try:
        for n in range(15):
            a, b = await asyncio.gather(
                *(submit(d, phones(3), submission_key=f"same {n}") for d in (database, other))
            )
            assert a.id == b.id
            assert sorted((a.created, b.created)) == [False, True]
            outcomes = await asyncio.gather(
                *(
                    submit(d, phones(3, first=first), submission_key=f"other {n}")
                    for d, first in ((database, 0), (other, 100))
                ),
                return_exceptions=True,
            )
            assert sorted(type(o).__name__ for o in outcomes) == ["SubmissionKeyConflict", "TakenIn"]
    finally:
        await other.close()
    assert await stored(database) == await stored(database) | {"campaign": 30, "batch": 30, "message": 90}


async def waiting(database: Database, *, count: int, for_seconds: float = 0) -> list[int]:
    """The sessions that wait for a lock, once so many do for so long; the oldest transaction first."""

    async def look() -> list[int]:
        rows = await query(
            database,
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
            " AND clock_timestamp() - query_start > make_interval(secs => $1) ORDER BY xact_start",
            for_seconds,
        )
        return [row["pid"] for row in rows] if len(rows) == count else []

    found: list[int] = await until(look, f"{count} sessions wait for a lock")
    return found


async def kill(database: Database, pid: int) -> None:
    """End a session from outside, as a restart of PostgreSQL does."""
    assert await query(database, "SELECT pg_terminate_backend($1) AS done", pid) == [{"done": True}]


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Holds a table, so that who writes to it stands still; gives what lets go of it."""
    async with database.own_connection() as connection:
        await connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield lambda: connection.execute("COMMIT")


async def test_the_second_waits_for_the_first_however_long_it_takes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million rows take longer than the bound on locks that everything else lives under."""
    monkeypatch.setitem(session.SETTINGS, "lock_timeout", "100ms")
    async with asyncio.TaskGroup() as group, locked(database, "batch") as let_go:
        first = group.create_task(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=1)
        second = group.create_task(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=2, for_seconds=0.4)
        await let_go()

    assert (first.result().created, second.result().created) == (True, False)
    assert first.result().id == second.result().id


async def test_the_second_takes_over_when_the_first_dies(database: Database) -> None:
    async with asyncio.TaskGroup() as group, locked(database, "batch") as let_go:
        first = asyncio.ensure_future(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=1)
        second = group.create_task(submit(database, phones(3), submission_key="k"))
        pids = await waiting(database, count=2)
        await kill(database, pids[0])
        with pytest.raises(DatabaseUnavailable):
            await first
        await let_go()

    assert second.result().created
    assert await stored(database) == await stored(database) | {"campaign": 1, "batch": 1, "message": 3}


SUBMITTER = """
import asyncio, json, sys
from campaigns.store.session import Database
from tests.conftest import open_database
from tests.river import phones, submit

async def main(url):
    database = open_database(url)
    async with database.connection():
        print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    taken = await submit(database, phones(2000), submission_key="two processes")
    print(json.dumps([str(taken.id), taken.created, taken.recipient_count]), flush=True)
    await database.close()

with asyncio.Runner() as runner:
    runner.run(main(sys.argv[1]))
"""


async def test_two_processes_at_the_same_instant_make_one_campaign(
    database_url: str, database: Database
) -> None:
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUBMITTER, database_url, stdin=pipe, stdout=pipe
        )
        for _ in range(2)
    ]
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for process in processes:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n"
            answers = [
                json.loads(out) for out, _ in await asyncio.gather(*(p.communicate(b"\n") for p in processes))
            ]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    assert answers[0][0] == answers[1][0]
    assert sorted(created for _, created, _ in answers) == [False, True]
    assert [count for *_, count in answers] == [2000, 2000]
    assert await stored(database) == await stored(database) | {"campaign": 1, "batch": 20, "message": 2000}


# --- dying half-way ------------------------------------------------------------------------------------


async def assert_it_can_be_submitted_again(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    taken = await submit(database, phones(250), submission_key="key")
    assert (taken.created, taken.recipient_count) == (True, 250)
    overview = await flow(database, make_desk(stub), taken.id)
    assert (overview.state, len(stub.ledger)) == (CampaignState.FINISHED, 250)


@pytest.mark.parametrize(
    ("trouble", "raised"), [(OSError(5, "Input/output error"), SubmissionError), (KeyError("x"), KeyError)]
)
async def test_rows_that_break_off_leave_nothing(
    database: Database, make_desk: MakeDesk, trouble: Exception, raised: type[Exception]
) -> None:
    """And say so: a file that cannot be read is not a database that is away."""

    def rows() -> Iterator[tuple[int, Mapping[str, str]]]:
        yield from enumerate(phones(LATE), 2)
        raise trouble

    with pytest.raises(raised, match=r"Input/output error|x"):
        await take_in(database, rows())

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_connection_cut_between_two_portions_leaves_nothing(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 5_000)
    loop = asyncio.get_running_loop()

    async def cut() -> None:
        (row,) = await until(copying, "the first portion is staged")
        await kill(database, row["pid"])

    async def copying() -> list[dict[str, Any]]:
        return await query(
            database,
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'",
        )

    def rows() -> Iterator[tuple[int, Mapping[str, str]]]:
        for row in enumerate(phones(12_000), 2):
            if row[0] == 7_000:
                asyncio.run_coroutine_threadsafe(cut(), loop).result(DEADLINE_SECONDS)
            yield row

    with pytest.raises(DatabaseUnavailable):
        await take_in(database, rows())

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_connection_cut_while_the_campaign_is_made_leaves_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    async with locked(database, "batch"):
        dying = asyncio.ensure_future(submit(database, phones(250), submission_key="key"))
        (pid,) = await waiting(database, count=1)
        await kill(database, pid)
        with pytest.raises(DatabaseUnavailable):
            await dying

    await assert_nothing_is_stored(database)
    await assert_it_can_be_submitted_again(database, make_desk)


async def test_a_submission_cancelled_anywhere_is_whole_or_not_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at its first wait, at its second, at each: half a campaign is never seen."""
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 4)
    rows = [*phones(9), {"phone": "12"}]
    whole = {"campaign": 1, "batch": 3, "message": 9, "refusal": 1}

    async def submitted() -> Coroutine[Any, Any, TakenIn]:
        await query(database, "TRUNCATE campaign, batch, message CASCADE")
        return submit(database, rows, submission_key="key", batch_size=4)

    async def look(was_cut: bool) -> None:
        found = {table: count for table, count in (await stored(database)).items() if count}
        assert found == whole or (was_cut and not found)
        seen.append(bool(found))

    seen: list[bool] = []
    assert await cut_everywhere(submitted, look) > 15
    assert seen == sorted(seen), "once it is there it stays"
    await query(database, "TRUNCATE campaign, batch, message CASCADE")
    await assert_nothing_is_stored(database)


async def test_nothing_is_seen_or_dealt_before_everything_is_stored(
    database: Database, make_desk: MakeDesk
) -> None:
    """The campaign, its batches and its messages appear in one moment."""
    desk = make_desk()
    async with asyncio.TaskGroup() as group, locked(database, "message") as let_go:
        group.create_task(submit(database, phones(250)))
        await waiting(database, count=1)  # its batches are written, its messages are not
        assert await query(database, "SELECT id FROM campaign") == []  # the list reads messages, too
        assert await batching.deal_sending(database, desk) == []
        await let_go()

    dealt = await batching.deal_sending(database, desk)
    sent = [(await sending.send_batch(database, desk, one)).handed_over_count for one in dealt]
    assert sent == [100, 100, 50]


# --- size ----------------------------------------------------------------------------------------------


async def test_the_loop_goes_on_while_rows_are_read(database: Database) -> None:
    """Rows are read beside the loop: a source that waits for something the loop must do gets it."""
    asked, answered = threading.Event(), threading.Event()

    def rows() -> Iterator[tuple[int, Mapping[str, str]]]:
        for row in enumerate(phones(20), 2):
            if row[0] == 10:
                asked.set()
                assert answered.wait(DEADLINE_SECONDS / 2), "the loop stood still while rows were read"
            yield row

    async def answer() -> None:
        await until(has_asked, "the rows are read")
        answered.set()

    async def has_asked() -> bool:
        return asked.is_set()

    heard: list[int] = []
    wanted = submission.Submission("main", "Hello", "Demo", "test")
    taken, _ = await asyncio.gather(
        submission.submit(database, POLICY, wanted, rows(), batch_size=100, progress=heard.append), answer()
    )

    assert taken.recipient_count == 20
    assert heard == [20]


async def test_the_next_rows_are_read_while_these_are_stored_and_no_more_of_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 10)
    read = 0
    read_while_stored: list[int] = []
    add = Intake.add

    async def wait_and_add(self: Intake, *portion: Any) -> None:
        last = min(10 * (len(read_while_stored) + 2), 45)
        await until(has_read(last), f"{last} rows are read")
        await add(self, *portion)
        read_while_stored.append(read)

    def has_read(count: int) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return read >= count

        return look

    def rows() -> Iterator[tuple[int, Mapping[str, str]]]:
        nonlocal read
        for row in enumerate(phones(45), 2):
            read += 1
            yield row

    monkeypatch.setattr(Intake, "add", wait_and_add)
    assert (await take_in(database, rows())).recipient_count == 45
    assert read_while_stored == [20, 30, 40, 45, 45]


async def test_nobody_reads_rows_any_more_once_storing_has_failed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who called may close the file then."""
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 10)
    reading, has_failed = threading.Event(), threading.Event()
    read = 0

    real = intake.intake

    async def fail(*_: object) -> None:
        await until(is_reading, "the second portion is read")
        raise DatabaseUnavailable("gone")

    @asynccontextmanager
    async def opened(database: Database) -> AsyncIterator[Intake]:
        try:
            async with real(database) as door:
                yield door
        finally:  # the connection is closed; who does not wait raises before this is heard
            asyncio.get_running_loop().call_soon(has_failed.set)

    async def is_reading() -> bool:
        return reading.is_set()

    def rows() -> Iterator[tuple[int, Mapping[str, str]]]:
        nonlocal read
        for row in enumerate(phones(20), 2):
            if row[0] == 15:
                reading.set()
                assert has_failed.wait(DEADLINE_SECONDS / 2)
            read += 1
            yield row

    monkeypatch.setattr(Intake, "add", fail)
    monkeypatch.setattr(submission, "intake", opened)
    with pytest.raises(DatabaseUnavailable):
        await take_in(database, rows())
    assert read == 20


async def test_progress_is_heard_after_each_portion(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_PORTION_ROWS", 10)
    heard: list[int] = []
    rows = [*phones(15), *({"phone": ""} for _ in range(10))]
    wanted = submission.Submission("main", "Hello", "Demo", "test")

    await submission.submit(
        database, POLICY, wanted, enumerate(rows, 2), batch_size=100, progress=heard.append
    )

    assert heard == [10, 20, 25]


MEASURER = """
import asyncio, json, resource, sys
from campaigns import submission
from tests.conftest import POLICY, open_database

def rows(count):
    for n in range(count):
        yield n + 2, {"phone": f"+3706{n:07d}", "name": f"name {n}", "note": f"{n:0200d}"}

async def main(url):
    database = open_database(url)
    peaks = []
    for key, count in (("small", 20_000), ("large", 200_000)):
        wanted = submission.Submission("main", "Hi {name}, {note}", "Demo", "test", submission_key=key)
        taken = await submission.submit(database, POLICY, wanted, rows(count), batch_size=100)
        assert taken.recipient_count == count, taken
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(json.dumps(peaks), flush=True)
    await database.close()

with asyncio.Runner() as runner:
    runner.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
async def test_memory_stays_flat_over_two_hundred_thousand_rows(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASURER, database_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    small_kilobytes, large_kilobytes = json.loads(out)

    # Ten times the rows; held all at once they would be 200 MB and more.
    assert large_kilobytes - small_kilobytes < 40_000


async def test_where_the_provider_takes_no_sender_id_a_campaign_needs_none(database: Database) -> None:
    """And one that names none is another than one that names somebody."""
    taken = await submit(database, phones(1), sender_id=None, submission_key="k")
    assert await query(database, "SELECT sender_id FROM campaign WHERE id = $1", taken.id) == [
        {"sender_id": ""}
    ]
    assert (await submit(database, phones(1), sender_id=None, submission_key="k")).id == taken.id
    with pytest.raises(SubmissionKeyConflict):
        await submit(database, phones(1), sender_id="Demo", submission_key="k")
