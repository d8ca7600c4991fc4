"""Dealing: whose turn it is, how much is in flight, and that nothing is dealt twice.

Most of these end a dealt batch by hand: what happens between dealing and the end is told elsewhere.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, reading, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.policy import Desk
from campaigns.domain.provider import NotSent
from campaigns.domain.states import BatchState, CampaignState
from campaigns.store import batching as dealing
from campaigns.store.holding import accounts
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk, open_database
from tests.integration.rows import query, read_so_far, run_out
from tests.integration.test_submission import waiting
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until

FREE = 1000


async def campaign_of(database: Database, count: int, **more: Any) -> UUID:
    """A campaign of so many batches of one message."""
    return (await submit(database, phones(count), batch_size=1, **more)).id


async def deal(
    database: Database, *, in_flight: int = FREE, of_account: dict[str, int] | None = None
) -> list[Dealt]:
    return await dealing.deal_sending(
        database, in_flight=in_flight, of_account=of_account or {"main": FREE}, lease_seconds=60
    )


async def whose(database: Database, dealt: Sequence[Dealt]) -> list[UUID]:
    """The campaign of each dealt batch."""
    rows = await query(
        database,
        "SELECT id, campaign_id FROM batch WHERE id = ANY($1::bigint[])",
        [one.batch_id for one in dealt],
    )
    campaigns = {row["id"]: row["campaign_id"] for row in rows}
    return [campaigns[one.batch_id] for one in dealt]


async def end(database: Database, dealt: Sequence[Dealt]) -> None:
    """These batches are done: delivered, as far as their tallies say."""
    await change(
        database,
        "state = 'done', leased_until = NULL, leased_for = NULL, leased_by = NULL,"
        " delivered_count = delivered_count + queued_count, queued_count = 0",
        dealt,
    )


async def change(database: Database, setting: str, dealt: Sequence[Dealt] | None = None) -> None:
    """Change some batches, or all, by hand."""
    await query(
        database,
        f"UPDATE batch SET {setting} WHERE $1::bigint[] IS NULL OR id = ANY($1)",  # noqa: S608  the test's own
        None if dealt is None else [one.batch_id for one in dealt],
    )


async def in_flight(database: Database) -> dict[str, int]:
    """How many batches are under lease, by account."""
    rows = await query(
        database,
        "SELECT c.account, count(*) AS n FROM batch b JOIN campaign c ON c.id = b.campaign_id"
        " WHERE b.state = 'leased' GROUP BY c.account",
    )
    return {row["account"]: row["n"] for row in rows}


async def state(database: Database, campaign_id: UUID) -> CampaignState:
    return (await reading.status(database, campaign_id)).state


# --- whose turn it is ----------------------------------------------------------------------------------


async def test_a_small_campaign_is_among_the_first_beside_a_large_one(database: Database) -> None:
    large = await campaign_of(database, 50)
    small = await campaign_of(database, 1)

    assert await whose(database, await deal(database, in_flight=2)) in ([large, small], [small, large])


async def test_a_small_campaign_gets_the_first_place_a_large_one_leaves(database: Database) -> None:
    """All places are taken when it comes: the next one is its own, not the large one's."""
    await campaign_of(database, 50)
    dealt = await deal(database, in_flight=10)
    small = await campaign_of(database, 1)

    assert await deal(database, in_flight=10) == []
    await end(database, dealt[:1])
    assert await whose(database, await deal(database, in_flight=10)) == [small]


async def test_twenty_campaigns_progress_together(database: Database) -> None:
    """Round after round no campaign gets more than one batch more than another."""
    campaigns = [await campaign_of(database, 12) for _ in range(20)]
    for _ in range(4):
        dealt = await deal(database, in_flight=50)
        shares = Counter(await whose(database, dealt))
        assert {shares[c] for c in campaigns} == {2, 3}
        await end(database, dealt)


async def test_twenty_campaigns_keep_their_shares_while_batches_end_one_by_one(database: Database) -> None:
    """Whose batch ends gets the place: nobody's share of what is in flight grows."""
    campaigns = [await campaign_of(database, 12) for _ in range(20)]
    flight = await deal(database, in_flight=40)
    for place in random.Random(7).choices(range(40), k=50):
        await end(database, [flight.pop(place)])
        flight += await deal(database, in_flight=40)
        assert len(flight) == 40

    assert Counter(await whose(database, flight)) == dict.fromkeys(campaigns, 2)


async def test_campaigns_share_the_places_evenly_while_they_last(database: Database) -> None:
    sizes = {await campaign_of(database, count): count for count in (50, 7, 3, 1)}

    shares = Counter(await whose(database, await deal(database, in_flight=20)))

    assert [shares[c] for c in sizes] == [9, 7, 3, 1]


async def test_an_account_that_is_full_leaves_the_other_places_to_others(database: Database) -> None:
    slow = await campaign_of(database, 30, account="slow")
    quick = await campaign_of(database, 30, account="quick")

    dealt = await deal(database, in_flight=25, of_account={"slow": 4, "quick": 100})

    assert Counter(await whose(database, dealt)) == {slow: 4, quick: 21}


async def test_within_a_campaign_the_longest_due_goes_first_and_what_is_not_due_not_at_all(
    database: Database,
) -> None:
    await campaign_of(database, 5)
    first = await deal(database)
    await change(
        database,
        "state = 'ready', leased_until = NULL, leased_for = NULL,"
        " send_at = now() - make_interval(mins => (ARRAY[3, 5, -1, 4, 5])[number])",
    )

    order = []
    while dealt := await deal(database, in_flight=1):
        order += [one.batch_id for one in dealt]
        await end(database, dealt)

    ids = sorted(one.batch_id for one in first)
    assert order == [ids[1], ids[4], ids[3], ids[0]]


async def test_polls_too_are_dealt_by_turn_and_by_when_they_are_due(database: Database) -> None:
    large, small = await campaign_of(database, 4), await campaign_of(database, 1)
    await deal(database)
    await change(
        database,
        "state = 'tracking', leased_until = NULL, leased_for = NULL, queued_count = 0,"
        " accepted_count = message_count, poll_at = now() - make_interval(mins => number)",
    )

    async def deal_polls(bound: int) -> list[Dealt]:
        return await dealing.deal_polling(
            database, in_flight=bound, of_account={"main": FREE}, lease_seconds=60
        )

    dealt = await deal_polls(2)
    assert set(await whose(database, dealt)) == {large, small}
    numbers = await query(
        database,
        "SELECT number FROM batch WHERE id = ANY($1::bigint[]) AND campaign_id = $2",
        [one.batch_id for one in dealt],
        large,
    )
    assert numbers == [{"number": 4}]
    assert await deal_polls(2) == []
    assert len(await deal_polls(3)) == 1


# --- how much is in flight -----------------------------------------------------------------------------


async def test_what_is_in_flight_is_bounded(database: Database) -> None:
    await campaign_of(database, 20)

    dealt = await deal(database, in_flight=7)
    assert len(dealt) == 7
    assert await deal(database, in_flight=7) == []
    assert await deal(database, in_flight=3) == [], "a bound made smaller waits until there is room"
    await end(database, dealt[:3])
    assert len(await deal(database, in_flight=7)) == 3


@pytest.mark.parametrize("deal_some", [dealing.deal_sending, dealing.deal_polling])
async def test_a_deal_reads_what_it_deals_and_not_all_that_is_due(
    database: Database, deal_some: Callable[..., Awaitable[list[Dealt]]]
) -> None:
    await campaign_of(database, 600)
    if deal_some is dealing.deal_polling:
        await change(database, "state = 'tracking', queued_count = 0, accepted_count = 1, poll_at = now()")
    before = await batches_read(database)
    assert len(await deal_some(database, in_flight=6, of_account={"main": FREE}, lease_seconds=60)) == 6
    assert await batches_read(database) - before < 60


async def batches_read(database: Database) -> int:
    """How many rows of the table of batches were read so far."""
    return await read_so_far(database, "table", "batch", "seq_tup_read + idx_tup_fetch")


async def test_deals_do_not_read_the_leases_that_are_over(database: Database) -> None:
    """Every lease there ever was stays in the index of leases until somebody sees that it is over: the first
    deal after it, or the next one where somebody else still sees what was before.
    """
    await campaign_of(database, 2 * FREE)
    dealt = await deal(database)
    # As it may come while a campaign runs: half of them are leased, each renewed at a moment of its own.
    await change(database, "leased_until = now() + (1 + random()) * interval '1 minute'", dealt)
    await query(database, "ANALYZE batch")
    while dealt:
        await end(database, dealt)
        dealt = await deal(database)
    before = await read_so_far(database, "index", "batch_leased", "idx_tup_read")
    for _ in range(10):
        await deal(database)
    after = await read_so_far(database, "index", "batch_leased", "idx_tup_read")
    assert after - before < 10 * FREE, "less than half of them at each"


async def test_a_lease_that_ran_out_takes_nobodys_place(database: Database) -> None:
    """Also while nobody rescues it: no beat, and a dead worker had all an account may have in flight."""
    await campaign_of(database, 9)
    assert len(await deal(database, in_flight=4)) == 4
    await run_out(database)
    assert len(await deal(database, in_flight=4)) == 4


async def test_a_dealer_that_freezes_holds_the_others_up_for_seconds(database: Database) -> None:
    """Not for the half minute that any other transaction may stand still."""
    await campaign_of(database, 1)
    async with database.own_connection() as frozen:
        await frozen.execute("BEGIN")
        assert await frozen.fetchval(dealing._ALONE, dealing._DEALERS)
        assert await deal(database) == []
        assert len(await until(lambda: deal(database), "another deals", seconds=20)) == 1


async def test_polls_have_a_bound_of_their_own(database: Database, make_desk: MakeDesk) -> None:
    """However many hand-overs are in flight, what was handed over is asked for."""
    desk = make_desk(policy=replace(POLICY, in_flight_batches=3))
    await campaign_of(database, 6)
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
    assert len(await batching.deal_sending(database, desk)) == 3

    assert len(await batching.deal_polling(database, desk)) == 3
    assert await batching.deal_polling(database, desk) == []


async def test_each_account_has_a_bound_and_one_we_do_not_know_gets_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(accounts={"main": Stub("main"), "second": Stub("second")}, in_flight=3)
    for account in ("main", "main", "second", "strange"):
        await campaign_of(database, 5, account=account)

    dealt = await batching.deal_sending(database, desk)

    assert await in_flight(database) == {"main": 3, "second": 3}
    assert await batching.deal_sending(database, desk) == []
    await end(database, dealt)
    await batching.deal_sending(database, desk)
    assert await in_flight(database) == {"main": 3, "second": 2}


async def test_dealers_at_the_same_instant_deal_nothing_twice_and_keep_the_bound(
    database_url: str, database: Database
) -> None:
    """Of eight at once one deals, and the others leave it to that one."""
    for _ in range(4):
        await campaign_of(database, 60)
    dealers = [open_database(database_url, pool_size=1) for _ in range(8)]
    leases: Counter[Dealt] = Counter()
    try:
        while any(hands := await asyncio.gather(*(deal(dealer, in_flight=30) for dealer in dealers))):
            dealt = [one for hand in hands for one in hand]
            leases.update(dealt)
            assert len(dealt) <= 30
            assert sum((await in_flight(database)).values()) == len(dealt)
            await end(database, dealt)
    finally:
        for dealer in dealers:
            await dealer.close()

    assert len(leases) == 240
    assert set(leases.values()) == {1}
    assert {one.lease for one in leases} == {1}


async def test_a_dealer_that_comes_while_another_deals_deals_nothing_and_waits_for_nobody(
    database_url: str, database: Database
) -> None:
    """What the first has taken is not to be seen before it commits: counted twice, the same places would
    be filled twice, by lot even with other campaigns' batches.
    """
    old = await campaign_of(database, 20)
    dealers = [open_database(database_url, pool_size=1) for _ in range(2)]
    try:
        async with asyncio.TaskGroup() as group, database.own_connection() as holding:
            await holding.execute("BEGIN")
            await holding.execute("SELECT 1 FROM campaign WHERE id = $1 FOR UPDATE", old)
            first = group.create_task(deal(dealers[0], in_flight=10))
            await waiting(database, count=1)  # it has taken its batches, and waits to say "running"
            new = await campaign_of(database, 2)
            assert await deal(dealers[1], in_flight=10) == []
            assert not first.done()
            await holding.execute("COMMIT")
    finally:
        for dealer in dealers:
            await dealer.close()

    assert await whose(database, first.result()) == [old] * 10
    assert await deal(database, in_flight=10) == []
    assert await whose(database, await deal(database, in_flight=12)) == [new] * 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 6)), min_size=1, max_size=5),
    bound=st.integers(1, 12),
    of_a=st.integers(0, 6),
    of_b=st.integers(0, 6),
    ended=st.lists(st.integers(0, 6), max_size=4),
)
async def test_every_deal_is_full_fair_and_within_its_bounds(
    database: Database,
    sizes: list[tuple[str, int]],
    bound: int,
    of_a: int,
    of_b: int,
    ended: list[int],
) -> None:
    """Whatever is due and in flight: no bound is passed, no place stays empty that somebody could use, and
    nobody gets another batch while somebody of the same account with less in flight waits.
    """
    await query(database, "TRUNCATE campaign, batch, message CASCADE")
    of_account = {"a": of_a, "b": of_b}
    account_of = {await campaign_of(database, size, account=account): account for account, size in sizes}
    ready = Counter({c: size for c, (_, size) in zip(account_of, sizes, strict=True)})
    flight: list[tuple[Dealt, UUID]] = []
    for end_count in [0, *ended]:
        gone, flight = flight[:end_count], flight[end_count:]
        await end(database, [one for one, _ in gone])
        dealt = await deal(database, in_flight=bound, of_account=of_account)
        got = list(zip(dealt, await whose(database, dealt), strict=True))
        flight += got
        ready.subtract(c for _, c in got)
        flying = Counter(c for _, c in flight)

        by_account = Counter(account_of[c] for _, c in flight)
        assert len(flight) <= bound
        assert all(by_account[a] <= most for a, most in of_account.items())
        assert min(ready.values()) >= 0
        for account, most in of_account.items():
            waiting = [c for c, a in account_of.items() if a == account and ready[c]]
            if waiting and len(flight) < bound:
                assert by_account[account] == most
            for c in {c for _, c in got if account_of[c] == account}:
                assert all(flying[c] <= flying[other] + 1 for other in waiting)


# --- who is not dealt ----------------------------------------------------------------------------------


async def half_sent(database: Database, desk: Desk) -> UUID:
    """A campaign of two batches: one handed over and due to be polled, one still ready."""
    campaign_id = await campaign_of(database, 2)
    (dealt,) = await deal(database, in_flight=1)
    assert (await sending.send_batch(database, desk, dealt)).state is BatchState.TRACKING
    return campaign_id


async def test_a_paused_campaign_is_polled_and_not_sent(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk()
    campaign_id = await half_sent(database, desk)
    await aggregation.change_state(database, campaign_id, CampaignState.PAUSED)

    assert await batching.deal_sending(database, desk) == []
    assert len(await batching.deal_polling(database, desk)) == 1

    await aggregation.change_state(database, campaign_id, CampaignState.RUNNING)
    assert len(await batching.deal_sending(database, desk)) == 1


async def test_a_cancelled_campaign_is_polled_and_not_sent(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk()
    campaign_id = await half_sent(database, desk)
    # Cancelled by somebody who died before the queued messages were swept: the state alone must do.
    await query(database, "UPDATE campaign SET state = 'cancelled'")

    assert await batching.deal_sending(database, desk) == []
    assert len(await batching.deal_polling(database, desk)) == 1
    assert await state(database, campaign_id) is CampaignState.CANCELLED


async def test_a_held_account_is_polled_and_not_sent_through(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(accounts={"main": Stub("main"), "second": Stub("second")})
    await half_sent(database, desk)
    other = await campaign_of(database, 1, account="second")
    await accounts.hold(database, "main", NewHold("2", "no money", 60))

    assert await whose(database, await batching.deal_sending(database, desk)) == [other]
    assert len(await batching.deal_polling(database, desk)) == 1

    await accounts.resume(database, "main")
    assert len(await batching.deal_sending(database, desk)) == 1


async def test_a_batch_with_both_kinds_of_work_is_polled_while_its_campaign_is_paused(
    database: Database, make_desk: MakeDesk
) -> None:
    """Half of it was handed over, half did not leave: it is ready and wants to be polled as well."""
    first, second = phones(2)
    stub = Stub("main", max_recipients_per_request=1, outcomes={second["phone"]: [NotSent("refused")]})
    desk = make_desk(stub)
    campaign_id = (await submit(database, [first, second])).id
    (dealt,) = await batching.deal_sending(database, desk)
    assert (await sending.send_batch(database, desk, dealt)).state is BatchState.READY
    await aggregation.change_state(database, campaign_id, CampaignState.PAUSED)

    assert await batching.deal_sending(database, desk) == []
    (polled,) = await batching.deal_polling(database, desk)
    assert polled.batch_id == dealt.batch_id
    assert await batching.deal_sending(database, desk) == []


async def test_a_campaign_runs_from_its_first_deal_on(database: Database, make_desk: MakeDesk) -> None:
    first, second = await campaign_of(database, 2), await campaign_of(database, 2, account="strange")
    assert await state(database, first) is CampaignState.ACCEPTED

    await query(database, "UPDATE batch SET poll_at = now() WHERE number = 1")
    assert len(await batching.deal_polling(database, make_desk())) == 1
    assert await state(database, first) is CampaignState.ACCEPTED
    await batching.deal_sending(database, make_desk())

    assert await state(database, first) is CampaignState.RUNNING
    assert await state(database, second) is CampaignState.ACCEPTED


async def test_what_is_over_is_not_dealt(database: Database, make_desk: MakeDesk) -> None:
    await campaign_of(database, 1)
    await change(database, "poll_at = now()")
    await query(database, "UPDATE campaign SET finished_at = now(), state = 'finished'")

    assert await batching.deal_sending(database, make_desk()) == []
    assert await batching.deal_polling(database, make_desk()) == []


async def test_a_lease_dealt_anew_has_a_higher_number_and_the_old_one_is_worth_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await campaign_of(database, 1)
    (lost,) = await batching.deal_sending(database, desk)
    await run_out(database)
    await rescue.rescue(database)
    (again,) = await batching.deal_sending(database, desk)

    assert (again.batch_id, again.lease) == (lost.batch_id, lost.lease + 1)
    assert (await sending.send_batch(database, desk, lost)).state is None
    assert (await sending.send_batch(database, desk, again)).state is BatchState.TRACKING


async def test_more_campaigns_than_places_take_turns(database: Database) -> None:
    """Four large campaigns and an account with one place: nobody waits until another is through."""
    campaigns = {await campaign_of(database, 300) for _ in range(4)}
    served: set[UUID] = set()
    for _ in range(250):
        dealt = await deal(database, of_account={"main": 1})
        served.update(await whose(database, dealt))
        await end(database, dealt)
        if served == campaigns:
            break

    assert served == campaigns
