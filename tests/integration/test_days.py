"""What went through an account by day: counted on the fly or kept, it is the same, and it adds up."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.domain.provider import Accepted, InDoubt, NotSent, Rejected
from campaigns.domain.states import MessageState
from campaigns.store import days
from campaigns.store.days import AccountDay
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import bend, query
from tests.integration.sent_and_polled import send_all
from tests.river import flow, phones, submit
from tests.stub import Stub

NOW = datetime.now(UTC)
FIRST = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
NEXT = (FIRST + timedelta(days=32)).replace(day=1)
D, U = MessageState.DELIVERED, MessageState.UNDELIVERED


async def of_month(database: Database, account: str = "main") -> list[AccountDay]:
    return await days.month(database, account, FIRST, NEXT)


async def test_kept_days_are_those_counted_on_the_fly(database: Database, make_desk: MakeDesk) -> None:
    """Of a campaign that is over, of one that runs, of one where something is in doubt."""
    rows = phones(6)
    outcomes = [
        [Accepted("a", Decimal("0.10"), 2, None)],
        [Accepted("b", Decimal("0.25"), 3, "USD")],
        [Accepted("c", None, None, None)],
        [Rejected("9", "no such number")],
        [NotSent("refused"), Accepted("e", Decimal("0.10"), 1, None)],
        [InDoubt("cut")],
    ]
    stub = Stub(
        "main",
        outcomes={row["phone"]: each for row, each in zip(rows, outcomes, strict=True)},
        states={rows[0]["phone"]: ["undelivered"]},
    )
    over = await submit(database, rows[:5], currency="EUR")
    await flow(database, make_desk(stub), over.id)
    await submit(database, rows[5:], currency="EUR")
    await send_all(database, make_desk(stub))
    on_the_fly = await of_month(database)

    assert await days.count(database) == over.id
    assert await days.count(database) is None

    kept = await of_month(database)
    assert kept == on_the_fly
    assert len(await query(database, "SELECT FROM account_day")) == 4
    found = {
        (each.currency, each.state): (
            each.taken_count,
            each.segment_count,
            each.cost,
            each.unpriced_count,
            each.unsure_segment_count,
        )
        for each in kept
    }
    assert found == {
        ("EUR", U): (1, 2, Decimal("0.10"), 0, 0),
        ("EUR", D): (2, 2, Decimal("0.10"), 1, 0),
        ("USD", D): (1, 3, Decimal("0.25"), 0, 0),
        ("EUR", MessageState.REJECTED): (0, 0, 0, 0, 0),
        ("EUR", MessageState.IN_DOUBT): (0, 0, 0, 0, 1),
    }
    assert {each.day for each in kept} == {datetime.now(UTC).date()}
    assert await of_month(database, "another") == []


async def test_a_late_receipt_has_its_campaign_counted_again(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(3))
    await flow(database, make_desk(Stub("main")), taken.id)
    await days.count(database)

    await query(database, "UPDATE message SET state = 'read' WHERE position = 0")
    await query(database, "UPDATE batch SET delivered_count = 2, read_count = 1")

    assert {each.state: each.message_count for each in await of_month(database)} == {
        D: 2,
        MessageState.READ: 1,
    }
    assert await days.count(database) == taken.id
    assert {each.state: each.message_count for each in await of_month(database)} == {
        D: 2,
        MessageState.READ: 1,
    }


async def test_of_an_erased_campaign_the_days_stay(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(3))
    await flow(database, make_desk(Stub("main")), taken.id)
    await days.count(database)
    before = await of_month(database)

    await bend(database, "DELETE FROM message; ")
    await query(database, "DELETE FROM campaign")

    assert await of_month(database) == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.integers(0, 27 * 86_400_000), min_size=1, max_size=8))
async def test_a_message_is_of_the_day_on_which_it_was_first_handed_over(
    database: Database, make_desk: MakeDesk, moments: list[int]
) -> None:
    await bend(database, "TRUNCATE campaign, batch, message, account_day CASCADE")
    taken = await submit(database, phones(len(moments)))
    await flow(database, make_desk(Stub("main")), taken.id)
    start = round(FIRST.timestamp() * 1000)
    for position, moment in enumerate(moments):
        await bend(
            database,
            "UPDATE message SET timeline = substring(int8send($2::bigint) FROM 3)"
            " || substring(timeline FROM 7) WHERE position = $1",
            position,
            start + moment,
        )
    expected = Counter((FIRST + timedelta(milliseconds=moment)).date() for moment in moments)

    def by_day(found: list[AccountDay]) -> dict[date, int]:
        return {each.day: each.taken_count for each in found}

    assert by_day(await of_month(database)) == expected
    await days.count(database)
    assert by_day(await of_month(database)) == expected
