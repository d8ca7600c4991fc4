"""A database that went back in time: what Redis saw leave does not leave again, what it did not see does."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from campaigns import batching, reading, rescue, sending
from campaigns.domain.policy import Desk
from campaigns.domain.provider import AccountTrouble, CampaignTrouble, InDoubt, NotSent, Outcome, Throttled
from campaigns.domain.states import MessageState
from campaigns.pacing.witness import RedisWitness
from campaigns.store.holding import accounts
from campaigns.store.holding import campaigns as campaign_hold
from campaigns.store.reasons import Reason
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import make_due, message_rows, states, wrong_tallies
from tests.integration.witnessing import LossyRedis, go_back, keep_backup, lossy_redis
from tests.river import flow, phones, submit
from tests.stub import Stub
from worker.stack.embedded.servers import ServerUrls

Q, D, A = MessageState.QUEUED, MessageState.IN_DOUBT, MessageState.ACCEPTED
FORGOTTEN = "Redis saw attempt 1 leave, PostgreSQL had forgotten it"
FIRST, SECOND, THIRD = (row["phone"] for row in phones(3))


@pytest.fixture
async def lossy(servers: ServerUrls, redis: Redis) -> AsyncIterator[LossyRedis]:
    """An empty Redis that may lose answers."""
    async with lossy_redis(servers.redis_client_url) as client:
        yield client


def witnessed(desk: Desk, redis: Redis) -> Desk:
    """The same desk with a second witness."""
    witness = RedisWitness(redis, give_up_seconds=POLICY.give_up_seconds, ask_again_seconds=())
    return replace(desk, witness=witness)


async def attempts(database: Database) -> list[int]:
    """Of all messages, by position."""
    return [row["attempt"] for row in await message_rows(database)]


def left(stub: Stub) -> Counter[str]:
    """How often each number was handed over."""
    return Counter(line.message.phone for line in stub.ledger)


async def send_and_forget(database: Database, desk: Desk, count: int = 3) -> object:
    """A campaign that is sent, and a database that does not know it any more. Gives its id."""
    taken = await submit(database, phones(count))
    await keep_backup(database)
    await send_one(database, desk)
    await go_back(database)
    return taken.id


async def test_what_left_before_is_in_doubt_and_does_not_leave_again(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    stub = Stub("main")
    desk = witnessed(make_desk(stub), redis)
    campaign_id = await send_and_forget(database, desk)

    verdict = await send_one(database, desk)

    assert left(stub) == {FIRST: 1, SECOND: 1, THIRD: 1}
    assert verdict.left_before_count == 3
    assert [(row["state"], row["reason"]) for row in await message_rows(database)] == [
        ("in_doubt", FORGOTTEN)
    ] * 3
    overview = await reading.status(database, campaign_id)
    assert overview.reasons == [Reason(None, FORGOTTEN, 3)]
    assert not reading.is_wholly_refused(overview)
    assert await wrong_tallies(database) == []


@pytest.mark.parametrize(
    "hindrance", [NotSent("refused"), Throttled(None, "HTTP 429"), AccountTrouble("32", "no money")]
)
async def test_what_was_not_taken_before_the_database_forgot_it_leaves(
    database: Database, make_desk: MakeDesk, redis: Redis, hindrance: Outcome
) -> None:
    stub = Stub("main", outcomes={SECOND: [hindrance]}, max_recipients_per_request=1, concurrency=3)
    desk = witnessed(make_desk(stub), redis)
    await send_and_forget(database, desk)
    await accounts.resume(database, "main")

    await send_one(database, desk)

    assert await states(database) == [D, A, D]
    assert left(stub) == {FIRST: 1, SECOND: 2, THIRD: 1}


async def test_without_a_second_witness_all_of_it_leaves_again(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    """Redis wiped: then PostgreSQL keeps the promise alone, and it has forgotten."""
    stub = Stub("main")
    desk = witnessed(make_desk(stub), redis)
    await send_and_forget(database, desk)
    await redis.flushdb()

    await send_one(database, desk)

    assert left(stub) == {FIRST: 2, SECOND: 2, THIRD: 2}


async def test_an_operator_may_have_it_sent_again(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    stub = Stub("main")
    desk = witnessed(make_desk(stub), redis)
    campaign_id = await send_and_forget(database, desk)
    await send_one(database, desk)

    await rescue.resolve(
        database, POLICY, campaign_id, "resend", raw_phone=SECOND, region=None, operator="ona"
    )
    await send_one(database, desk)

    assert await states(database) == [D, A, D]
    assert left(stub) == {FIRST: 1, SECOND: 2, THIRD: 1}


async def test_a_provider_that_can_be_asked_settles_it(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    """What it has is followed to its end; what it never had is sent."""
    stub = Stub("main", outcomes={SECOND: [InDoubt("cut")]}, settles_doubt_after_seconds=0)
    desk = witnessed(make_desk(stub), redis)
    campaign_id = await send_and_forget(database, desk)
    stub.ledger = [line for line in stub.ledger if line.message.phone != SECOND]

    overview = await flow(database, desk, campaign_id)

    assert overview.totals[MessageState.DELIVERED] == 3
    assert left(stub) == {FIRST: 1, SECOND: 1, THIRD: 1}
    assert await attempts(database) == [1, 2, 1]


async def test_it_is_looked_for_since_its_campaign_was_taken_in(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    """It may have left long ago: asked for a later time, a provider would say that it has no such message."""
    asked = []

    class Asked(Stub):
        async def look_up(self, doubtful, wait_for_pace):  # type: ignore[no-untyped-def]
            asked.extend(doubtful)
            return await super().look_up(doubtful, wait_for_pace)

    stub = Asked("main", settles_doubt_after_seconds=0)
    desk = witnessed(make_desk(stub), redis)
    campaign_id = await send_and_forget(database, desk, 1)

    await flow(database, desk, campaign_id)

    overview = await reading.status(database, campaign_id)
    assert [each.handed_over_after for each in asked] == [overview.created_at]


@pytest.mark.parametrize(
    "trouble", [AccountTrouble("32", "no money"), CampaignTrouble("9", "sender", "sender")]
)
async def test_an_attempt_that_is_not_spent_is_made_again(
    database: Database, make_desk: MakeDesk, redis: Redis, trouble: Outcome
) -> None:
    stub = Stub("main", outcomes={row["phone"]: [trouble] for row in phones(3)})
    desk = witnessed(make_desk(stub), redis)
    taken = await submit(database, phones(3))
    await send_one(database, desk)
    assert (await states(database), await attempts(database)) == ([Q] * 3, [0] * 3)
    await accounts.resume(database, "main")
    await campaign_hold.resume(database, taken.id, operator="ona") if isinstance(
        trouble, CampaignTrouble
    ) else None

    await send_one(database, desk)

    assert (await states(database), await attempts(database)) == ([A] * 3, [1] * 3)


async def test_where_redis_may_still_know_an_attempt_it_is_spent(
    database: Database, make_desk: MakeDesk, lossy: LossyRedis
) -> None:
    async def redis_goes() -> None:
        lossy.lost = 1

    trouble = AccountTrouble("32", "no money")
    stub = Stub("main", outcomes={row["phone"]: [trouble] for row in phones(3)}, before_answer=redis_goes)
    desk = witnessed(make_desk(stub), lossy)
    await submit(database, phones(3))
    await send_one(database, desk)
    assert (await states(database), await attempts(database)) == ([Q] * 3, [1] * 3)
    await accounts.resume(database, "main")

    await send_one(database, desk)

    assert (await states(database), await attempts(database)) == ([A] * 3, [2] * 3)


async def test_nothing_leaves_while_redis_does_not_say_whether_it_may(
    database: Database, make_desk: MakeDesk, lossy: LossyRedis
) -> None:
    """The marks were set, though nothing left: in doubt, as nobody can know that."""
    stub = Stub("main")
    desk = witnessed(make_desk(stub), lossy)
    await submit(database, phones(3))
    lossy.lost = 1

    verdict = await send_one(database, desk)

    assert stub.ledger == []
    assert (await states(database), await attempts(database)) == ([Q] * 3, [0] * 3)
    assert verdict.trouble == "Redis did not say whether it left before: ConnectionError"
    await make_due(database)
    await send_one(database, desk)
    assert (await states(database), await attempts(database)) == ([D] * 3, [1] * 3)
    assert stub.ledger == []


async def test_what_redis_did_not_hear_of_leaves_when_it_is_back(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, phones(3))
    async with Redis(host="127.0.0.1", port=1) as away:
        await send_one(database, witnessed(desk, away))
    assert (await states(database), await attempts(database)) == ([Q] * 3, [0] * 3)

    await make_due(database)
    await send_one(database, witnessed(desk, redis))

    assert (await states(database), await attempts(database)) == ([A] * 3, [1] * 3)


async def test_what_left_before_does_not_leave_after_a_lost_answer(
    database: Database, make_desk: MakeDesk, lossy: LossyRedis
) -> None:
    """PostgreSQL forgot it and Redis could not say so: asked again, the same attempt must be asked about."""
    stub = Stub("main")
    desk = witnessed(make_desk(stub), lossy)
    await send_and_forget(database, desk)
    lossy.lost = 1
    await send_one(database, desk)
    await make_due(database)

    await send_one(database, desk)

    assert left(stub) == {FIRST: 1, SECOND: 1, THIRD: 1}
    assert await states(database) == [D] * 3


async def test_a_worker_that_froze_before_it_told_the_witness_lets_nothing_leave(
    database: Database, make_desk: MakeDesk, redis: Redis
) -> None:
    """Frozen past its lease after the intent: meanwhile it was in doubt, and a person had it sent again."""
    stub = Stub("main")
    desk = witnessed(make_desk(stub), redis)
    taken = await submit(database, phones(1))
    (dealt,) = await batching.deal_sending(database, desk)

    class Frozen:
        async def mark(self, campaign_id, number, attempts):  # type: ignore[no-untyped-def]
            async with database.connection() as connection:
                await connection.execute("UPDATE batch SET leased_until = now() - interval '1 s'")
            await rescue.rescue(database)
            await rescue.resolve(
                database, POLICY, taken.id, "resend", raw_phone=None, region=None, operator="ona"
            )
            await send_one(database, desk)
            assert desk.witness is not None
            return await desk.witness.mark(campaign_id, number, attempts)

    verdict = await sending.send_batch(database, replace(desk, witness=Frozen(), worker="frozen"), dealt)

    assert verdict.state is None
    assert left(stub) == {FIRST: 1}
    assert await states(database) == [A]
