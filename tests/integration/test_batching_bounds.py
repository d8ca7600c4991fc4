"""How much is in flight at once, with any number of dealers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import batching, sending
from campaigns.store import batching as dealing
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk, open_database
from tests.integration.dealt import campaign_of, change, deal, end, in_flight, whose
from tests.integration.rows import query, read_so_far, run_out
from tests.integration.submitted import waiting
from tests.stub import Stub

FREE = 1000


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


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
