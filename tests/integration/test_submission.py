"""What is stored of a submission: numbers, suppressions, texts, batches."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, cleaning, reading, suppression
from campaigns.domain.errors import SubmissionError, SubmissionKeyConflict
from campaigns.domain.segments import count_segments
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.integration.submitted import cut_into_portions, messages, stored
from tests.river import flow, lines, phones, submit
from tests.stub import Stub

ONE = "+37060000001"
TWO = "+37060000002"
THREE = "+37060000003"


# --- numbers ----------------------------------------------------------------------------------------


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
    cut_into_portions(monkeypatch, 2)
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


# --- the suppression list ---------------------------------------------------------------------------


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
    assert await suppression.is_suppressed(database, ONE)
    assert not await suppression.is_suppressed(database, TWO)
    assert await suppression.unsuppress(database, ["+370 600 00001", TWO], None) == 1
    taken = await submit(database, [{"phone": ONE}])
    overview = await flow(database, make_desk(), taken.id)

    assert overview.totals[MessageState.DELIVERED] == 1


# --- texts ------------------------------------------------------------------------------------------


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


# --- batches ----------------------------------------------------------------------------------------


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


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# --- size -------------------------------------------------------------------------------------------


async def test_where_the_provider_takes_no_sender_id_a_campaign_needs_none(database: Database) -> None:
    """And one that names none is another than one that names somebody."""
    none = {"sender_id": None, "needs_sender_id": False, "submission_key": "k"}
    taken = await submit(database, phones(1), **none)
    assert await query(database, "SELECT sender_id FROM campaign WHERE id = $1", taken.id) == [
        {"sender_id": ""}
    ]
    assert (await submit(database, phones(1), **none)).id == taken.id
    with pytest.raises(SubmissionKeyConflict):
        await submit(database, phones(1), sender_id="Demo", submission_key="k")
