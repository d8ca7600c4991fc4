"""Whatever a database forgets, and whenever: nothing is sent twice but by a person's word or the provider's.

A machine like that of test_laws, for a single campaign. Its database may go back to any backup of it at any
moment, its Redis may lose answers; what the provider took is counted beside both.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from campaigns import batching, receipts, rescue, sending
from campaigns.domain.circuit import Circuit
from campaigns.domain.errors import NotAllowed
from campaigns.domain.message_ref import message_ref
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Doubtful,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    Sighting,
    Sightings,
    Throttled,
    WaitForPace,
)
from campaigns.pacing.witness import RedisWitness
from campaigns.store.holding import accounts
from campaigns.store.session import Database
from tests.conftest import POLICY, no_wait, open_database
from tests.integration.rows import make_due, message_rows, query, run_out
from tests.integration.witnessing import LossyRedis, forget_backup, go_back, keep_backup
from tests.river import phones, submit
from tests.stub import Stub
from worker.stack.embedded.servers import ServerUrls

T = TypeVar("T")
COUNT, BATCH = 6, 3
NOT_TAKEN = (NotSent("refused"), Throttled(None, "HTTP 429"), AccountTrouble("32", "no money"))
FATES = st.lists(st.sampled_from(["taken", "taken", "unseen", "lost", *NOT_TAKEN]), min_size=1, max_size=4)


class Provider(Stub):
    """Takes or refuses each request as it was told last, and can say honestly what it has."""

    def __init__(self, taken: Counter[str]) -> None:
        super().__init__("main", max_recipients_per_request=2, settles_doubt_after_seconds=0)
        self.taken = taken
        self.fates: list[Any] = []
        self.absent: list[str] = []

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        fate = self.fates.pop(0) if self.fates else "taken"
        refs = [message.message_ref for message in request]
        if fate in {"taken", "unseen"}:
            self.taken.update(refs)
        if fate == "taken":
            return [Accepted(f"id-{ref}") for ref in refs]
        return [InDoubt("cut") if fate in {"unseen", "lost"} else fate for _ in refs]

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        refs = [each.message_ref for each in doubtful]
        self.absent += [ref for ref in refs if not self.taken[ref]]
        seen = [Sighting(f"id-{ref}", None, "there", message_ref=ref) for ref in refs if self.taken[ref]]
        return Sightings(seen, [ref for ref in refs if not self.taken[ref]])


@dataclass(frozen=True)
class World:
    """What outlives an example."""

    runner: asyncio.Runner
    database: Database
    redis: LossyRedis
    met: Counter[str]


class Forgetting(RuleBasedStateMachine):
    """Every rule is something that may happen at any moment."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[str] = Counter()
        self.allowed: Counter[str] = Counter()
        self.provider = Provider(self.taken)
        witness = RedisWitness(
            self.world.redis, give_up_seconds=POLICY.give_up_seconds, ask_again_seconds=(0,)
        )
        account = Account(self.provider, no_wait, 1000, Circuit(threshold=10**6))
        self.desk = Desk({"main": account}, POLICY, "worker", lambda: 0.5, witness=witness)
        self.campaign_id = UUID(int=0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.world.runner.run(work)

    @initialize()
    def begin(self) -> None:
        made = self.run(submit(self.world.database, phones(COUNT), batch_size=BATCH))
        self.campaign_id = made.id
        self.run(keep_backup(self.world.database))

    @rule(fates=FATES, lost=st.sampled_from([0, 0, 0, 1, 2, 5]))
    def send(self, fates: list[Any], lost: int) -> None:
        """Hand over what is due; so many answers of Redis are lost."""

        async def work() -> None:
            await accounts.resume(self.world.database, "main")
            await make_due(self.world.database)
            for dealt in await batching.deal_sending(self.world.database, self.desk):
                verdict = await sending.send_batch(self.world.database, self.desk, dealt)
                self.world.met["left before"] += verdict.left_before_count

        self.provider.fates, self.world.redis.lost = fates, lost
        self.run(work())
        self.world.redis.lost = 0

    @rule()
    def ask(self) -> None:
        """The provider says what it has; what it does not have may be sent again."""

        async def work() -> None:
            await make_due(self.world.database)
            for dealt in await batching.deal_polling(self.world.database, self.desk):
                await receipts.poll_batch(self.world.database, self.desk, dealt)

        self.run(work())
        self.world.met["absent"] += len(self.provider.absent)
        self.provider.absent.clear()

    @rule()
    def resend(self) -> None:
        """A person has what is in doubt sent again."""
        doubtful = self.in_state("in_doubt")
        try:
            word = rescue.resolve(
                self.world.database, POLICY, self.campaign_id, "resend",
                raw_phone=None, region=None, operator="Ona",
            )  # fmt: skip
            self.run(word)
        except NotAllowed:
            return
        self.allowed.update(doubtful)

    @rule()
    def die(self) -> None:
        """A worker dies with a batch that it was dealt."""

        async def work() -> None:
            await batching.deal_sending(self.world.database, self.desk)
            await run_out(self.world.database)
            await rescue.rescue(self.world.database)

        self.run(work())

    @rule()
    def back_up(self) -> None:
        """From now on it goes back to here."""
        self.run(forget_backup(self.world.database))
        self.run(keep_backup(self.world.database))

    @rule(fates=FATES, lost=st.sampled_from([0, 0, 1, 2]), asks=st.booleans())
    def forget(self, fates: list[Any], lost: int, asks: bool) -> None:
        """The database goes back to its backup, and work goes on from there."""
        self.run(go_back(self.world.database))
        self.world.met["went back"] += 1
        self.send(fates, lost)
        if asks:
            self.ask()

    def in_state(self, state: str) -> list[str]:
        rows = self.run(
            query(
                self.world.database,
                "SELECT b.campaign_id, b.number, m.position FROM message m JOIN batch b ON b.id = m.batch_id"
                " WHERE m.state::text = $1",
                state,
            )
        )
        return [message_ref(row["campaign_id"], row["number"], row["position"]) for row in rows]

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        for ref, count in self.taken.items():
            assert count <= 1 + self.allowed[ref], "taken twice"

    @invariant()
    def nothing_is_lost(self) -> None:
        if self.campaign_id.int:
            assert len(self.run(message_rows(self.world.database))) == COUNT

    def teardown(self) -> None:
        for delete in ("DELETE FROM message", "DELETE FROM campaign", "DELETE FROM account_hold"):
            self.run(query(self.world.database, delete))
        self.run(forget_backup(self.world.database))
        self.run(self.world.redis.flushdb())


@pytest.mark.timeout(600)
def test_nothing_is_sent_twice_whatever_the_database_forgets(database_url: str, servers: ServerUrls) -> None:
    met: Counter[str] = Counter()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        database = open_database(database_url)
        redis = LossyRedis.from_url(servers.redis_client_url)
        assert isinstance(redis, LossyRedis)
        Forgetting.world = World(runner, database, redis, met)
        try:
            run_state_machine_as_test(
                Forgetting,
                settings=settings(
                    max_examples=25,
                    stateful_step_count=25,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(redis.aclose())
            runner.run(database.close())
    print(dict(met))  # noqa: T201  for -s
    assert met["left before"]
    assert met["went back"]
    assert met["absent"]
