"""Single messages by what a person has in hand, and that no table is read whole for it."""

from decimal import Decimal
from typing import Any

import pytest

from campaigns import reading
from campaigns.domain.errors import CampaignError
from campaigns.domain.message_ref import key_of, message_ref
from campaigns.domain.provider import Accepted, InDoubt, Rejected
from campaigns.domain.states import MessageState
from campaigns.reading import sought
from campaigns.store import phone_index
from campaigns.store.reading import messages as message_rows
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.river import flow, phones, submit
from tests.stub import Stub


async def test_what_is_known_of_a_message(database: Database, make_desk: MakeDesk) -> None:
    rows = phones(3)
    accepted, rejected, doubtful = (row["phone"] for row in rows)
    stub = Stub(
        "main",
        outcomes={
            accepted: [Accepted("abc-1", Decimal("0.0144"), 2)],
            rejected: [Rejected("13", "on the provider's list")],
            doubtful: [InDoubt("cut before the answer was whole")],
        },
        states={accepted: ["sent"]},
    )
    taken = await submit(database, rows, currency="EUR")
    await flow(database, make_desk(stub), taken.id, rounds=2)

    (known,) = await reading.messages(database, by="phone", value=accepted)
    assert (known.campaign_id, known.row, known.phone, known.account) == (taken.id, 2, accepted, "main")
    assert (known.state, known.provider_state) == (MessageState.SENT, "sent")
    assert (known.provider_message_id, known.attempt) == ("abc-1", 1)
    assert (known.cost, known.currency, known.segment_count) == (Decimal("0.0144"), "EUR", 2)
    assert known.reference == message_ref(taken.id, 1, 0)
    assert known.updated_at.tzinfo is not None
    assert accepted not in repr(known)

    (refused,) = await reading.messages(database, by="phone", value=rejected)
    assert (refused.state, refused.provider_state) == (MessageState.REJECTED, "13")
    assert (refused.reason, refused.provider_message_id) == ("on the provider's list", None)
    (unsure,) = await reading.messages(database, by="phone", value=doubtful)
    assert (unsure.state, unsure.reason) == (MessageState.IN_DOUBT, "cut before the answer was whole")

    for by, value in (("id", "abc-1"), ("reference", known.reference)):
        assert await reading.messages(database, by=by, value=value) == [known]
        assert await reading.messages(database, by=by, value=value, account="main") == [known]
        assert await reading.messages(database, by=by, value=value, account="other") == []


async def test_the_reference_is_the_one_that_was_handed_over(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", max_recipients_per_request=3)
    taken = await submit(database, phones(7), batch_size=3)
    await flow(database, make_desk(stub), taken.id)
    assert len(stub.ledger) == 7
    for line in stub.ledger:
        (known,) = await reading.messages(database, by="reference", value=line.message.message_ref)
        assert known.phone == line.message.phone
        assert known.reference == line.message.message_ref


async def test_of_many_the_newest_come_first(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    (row,) = phones(1)
    campaigns = [await submit(database, [row]) for _ in range(4)]
    for taken in campaigns[::-1]:
        await query(
            database,
            "UPDATE message SET updated_at = clock_timestamp()"
            " WHERE batch_id = (SELECT id FROM batch WHERE campaign_id = $1)",
            taken.id,
        )
    other = await submit(database, [row], account="other")
    desk = make_desk(accounts={"main": stub, "other": Stub("other")})
    found = await reading.messages(database, by="phone", value=row["phone"])
    assert [each.campaign_id for each in found] == [other.id, *(taken.id for taken in campaigns)]
    found = await reading.messages(database, by="phone", value=row["phone"], account="main", limit=2)
    assert [each.campaign_id for each in found] == [taken.id for taken in campaigns[:2]]
    await flow(database, desk, other.id)  # two accounts may give the same id to different messages
    await query(database, "UPDATE message SET provider_message_id = 'same' WHERE state >= 'accepted'")
    found = await reading.messages(database, by="id", value="same")
    assert {each.account for each in found} == {"main", "other"}
    assert {
        each.account for each in await reading.messages(database, by="id", value="same", account="other")
    } == {"other"}


async def test_what_nobody_knows_is_nothing(database: Database) -> None:
    taken = await submit(database, phones(1))
    assert await reading.messages(database, by="id", value="abc") == []
    assert await reading.messages(database, by="phone", value="+37060099999") == []
    for ref in (message_ref(taken.id, 1, 1), message_ref(taken.id, 2, 0), "no reference"):
        assert await reading.messages(database, by="reference", value=ref) == []


@pytest.mark.parametrize(
    ("by", "typed", "region", "value"),
    [
        ("id", " msg_Ab-1 ", None, "msg_Ab-1"),
        ("id", "00123", None, "00123"),
        ("phone", "+370 600 00001", None, "+37060000001"),
        ("phone", "8 600 00001", "LT", "+37060000001"),
        ("reference", f"{'0a' * 16}-12-99\n", None, f"{'0a' * 16}-12-99"),
    ],
)
def test_what_is_typed_is_what_is_looked_for(by: Any, typed: str, region: str | None, value: str) -> None:
    assert sought(by, typed, region) == value
    if by == "reference":
        assert key_of(value) is not None


@pytest.mark.parametrize(
    ("by", "typed", "region", "sentence"),
    [
        ("id", " ", None, "1 to 128 characters"),
        ("id", "x" * 129, None, "1 to 128 characters"),
        ("id", "a\0b", None, "1 to 128 characters"),
        ("phone", "8 600 00001", None, "has no country code"),
        ("phone", "+37060000001", "Lithuania", "no such region"),
        ("reference", "4711", None, "no reference of ours"),
    ],
)
def test_what_cannot_be_one_is_a_sentence(by: Any, typed: str, region: str | None, sentence: str) -> None:
    with pytest.raises(CampaignError, match=sentence) as caught:
        sought(by, typed, region)
    assert typed.strip() not in str(caught.value) or not typed.strip()


async def test_a_reference_is_found_by_index(database: Database) -> None:
    """It is taken when reading the whole table is made dear. A phone and an id are looked for by reading: a
    person asks seldom, and an index on either would cost every message.
    """
    sql, campaign_id = message_rows._BY_KEY, "00000000-0000-0000-0000-000000000000"
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(f"EXPLAIN {sql}", None, 100, *[None] * 6, campaign_id, 1, 1)
    assert "Seq Scan on message" not in "\n".join(line[0] for line in plan)


async def test_the_index_of_numbers_is_made_on_demand_and_anew_where_it_is_half_made(
    database: Database,
) -> None:
    phone = (rows := phones(3))[0]["phone"]
    await submit(database, rows)
    is_whole = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('message_by_phone')"
    await phone_index.make(database)
    await query(
        database,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('message_by_phone')",
    )
    await phone_index.make(database)

    assert [row["indisvalid"] for row in await query(database, is_whole)] == [True]
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # three messages are read faster whole
        plan = await connection.fetch(f"EXPLAIN {message_rows._BY_PHONE}", None, 100, *[None] * 6, [phone])
    assert "message_by_phone" in "\n".join(line[0] for line in plan)
    await phone_index.drop(database)
    assert await query(database, is_whole) == []
