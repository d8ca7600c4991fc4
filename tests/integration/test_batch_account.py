"""A batch goes through its own account: at first its campaign's, and whatever it says from then on."""

from campaigns.domain.access import EVERYTHING
from campaigns.domain.circuit import NewHold
from campaigns.domain.message_ref import MessageKey
from campaigns.domain.states import MessageState
from campaigns.store import batching as dealing
from campaigns.store import watching as pulse
from campaigns.store.holding import accounts
from campaigns.store.leases import Dealt
from campaigns.store.reading import messages as message
from campaigns.store.receipts import callbacks as receipt
from campaigns.store.receipts import incoming
from campaigns.store.receipts.incoming import Incoming
from campaigns.store.sending import hand_over as batches
from campaigns.store.session import Database
from tests.integration.rows import query, states
from tests.river import phones, submit

WORKER = "worker-1"
ACCEPTED, DELIVERED, READ = MessageState.ACCEPTED, MessageState.DELIVERED, MessageState.READ
BOUNDS = {"main": 2, "other": 1}


async def split(database: Database) -> list[int]:
    """One campaign of four batches, of which the last two go through another account; their ids."""
    await submit(database, phones(4), batch_size=1)
    rows = await query(database, "SELECT id, account FROM batch ORDER BY id")
    assert {row["account"] for row in rows} == {"main"}
    await query(database, "UPDATE batch SET account = 'other' WHERE number > 2")
    return [row["id"] for row in rows]


async def deal(database: Database, of_account: dict[str, int] = BOUNDS) -> list[Dealt]:
    return sorted(
        await dealing.deal_sending(database, in_flight=100, of_account=of_account, lease_seconds=60),
        key=lambda dealt: dealt.batch_id,
    )


async def test_batches_are_dealt_within_the_bounds_of_their_own_account(database: Database) -> None:
    first, second, third, fourth = await split(database)

    assert [each.batch_id for each in await deal(database, {"other": 1})] == [third]
    assert await deal(database, {"other": 1}) == []
    assert [each.batch_id for each in await deal(database)] == [first, second]
    assert [each.batch_id for each in await deal(database, {"other": 2})] == [fourth]


async def test_a_hold_keeps_back_the_batches_of_its_account_alone(database: Database) -> None:
    """Also those that were dealt before it: their intent is not written."""
    first, second, third, _ = await split(database)
    dealt = await deal(database)
    assert [each.batch_id for each in dealt] == [first, second, third]
    works = [await batches.take_up_sending(database, each, worker=WORKER, lease_seconds=60) for each in dealt]
    assert [work and work.account for work in works] == ["main", "main", "other"]

    await accounts.hold(database, "other", NewHold("down", "nothing is taken", 60))

    begun = [
        work
        and await batches.begin_hand_over(database, work, [0], worker=WORKER, lease_seconds=60, at_once=False)
        for work in works
    ]
    assert begun == [frozenset([0]), frozenset([0]), None]
    assert await deal(database, {"other": 2}) == []


async def test_a_receipt_is_for_messages_of_the_account_it_came_through(database: Database) -> None:
    await split(database)
    await query(database, "UPDATE message SET state = 'sending', attempt = 1")
    await query(database, "UPDATE message SET state = 'accepted', provider_message_id = 'x'")
    await query(database, "INSERT INTO message_by_provider_id SELECT 'x', batch_id, 0 FROM message")
    await query(database, "UPDATE batch SET state = 'tracking', queued_count = 0, accepted_count = 1")
    (campaign_id,) = {row["campaign_id"] for row in await query(database, "SELECT campaign_id FROM batch")}

    for account, number in (("other", 1), ("other", 3), ("main", 4)):
        named = Incoming(account, None, MessageKey(campaign_id, number, 0), READ, "read", is_coarse=False)
        await incoming.keep(database, [named])
    await incoming.keep(database, [Incoming("main", "x", None, DELIVERED, "delivered", is_coarse=False)])
    await receipt.merge(database, limit=10, give_up_seconds=60)

    assert await states(database) == [DELIVERED, DELIVERED, READ, ACCEPTED]
    shown = await message.by_provider_message_id(database, "x", account="other", reach=EVERYTHING, limit=9)
    assert {(each.account, each.state) for each in shown} == {("other", READ), ("other", ACCEPTED)}


async def test_what_is_due_counts_as_work_unless_its_own_account_is_on_hold(database: Database) -> None:
    await split(database)
    await query(database, "UPDATE batch SET send_at = now() - number * interval '1 minute'")

    async def waits_since() -> int | None:
        work = await pulse.work(database, alive_seconds=60)
        since = work.to_send_since
        return None if since is None else round((work.now - since).total_seconds() / 60)

    assert await waits_since() == 4
    await accounts.hold(database, "other", NewHold("down", "nothing is taken", 60))
    assert await waits_since() == 2
    await accounts.hold(database, "main", NewHold("down", "nothing is taken", 60))
    assert await waits_since() is None
