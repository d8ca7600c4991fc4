"""What people hand in: numbers of odd kinds, one person in two forms, texts out of other programs, bounds."""

import hashlib
import json
import resource
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import cleaning, reading, submission, suppression
from campaigns.domain.errors import SubmissionError
from campaigns.domain.limits import AccountTerms
from campaigns.domain.phone import person_key
from campaigns.domain.states import MessageState
from campaigns.store import person
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.river import flow, lines, phones, submit
from worker import shapes

ONE = "+37060000001"
TWO = "+37060000002"
ARGENTINE = ("+54 11 2345 6789", "+54 9 11 2345 6789", "011 15 2345 6789")
MEXICAN = ("+52 1 55 1234 5678", "+52 55 1234 5678", "044 55 1234 5678")


# --- one person in two forms ------------------------------------------------------------------------------


async def test_one_person_in_two_forms_gets_one_text(database: Database) -> None:
    rows = [{"phone": raw} for raw in ARGENTINE]
    taken = await submit(database, rows, region="AR")
    other = await submit(database, [{"phone": raw} for raw in MEXICAN], region="MX")

    assert (taken.recipient_count, dict(taken.refused)) == (1, {"duplicate": 2})
    assert (other.recipient_count, dict(other.refused)) == (1, {"duplicate": 2})
    assert [line["phone"] for line in await lines(database, taken.id)] == ["+541123456789"]
    assert [line["phone"] for line in await lines(database, other.id)] == ["+525512345678"]


async def test_an_opt_out_of_one_form_is_one_of_all(database: Database, make_desk: MakeDesk) -> None:
    assert await suppression.suppress(database, [ARGENTINE[0]], None, "asked to stop") == 1
    assert await suppression.suppress(database, [ARGENTINE[1]], None, "asked again") == 0
    taken = await submit(database, [{"phone": ARGENTINE[1]}, {"phone": ONE}])

    overview = await flow(database, make_desk(), taken.id)
    assert overview.totals[MessageState.SUPPRESSED] == 1

    assert await suppression.unsuppress(database, [ARGENTINE[2]], "AR") == 1
    assert await suppression.suppressed(database) == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    phone=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
    | st.from_regex(r"\+(549|521|54|52|229|22901)[0-9]{8,10}", fullmatch=True)
)
async def test_the_database_knows_a_person_as_we_do(database: Database, phone: str) -> None:
    key = person.person_key("p.phone")
    sql = f"SELECT {key} AS key FROM (SELECT $1::text AS phone) p"  # noqa: S608  ours
    (found,) = await query(database, sql, phone)
    assert found["key"] == person_key(phone)


# --- kinds ------------------------------------------------------------------------------------------------

KINDS = [
    ("+19002345678", "premium_rate"),
    ("+39848123456", "shared_cost"),
    ("+881612345678", "satellite"),
    ("+18002345678", "toll_free"),
    ("+447012345678", "personal_number"),
]


async def test_numbers_that_cost_more_or_reach_nobody_are_refused_unless_allowed(database: Database) -> None:
    rows = [{"phone": phone} for phone, _ in KINDS] + [{"phone": ONE}]

    taken = await submit(database, rows)
    allowed = await submit(database, rows, allow_kinds=["premium_rate", "satellite"])

    assert dict(taken.refused) == dict.fromkeys((kind for _, kind in KINDS), 1)
    assert allowed.recipient_count == 3
    assert set(allowed.refused) == {"shared_cost", "toll_free", "personal_number"}
    with pytest.raises(SubmissionError, match="kinds that can be allowed are: premium_rate"):
        await submit(database, rows, allow_kinds=["fixed_line"])
    with pytest.raises(SubmissionError, match="kinds that can be allowed"):
        await submit(database, rows, allow_kinds="premium_rate")


async def test_fixed_lines_are_counted_and_told_and_left_out_on_request(database: Database) -> None:
    rows = [{"phone": ONE}, {"phone": "+37052345678"}, {"phone": "+4930123456"}, {"phone": "37125123456"}]

    taken = await submit(database, rows, region="LT", submission_key="one")
    again = await submit(database, rows, region="LT", submission_key="one")
    mobile = await submit(database, rows, region="LT", mobile_only=True)

    assert taken.noted == again.noted == {"fixed_line": 2, "read_with_plus": 1}
    overview = await reading.status(database, taken.id)
    assert shapes.Campaign.of(overview).public()["noted"] == {"fixed_line": 2, "read_with_plus": 1}
    assert (mobile.recipient_count, dict(mobile.refused)) == (2, {"not_mobile": 2})
    assert set(taken.noted) <= cleaning.NOTES.keys()


# --- texts out of other programs ----------------------------------------------------------------------------


async def test_a_placeholder_of_another_program_stops_the_submission_unless_it_is_meant(
    database: Database,
) -> None:
    rows = [{"phone": ONE, "name": "Ona"}]
    for text in ("Hello {{name}}", "Hello [Name]", "Hello ${name}", "Hello %NAME%", "Hello <<name>>"):
        with pytest.raises(SubmissionError, match=r"write \{name\} .*--literal") as caught:
            await submit(database, rows, text=text)
        assert "\n" not in str(caught.value)
    await submit(database, rows, text="Hello [name], {{name}}", literal=True)
    await submit(database, rows, text="Hello [all], {{you}}")

    sent = await query(database, "SELECT text FROM campaign ORDER BY created_at")
    assert [row["text"] for row in sent] == ["Hello [name], {name}", "Hello [all], {you}"]


async def test_an_empty_cell_in_a_used_column_is_refused_with_its_column(database: Database) -> None:
    rows = [{"phone": ONE, "First Name": "Ona "}, {"phone": TWO, "First Name": "\u00a0"}]

    taken = await submit(database, rows, text="Hello {first name}!")
    friend = await submit(database, rows, text="Hello {first name|friend}!")
    nothing = await submit(database, rows, text="Hello {first name|}!")

    assert dict(taken.refused) == {"empty_cell": 1}
    columns, refused = await reading.export_refused(database, taken.id)
    assert columns == ["row", "reason", "column"]
    assert [line async for line in refused] == [{"row": 3, "reason": "empty_cell", "column": "first name"}]
    assert (friend.recipient_count, nothing.recipient_count) == (2, 2)
    sent = await query(database, "SELECT text FROM message ORDER BY text")
    assert [row["text"] for row in sent] == [
        "Hello !",
        "Hello Ona!",
        "Hello Ona!",
        "Hello Ona!",
        "Hello friend!",
    ]


async def test_what_nobody_sees_costs_nothing(database: Database) -> None:
    names = ["Ona", "Ona\u00a0", "O\u200bna", "O\tna", "Zoe\u0301", "\ufeffOna\u200e"]
    rows = [row | {"pre\u0301nom": name} for row, name in zip(phones(6), names, strict=True)]

    await submit(database, rows, text="x" * 150 + " {pr\u00e9nom}\u00ad")

    sent = await query(
        database, "SELECT segment_count AS n, right(text, 4) AS tail FROM message ORDER BY row"
    )
    assert [row["n"] for row in sent] == [1] * 6
    assert [row["tail"] for row in sent] == [" Ona", " Ona", " Ona", "O na", " Zo\u00e9", " Ona"]


async def test_a_visible_character_that_costs_segments_is_told(database: Database) -> None:
    text = "\u201c{name}\u201d \u2013 " + "x" * 130
    rows = [row | {"name": f"n{at}"} for at, row in enumerate(phones(3))]

    taken = await submit(database, rows, text=text)

    assert taken.noted == {"costly_text": 3}
    assert taken.costly == ("\u201c", "\u201d", "\u2013")
    assert taken.saved_segment_count == 6


# --- bounds -------------------------------------------------------------------------------------------------

BEYOND: list[tuple[str, list[dict[str, str]], dict[str, Any]]] = [
    ("the text has more than 10000", [{"phone": ONE}], {"text": "x" * 10_001}),
    ("the name must be 1 to 200 printable", [{"phone": ONE}], {"name": "n" * 201}),
    ("the name must be 1 to 200 printable", [{"phone": ONE}], {"name": "a\x1b[2Jb"}),
    ("the name must be 1 to 200 printable", [{"phone": ONE}], {"name": "a\u202eb"}),
    ("the name must be 1 to 200 printable", [{"phone": ONE}], {"name": " "}),
    ("the sender id must be 1 to 16 printable", [{"phone": ONE}], {"sender_id": "A\r\nB: c"}),
    ("the sender id must be 1 to 16 printable", [{"phone": ONE}], {"sender_id": "s" * 17}),
    ("the account has more than 200", [{"phone": ONE}], {"account": "a" * 201}),
    (
        "row 2: with it there are more than 200 columns",
        [{"phone": ONE} | {f"c{n}": "x" for n in range(201)}],
        {},
    ),
    ("row 202: with it", [{"phone": f"+370600{n:05d}", f"c{n}": "x"} for n in range(300)], {}),
]


async def test_what_is_beyond_a_bound_is_one_sentence(database: Database, subtests: pytest.Subtests) -> None:
    for sentence, rows, more in BEYOND:
        with subtests.test(sentence):
            with pytest.raises(SubmissionError, match=sentence) as caught:
                await submit(database, rows, **more)
            assert len(str(caught.value)) < 200
            assert str(caught.value).isprintable()
    assert await query(database, "SELECT 1 FROM campaign") == []


def test_a_list_of_a_task_is_bounded() -> None:
    with pytest.raises(SubmissionError, match="100001 recipients in one list"):
        list(submission.blocks_of([{"phone": ONE}] * 100_001))
    with pytest.raises(SubmissionError, match="recipient 1 has more than 1000000 characters"):
        list(submission.blocks_of([{"phone": ONE, "a": "x" * 1_000_001}]))


async def test_ten_thousand_placeholders_and_a_huge_cell_need_no_memory(database: Database) -> None:
    row = {"phone": ONE, "a": " " + "x" * 100_000}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = await submit(database, [row, {"phone": TWO, "a": "x"}], text="{a|}" * 1000 + "{a}" * 500)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert dict(taken.refused) == {"text_too_long": 1}
    assert grown_kib < 64 * 1024 * (1 if sys.platform == "linux" else 1024)


async def test_choices_are_part_of_what_a_submission_is(database: Database) -> None:
    """With other choices the same key is another campaign; without any, the hash of before stands."""
    rows = [{"phone": ONE}]
    await submit(database, rows, submission_key="key", mobile_only=True)
    for more in ({}, {"allow_kinds": ["pager"]}):
        with pytest.raises(SubmissionError, match="used before"):
            await submit(database, rows, submission_key="key", **more)
    plain = submission.cleaner_of(submission.Submission(AccountTerms("main"), "x", "s", "n"))
    spelled = json.dumps(["main", "s", "x", None, "hold", "phone"])
    assert plain.content_hash() == hashlib.sha256(spelled.encode()).hexdigest()
