"""Whose batch is dealt next, and whose is not."""

import random
from collections import Counter
from uuid import UUID

from campaigns import aggregation, batching, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.policy import Desk
from campaigns.domain.provider import NotSent
from campaigns.domain.states import BatchState, CampaignState
from campaigns.store import batching as dealing
from campaigns.store.holding import accounts
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.dealt import campaign_of, change, deal, end, state, whose
from tests.integration.rows import query, run_out
from tests.river import phones, submit
from tests.stub import Stub

FREE = 1000


# --- whose turn it is -------------------------------------------------------------------------------


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


# --- who is not dealt -------------------------------------------------------------------------------


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
