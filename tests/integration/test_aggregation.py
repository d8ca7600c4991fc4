"""Totals: they follow each step, always add up, and end a campaign exactly once."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns import aggregation, batching, reading, receipts, rescue, sending, suppression
from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import NotFound
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, Failed, Outcome, Receipt, Rejected
from campaigns.domain.states import SETTLED, CampaignState, MessageState
from campaigns.store.holding import accounts
from campaigns.store.session import Database
from tests.conftest import MakeDesk, open_database
from tests.integration.rows import message_rows, pass_deadlines, query, run_out
from tests.integration.sent_and_polled import send_all
from tests.river import flow, phones, submit
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
    *("priced_count", "unpriced_count", "status_lag", "follow_up_of"),
]


async def poll_all(database: Database, desk: Desk) -> None:
    for dealt in await batching.deal_polling(database, desk):
        await receipts.poll_batch(database, desk, dealt)


# --- totals -----------------------------------------------------------------------------------------


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
        "follow_up_of": None,
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


# --- the end ----------------------------------------------------------------------------------------


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
