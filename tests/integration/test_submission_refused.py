"""What makes a submission doubtful, and odd characters and sizes in its rows."""

from itertools import chain
from typing import Any

import pytest

from campaigns import cleaning, reading, submission
from campaigns.domain import blocks
from campaigns.domain.errors import SubmissionError
from campaigns.domain.limits import AccountTerms
from campaigns.domain.segments import Segments, count_segments
from campaigns.store.session import Database
from tests.integration.submitted import LATE, assert_nothing_is_stored, take_in
from tests.river import lines, numbered, phones, submit

ONE = "+37060000001"
TWO = "+37060000002"
THREE = "+37060000003"


# --- what makes the whole submission doubtful -------------------------------------------------------


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
        list(submission.blocks_of([{"phone": ONE, f"{TWO}": ["x"]}]))
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


# --- odd characters and sizes -----------------------------------------------------------------------


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
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 1)

    def portions(rows: list[dict[str, str]], text: str) -> list[int]:
        cleaner = submission.cleaner_of(submission.Submission(AccountTerms("main"), text, "Demo", "test"))
        return [len(portion.recipients) for portion in cleaner.portions(numbered(rows))]

    assert portions(phones(12), "Hello") == [5, 5, 2]
    assert portions([row | {"note": "x" * 600} for row in phones(5)], "Hello") == [2, 2, 1]
    assert portions([row | {"note": "x" * 300} for row in phones(5)], "{note}") == [2, 2, 1]
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    monkeypatch.setattr(blocks, "_BLOCK_CHARACTERS", 1_000)
    assert portions([row | {"note": "x" * 600} for row in phones(5)], "Hello") == [2, 2, 1]


async def test_rows_of_another_program_become_texts() -> None:
    recipients: list[dict[str, Any]] = [
        {"phone": 37060000001, "sum": 5.5, "vip": True, "note": None, "name": "Ona", "7": False},
        {},
    ]

    assert list(chain.from_iterable(submission.blocks_of(recipients))) == [
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
                await take_in(database, submission.blocks_of(recipients))
            await assert_nothing_is_stored(database)
