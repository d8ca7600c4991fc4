"""Totals, the end of a campaign, pausing and cancelling, the export: what people and programs read."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import aggregation, batching, reading, receipts, rescue, sending, suppression
from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import NotAllowed, NotFound
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, Failed, Outcome, Receipt, Rejected
from campaigns.domain.states import SETTLED, CampaignState, MessageState
from campaigns.store.holding import accounts
from campaigns.store.reading.export import EXPORT_COLUMNS
from campaigns.store.session import Database
from tests.conftest import MakeDesk, open_database
from tests.integration.rows import message_rows, pass_deadlines, query, run_out
from tests.river import flow, lines, phones, submit
from tests.stub import Stub
from tests.waiting import until
from worker import shapes

ONE = "+37060000001"
TWO = "+37060000002"
THREE = "+37060000003"

PUBLIC_KEYS = [
    "id",
    "name",
    "account",
    "state",
    "recipient_count",
    "totals",
    "segment_count",
    "cost",
    "created_at",
    "finished_at",
    "refused",
]
OUR_OWN_KEYS = [
    *("noted", "held", "trouble", "send_at", "not_after", "waits_for", "campaign_held", "reasons", "costs"),
    *("priced_count", "unpriced_count", "status_lag"),
]


async def send_all(database: Database, desk: Desk) -> None:
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)


async def poll_all(database: Database, desk: Desk) -> None:
    for dealt in await batching.deal_polling(database, desk):
        await receipts.poll_batch(database, desk, dealt)


# --- totals --------------------------------------------------------------------------------------------


async def test_status_as_json_is_what_other_programs_rely_on(database: Database, make_desk: MakeDesk) -> None:
    price = Decimal("0.0144")
    outcomes: dict[str, list[Outcome]] = {
        ONE: [Accepted("id-1", price, 2)],
        TWO: [Rejected("13", "blacklist")],
    }
    stub = Stub("main", outcomes=outcomes)
    await suppression.suppress(database, [THREE], None, "asked to stop")
    rows = [{"phone": ONE}, {"phone": TWO}, {"phone": THREE}, {"phone": "12"}, {"phone": ONE}]
    taken = await submit(database, rows, name="Spring", currency="EUR")

    before = shapes.Campaign.of(await reading.status(database, taken.id)).public()
    assert (before["state"], before["finished_at"]) == ("accepted", None)
    assert before["cost"] == {"amount": "0.00", "currency": "EUR"}
    overview = await flow(database, make_desk(stub), taken.id)
    shown = json.loads(json.dumps(shapes.Campaign.of(overview).public()))

    assert list(shown) == PUBLIC_KEYS + OUR_OWN_KEYS
    assert list(shown["totals"]) == [state.value for state in MessageState]
    moments = {name: datetime.fromisoformat(shown.pop(name)) for name in ("created_at", "finished_at")}
    assert moments["created_at"] <= moments["finished_at"]
    assert {moment.utcoffset() for moment in moments.values()} == {timedelta(0)}
    assert datetime.now(UTC) - moments["created_at"] < timedelta(minutes=5)
    assert shown == {
        "id": str(taken.id),
        "name": "Spring",
        "account": "main",
        "state": "finished",
        "recipient_count": 3,
        "totals": dict.fromkeys(MessageState, 0) | {"suppressed": 1, "rejected": 1, "delivered": 1},
        "segment_count": 2,
        "cost": {"amount": "0.0144", "currency": "EUR"},
        "refused": {"duplicate": 1, "no_region": 1},
        "noted": {},
        "held": None,
        "trouble": None,
        "send_at": None,
        "not_after": None,
        "waits_for": None,
        "campaign_held": None,
        "reasons": [{"code": "13", "reason": "blacklist", "count": 1}],
        "costs": [{"amount": "0.0144", "currency": "EUR"}],
        "priced_count": 1,
        "unpriced_count": 0,
        "status_lag": None,
    }


async def test_totals_follow_each_step_and_always_sum(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main", states={row["phone"]: ["sent", "delivered"] for row in phones(150)}))
    taken = await submit(database, phones(150))

    seen = []
    for step in (send_all, poll_all, poll_all):
        await step(database, desk)
        overview = await reading.status(database, taken.id)
        assert sum(overview.totals.values()) == 150
        assert await aggregation.verify(database, taken.id) == {}
        seen.append({state.value: count for state, count in overview.totals.items() if count})
        assert reading.settled_count(overview) == sum(
            count for state, count in overview.totals.items() if state in SETTLED
        )

    assert seen == [{"accepted": 150}, {"sent": 150}, {"delivered": 150}]


async def test_totals_of_what_is_over_are_kept_until_a_late_word_changes_them(
    database: Database, make_desk: MakeDesk
) -> None:
    taken = await submit(database, phones(150))
    await aggregation.sum_up(database)
    assert await kept(database) == 0  # it is not over
    over = await flow(database, make_desk(), taken.id)
    assert over.totals[MessageState.DELIVERED] == 150
    for _ in range(2):
        await aggregation.sum_up(database)
        assert await kept(database) == 1
        assert await reading.status(database, taken.id) == over
        assert await aggregation.verify(database, taken.id) == {}

    named = (await message_rows(database))[0]["provider_message_id"]
    await receipts.take_in_many(database, [("main", Receipt(named, MessageState.READ, "READ"))])
    await receipts.merge_waiting(database, make_desk())
    assert await kept(database) == 0
    for _ in range(2):
        changed = await reading.status(database, taken.id)
        assert (changed.totals[MessageState.DELIVERED], changed.totals[MessageState.READ]) == (149, 1)
        assert await aggregation.verify(database, taken.id) == {}
        await aggregation.sum_up(database)


async def test_summing_up_waits_for_a_late_word_that_is_being_written(
    database: Database, make_desk: MakeDesk
) -> None:
    """Else the sums of before it would be kept after it."""
    taken = await submit(database, phones(8), batch_size=4)
    await flow(database, make_desk(), taken.id)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE batch SET delivered_count = delivered_count - 1, read_count = read_count + 1"
            " WHERE number = 2"
        )
        summing = asyncio.ensure_future(aggregation.sum_up(database))

        async def stands_still() -> bool:
            return summing.done() or bool(await query(database, "SELECT FROM pg_locks WHERE NOT granted"))

        await until(stands_still, "it waits for the batches", seconds=20)
    await summing
    assert await kept(database) == 1
    overview = await reading.status(database, taken.id)
    assert (overview.totals[MessageState.DELIVERED], overview.totals[MessageState.READ]) == (7, 1)


async def kept(database: Database) -> int:
    """Of how many campaigns the totals are kept."""
    return len(await query(database, "SELECT FROM campaign WHERE totals IS NOT NULL"))


async def test_costs_add_up_to_the_last_decimal(database: Database, make_desk: MakeDesk) -> None:
    rows = phones(250)
    prices = [Decimal(n) / Decimal(10**7) for n in range(1, 251)]
    outcomes: dict[str, list[Outcome]] = {
        row["phone"]: [Accepted(f"id-{n}", price, n % 3 + 1)]
        for n, (row, price) in enumerate(zip(rows, prices, strict=True))
    }
    taken = await submit(database, rows)

    await send_all(database, make_desk(Stub("main", outcomes=outcomes)))

    overview = await reading.status(database, taken.id)
    (cost,) = overview.costs
    assert (cost.amount, cost.message_count) == (sum(prices), 250)
    assert overview.segment_count == sum(n % 3 + 1 for n in range(250))
    assert shapes.amount_text(cost.amount) == "0.0031375"


async def test_what_is_held_and_what_troubles_it_is_said(database: Database) -> None:
    taken = await submit(database, phones(2))
    await accounts.hold(database, "main", NewHold("2", "no money left", 60))
    await query(database, "UPDATE batch SET trouble = 'refused connection'")

    overview = await reading.status(database, taken.id)

    assert (overview.held, overview.trouble) == ("no money left", "refused connection")


async def test_the_newest_come_first(database: Database) -> None:
    campaigns = [(await submit(database, phones(1))).id for _ in range(4)]
    await query(
        database, "UPDATE campaign SET created_at = now() + interval '1 hour' WHERE id = $1", campaigns[1]
    )

    listed = [overview.id for overview in await reading.newest(database, limit=3)]

    assert listed == [campaigns[1], campaigns[3], campaigns[2]]
    with pytest.raises(NotFound, match="there is no campaign"):
        await reading.status(database, uuid4())


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=None) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**12), 10**12),
    st.integers(-20, 20),
)


@given(amounts.filter(lambda amount: -60 < int(amount.as_tuple().exponent) < 60))
def test_amounts_are_written_whole_without_exponent_and_with_two_decimals(amount: Decimal) -> None:
    text = shapes.amount_text(amount)

    whole, _, decimals = text.partition(".")
    assert Decimal(text) == amount
    assert whole.removeprefix("-").isdecimal()
    assert decimals.isdecimal()
    assert len(decimals) >= 2
    assert len(decimals) == 2 or not decimals.endswith("0")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("0E-9", "0.00"),
        ("1E+3", "1000.00"),
        ("0.0144", "0.0144"),
        ("12.50000", "12.50"),
        ("7.1", "7.10"),
    ],
)
def test_amounts_people_know(amount: str, text: str) -> None:
    assert shapes.amount_text(Decimal(amount)) == text


# --- the end -------------------------------------------------------------------------------------------


async def test_a_campaign_whose_last_batches_end_at_once_finishes_exactly_once(
    database_url: str, database: Database, make_desk: MakeDesk
) -> None:
    """Each worker settles its batch and then asks; whoever commits later sees both."""
    others = [open_database(database_url, pool_size=2) for _ in range(2)]
    desk = make_desk()

    async def poll_and_finish(worker: Database, dealt: Any, campaign_id: UUID) -> list[UUID]:
        await receipts.poll_batch(worker, desk, dealt)
        return await aggregation.finish(worker, campaign_id)

    try:
        for _ in range(10):
            taken = await submit(database, phones(2), batch_size=1)
            await send_all(database, desk)
            dealt = await batching.deal_polling(database, desk)
            assert await aggregation.finish(database) == []
            ended = await asyncio.gather(
                *(poll_and_finish(o, d, taken.id) for o, d in zip(others, dealt, strict=True))
            )
            assert list(chain(*ended)) == [taken.id]
            overview = await reading.status(database, taken.id)
            assert (overview.state, await aggregation.finish(database)) == (CampaignState.FINISHED, [])
    finally:
        for other in others:
            await other.close()


async def test_many_that_finish_everything_at_once_end_each_campaign_once(
    database_url: str, database: Database
) -> None:
    campaigns = {(await submit(database, phones(1))).id for _ in range(10)}
    await query(
        database, "UPDATE batch SET state = 'done', queued_count = 0, delivered_count = message_count"
    )
    others = [open_database(database_url, pool_size=1) for _ in range(6)]
    try:
        ended = await asyncio.gather(*(aggregation.finish(other) for other in others))
    finally:
        for other in others:
            await other.close()

    assert sorted(chain(*ended)) == sorted(campaigns)


@pytest.mark.parametrize(
    ("outcomes", "suppressed", "expected"),
    [
        ([None, None], [], CampaignState.FAILED),
        ([None, None], [ONE], CampaignState.FAILED),
        ([None, Rejected("13", "blacklist")], [], CampaignState.FINISHED),
        ([None, Accepted("id", None, 1)], [], CampaignState.FINISHED),
        ([Rejected("13", "blacklist")] * 2, [], CampaignState.FINISHED),
        ([None, None], [ONE, TWO], CampaignState.FINISHED),
        ([Failed("99", "broken")] * 2, [], CampaignState.FAILED),
    ],
    ids=[
        "none left",
        "none left, one suppressed",
        "one rejected",
        "one sent",
        "all rejected",
        "all suppressed",
        "all failed",
    ],
)
async def test_failed_is_where_every_message_that_should_have_gone_failed(
    database: Database,
    make_desk: MakeDesk,
    outcomes: Sequence[Outcome | None],
    suppressed: list[str],
    expected: CampaignState,
) -> None:
    """None stands for a message that was never handed over by its deadline."""
    await suppression.suppress(database, suppressed, None, "asked to stop")
    wanted = zip((ONE, TWO), outcomes, strict=True)
    stub = Stub("main", outcomes={phone: [outcome] for phone, outcome in wanted if outcome is not None})
    taken = await submit(database, [{"phone": ONE}, {"phone": TWO}], batch_size=1)
    for dealt in await batching.deal_sending(database, make_desk(stub)):
        (message,) = await message_rows(database, dealt.batch_id)
        if outcomes[(ONE, TWO).index(message["phone"])] is not None:
            await sending.send_batch(database, make_desk(stub), dealt)
    await run_out(database)
    await rescue.rescue(database)
    await pass_deadlines(database)
    await rescue.rescue(database)

    assert await aggregation.finish(database) == [taken.id]
    overview = await reading.status(database, taken.id)
    assert overview.state is expected
    assert overview.finished_at is not None


async def test_a_campaign_with_an_open_message_does_not_end(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(2), batch_size=1)
    (first, _) = await batching.deal_sending(database, make_desk())
    await sending.send_batch(database, make_desk(), first)
    (dealt,) = await batching.deal_polling(database, make_desk())
    await receipts.poll_batch(database, make_desk(), dealt)

    assert await aggregation.finish(database) == []
    assert (await reading.status(database, taken.id)).finished_at is None


# --- pausing and cancelling ------------------------------------------------------------------------------


async def test_pause_and_resume_say_whether_they_changed_anything(database: Database) -> None:
    campaign_id = (await submit(database, phones(2))).id

    async def move(target: CampaignState) -> tuple[bool, CampaignState]:
        changed = await aggregation.change_state(database, campaign_id, target)
        return changed, (await reading.status(database, campaign_id)).state

    assert await move(CampaignState.PAUSED) == (True, CampaignState.PAUSED)
    assert await move(CampaignState.PAUSED) == (False, CampaignState.PAUSED)
    assert await move(CampaignState.RUNNING) == (True, CampaignState.RUNNING)
    assert await move(CampaignState.RUNNING) == (False, CampaignState.RUNNING)
    assert await move(CampaignState.CANCELLED) == (True, CampaignState.CANCELLED)
    assert await move(CampaignState.CANCELLED) == (False, CampaignState.CANCELLED)


async def test_what_is_over_or_unknown_cannot_be_moved(database: Database, make_desk: MakeDesk) -> None:
    finished = await submit(database, phones(1))
    await flow(database, make_desk(), finished.id)
    cancelled = await submit(database, phones(1))
    await aggregation.change_state(database, cancelled.id, CampaignState.CANCELLED)

    for campaign_id, before, targets in (
        (finished.id, "finished", (CampaignState.PAUSED, CampaignState.RUNNING, CampaignState.CANCELLED)),
        (cancelled.id, "cancelled", (CampaignState.PAUSED, CampaignState.RUNNING)),
    ):
        for target in targets:
            with pytest.raises(NotAllowed, match=f"is {before}; it cannot become {target}"):
                await aggregation.change_state(database, campaign_id, target)
        assert (await reading.status(database, campaign_id)).state.value == before
    for work in (
        aggregation.change_state(database, uuid4(), CampaignState.PAUSED),
        aggregation.verify(database, uuid4()),
    ):
        with pytest.raises(NotFound, match="there is no campaign"):
            await work


async def test_three_thousand_queued_messages_are_cancelled_at_once(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    taken = await submit(database, phones(3000), batch_size=10)  # more batches than one round takes

    assert await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)

    overview = await reading.status(database, taken.id)
    assert overview.totals[MessageState.CANCELLED] == 3000
    assert (overview.state, overview.finished_at is None) == (CampaignState.CANCELLED, False)
    assert await aggregation.verify(database, taken.id) == {}
    assert (await flow(database, make_desk(stub), taken.id)).totals == overview.totals
    assert stub.ledger == []


async def test_a_batch_under_lease_is_cancelled_when_its_worker_gives_it_back(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    desk = make_desk(stub, in_flight=1)
    taken = await submit(database, phones(3000))
    other = await submit(database, phones(1), account="strange")
    (dealt,) = await batching.deal_sending(database, desk)

    await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    overview = await reading.status(database, taken.id)
    assert (overview.totals[MessageState.CANCELLED], overview.totals[MessageState.QUEUED]) == (2900, 100)
    assert overview.finished_at is None

    await sending.send_batch(database, desk, dealt)  # late: the campaign is cancelled meanwhile
    assert stub.ledger == []
    assert (await rescue.rescue(database)).cancelled_batch_count == 1
    assert await aggregation.finish(database) == [taken.id]
    overview = await reading.status(database, taken.id)
    assert (overview.state, overview.totals[MessageState.CANCELLED]) == (CampaignState.CANCELLED, 3000)
    assert (await reading.status(database, other.id)).totals[MessageState.QUEUED] == 1, "nobody else's"


async def test_what_is_on_its_way_when_a_campaign_is_cancelled_is_followed_to_its_end(
    database: Database, make_desk: MakeDesk
) -> None:
    """Cancelled while the first of three requests is being answered: the other two never leave."""
    cancelled = []

    async def cancel() -> None:
        cancelled.append(await aggregation.change_state(database, taken.id, CampaignState.CANCELLED))

    stub = Stub("main", max_recipients_per_request=10, before_answer=cancel)
    desk = make_desk(stub)
    taken = await submit(database, phones(30))

    overview = await flow(database, desk, taken.id)

    assert cancelled == [True]
    assert len(stub.ledger) == 10
    assert overview.state is CampaignState.CANCELLED
    assert overview.finished_at is not None
    assert {state: count for state, count in overview.totals.items() if count} == {
        MessageState.CANCELLED: 20,
        MessageState.DELIVERED: 10,
    }


# --- the recount -----------------------------------------------------------------------------------------


async def test_a_tally_that_was_tampered_with_is_noticed(database: Database, make_desk: MakeDesk) -> None:
    taken = await submit(database, phones(150))
    other = await submit(database, phones(3))
    await send_all(database, make_desk())
    assert await aggregation.verify(database, taken.id) == {}

    await query(
        database,
        "UPDATE batch SET accepted_count = accepted_count - 2, delivered_count = 2"
        " WHERE campaign_id = $1 AND number = 2",
        taken.id,
    )

    assert await aggregation.verify(database, taken.id) == {
        MessageState.ACCEPTED: (148, 150),
        MessageState.DELIVERED: (2, 0),
    }
    assert await aggregation.verify(database, other.id) == {}


async def test_a_message_that_was_lost_or_changed_behind_our_back_is_noticed(database: Database) -> None:
    taken = await submit(database, phones(3))
    await query(database, "UPDATE message SET state = 'cancelled' WHERE position = 0")
    await query(database, "DELETE FROM message WHERE position = 1")

    assert await aggregation.verify(database, taken.id) == {
        MessageState.CANCELLED: (0, 1),
        MessageState.QUEUED: (3, 1),
    }


async def test_the_recount_is_right_also_while_the_campaign_runs(
    database: Database, make_desk: MakeDesk
) -> None:
    """Tallies and messages are read at one moment: what moves in between is no difference."""
    taken = await submit(database, phones(300), batch_size=3)
    running = asyncio.ensure_future(flow(database, make_desk(), taken.id))

    found = []
    while not running.done():
        found.append(await aggregation.verify(database, taken.id))

    assert (await running).state is CampaignState.FINISHED
    assert len(found) > 10
    assert [differing for differing in found if differing] == []


# --- the export --------------------------------------------------------------------------------------------


async def test_the_export_is_in_order_of_row_with_our_columns_first(
    database: Database, make_desk: MakeDesk
) -> None:
    rows = [row | {"city": f"city {9 - n % 10}"} for n, row in enumerate(phones(250))]
    stub = Stub("main", outcomes={rows[0]["phone"]: [Accepted("id-0", Decimal("0.0100"), 1)]})
    taken = await submit(database, rows, text="Hello {city}")
    await flow(database, make_desk(stub), taken.id)

    columns, _ = await reading.export(database, taken.id)
    exported = await lines(database, taken.id)

    assert columns == [*EXPORT_COLUMNS, "city"]
    assert all(list(line) == columns for line in exported)
    assert [(line["row"], line["phone"], line["city"]) for line in exported] == [
        (number, row["phone"], row["city"]) for number, row in enumerate(rows, 2)
    ]
    first = exported[0]
    moment = datetime.fromisoformat(first.pop("updated_at"))
    assert moment.utcoffset() == timedelta(0)
    assert list(columns)[-4:-1] == ["provider_changed_at", "currency", "channel"]
    assert first == {
        "row": 2,
        "phone": rows[0]["phone"],
        "state": "delivered",
        "provider_state": "delivered",
        "provider_message_id": "id-0",
        "batch": 3,
        "attempt": 1,
        "segments": 1,
        "cost": "0.0100",
        "reason": None,
        "provider_changed_at": None,
        "currency": None,
        "channel": None,
        "city": "city 9",
    }
    json.dumps(exported)  # plain values only


async def test_a_column_called_like_one_of_ours_is_kept_under_another_name(database: Database) -> None:
    own = {
        "state": "Texas",
        "recipient_state": "tired",
        "row": "7",
        "recipient_phone": "not the number",
        "State": "Utah",
        "fields": "wheat",
    }
    taken = await submit(database, [{"Phone": ONE} | own, {"Phone": TWO}])

    columns, _ = await reading.export(database, taken.id)
    first, second = await lines(database, taken.id)

    renamed = {
        "recipient_recipient_state": "Texas",
        "recipient_state": "tired",
        "recipient_row": "7",
        "recipient_phone": "not the number",
        "State": "Utah",
        "fields": "wheat",
    }
    assert sorted(columns) == sorted([*EXPORT_COLUMNS, *renamed])
    assert {name: first[name] for name in renamed} == renamed
    assert (first["state"], first["row"], first["phone"]) == ("queued", 2, ONE)
    assert set(second) == set(EXPORT_COLUMNS)


async def test_rows_with_other_fields_than_others_are_exported_with_their_own(database: Database) -> None:
    rows = [
        {"phone": ONE, "name": "Ona"},
        {"phone": TWO},
        {"phone": THREE, "city": "Kaunas", "note": ""},
        {"phone": "12", "only of a refused one": "x"},
    ]
    taken = await submit(database, rows)

    columns, _ = await reading.export(database, taken.id)
    exported = await lines(database, taken.id)

    assert sorted(columns[len(EXPORT_COLUMNS) :]) == ["city", "name", "note"]
    assert [{k: v for k, v in line.items() if k not in EXPORT_COLUMNS} for line in exported] == [
        {"name": "Ona"},
        {},
        {"city": "Kaunas", "note": ""},
    ]


async def test_an_export_holds_up_nobody_however_slowly_it_is_read(
    database: Database, make_desk: MakeDesk
) -> None:
    """Behind a pager it may stand for an hour: no transaction is open meanwhile, and what it then goes on
    to tell is still of the moment it began at.
    """
    taken = await submit(database, phones(5000))
    _, rows = await reading.export(database, taken.id)
    exported = [await anext(rows)]

    assert await sessions(database, "idle in transaction%") == 0
    await send_all(database, make_desk())
    exported += [line async for line in rows]

    assert [line["row"] for line in exported] == list(range(2, 5002))
    assert {line["state"] for line in exported} == {"queued"}


async def test_an_export_that_is_not_read_to_its_end_gives_its_connection_back(database: Database) -> None:
    taken = await submit(database, phones(2500))
    await database.close()

    async def is_alone() -> bool:
        return await sessions(database, "%") == 1

    await until(is_alone, "the submission's session ends after its client")
    _, rows = await reading.export(database, taken.id)
    async with aclosing(cast("AsyncGenerator[dict[str, Any], None]", rows)):
        assert (await anext(rows))["row"] == 2
        assert await sessions(database, "%") == 2
    await until(is_alone, "the export's session ends after its client")


async def sessions(database: Database, state: str) -> int:
    """How many sessions of this database are in such a state."""
    (row,) = await query(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE $1",
        state,
    )
    return int(row["n"])


@pytest.mark.parametrize("state", ["accepted", "running", "paused"])
async def test_a_campaign_can_be_cancelled_whatever_it_does(database: Database, state: str) -> None:
    taken = await submit(database, phones(2))
    await query(database, "UPDATE campaign SET state = $1", state)

    assert await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)

    over = await reading.status(database, taken.id)
    assert (over.state, over.totals[MessageState.CANCELLED]) == (CampaignState.CANCELLED, 2)
    assert over.finished_at is not None
