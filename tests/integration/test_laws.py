"""The laws of state, held against the real store by a machine that tries everything in any order.

Its workers are real tasks of the stages, stopped at any gate (see gated_workers.py) while leases run out,
rescue comes by, campaigns are paused, accounts held, and other workers take the same batches over. Beside the
database it keeps the provider's ledger, and after each step it asks: may each message have changed as it
did, does every sum hold, was anything taken twice?
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import asyncpg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from redis.asyncio import Redis

from campaigns import batching
from campaigns.domain.states import CampaignState
from campaigns.pacing.witness import RedisWitness
from tests.conftest import POLICY, open_database
from tests.integration.laws_people import People
from tests.integration.laws_watched import ACCOUNTS, NO_MOVES, OF_CANCEL, World, seeds
from tests.integration.laws_workers import Workers
from tests.river import phones, submit
from worker.stack.embedded.servers import ServerUrls


class Laws(Workers, People):
    """Every rule is something that may happen at any moment in any process."""

    @initialize(seed=seeds)
    def begin(self, seed: bytes) -> None:
        self.submit(self.chance(seed))

    def chance(self, seed: bytes) -> Random:
        """The same seed draws otherwise at every step: Hypothesis is fond of a few numbers."""
        self.step_count += 1
        return Random(seed + self.step_count.to_bytes(2))

    # Few rules of many acts, each with workers at work: Hypothesis leaves rules out at random, and a machine
    # that never deals tries nothing at all. The acts are drawn evenly from a seed of Hypothesis's.

    @rule(seed=seeds, acts=st.integers(1, 4))
    def workers_work(self, seed: bytes, acts: int) -> None:
        self.work(self.chance(seed), acts)

    def work(self, chance: Random, acts: int) -> None:
        for _ in range(acts):
            possible: list[Callable[[], None]] = [self.deal]
            if not self.dealt and not self.workers and len(self.campaigns) < 8:
                possible += [lambda: self.submit(chance)]
            if self.dealt:
                possible += [lambda: self.take_up(chance)] * 6
            if self.workers:
                possible += [lambda: self.go_on(chance)] * 8 + [lambda: self.go_to_the_end(chance)] * 2
                possible += [lambda: self.crash(chance)] * 2
                possible += [lambda: self.call_back(chance)]
            if self.old:
                possible += [lambda: self.repeat(chance)]
            chance.choice(possible)()

    @rule(seed=seeds, acts=st.integers(0, 3))
    def time_passes(self, seed: bytes, acts: int) -> None:
        chance = self.chance(seed)
        self.work(chance, acts)
        act = chance.choice(["run out", "rescue", "freeze"] * 3 + ["two rescues", "deadline"])
        match act:
            case "run out":
                self.leases_run_out(chance)
            case "two rescues":
                self.two_rescues_at_once()
            case "freeze" if self.workers:
                self.freeze(chance)
            case "deadline":
                self.deadline_passes(chance)
        if act == "rescue" or chance.random() < 0.5:
            self.rescue()

    @rule(seed=seeds, acts=st.integers(0, 3))
    def people_act(self, seed: bytes, acts: int) -> None:
        chance = self.chance(seed)
        self.work(chance, acts)
        possible: list[Callable[[], None]] = [
            *[self.resume_accounts] * 3,
            *[lambda: self.resolve(chance)] * 4,
            *[self.resend_the_doubtful] * 3,
            *[self.finish] * 4,
            *[lambda: self.resume(chance)] * 4,
            lambda: self.change_state(chance, CampaignState.PAUSED, NO_MOVES),
            lambda: self.change_state(chance, CampaignState.CANCELLED, OF_CANCEL),
            lambda: self.cancel_in_flight(chance),
            lambda: self.hold_account(chance),
            lambda: self.opt_out(chance),
            *[lambda: self.call_back(chance)] * 4,
        ]
        if len(self.campaigns) < 8:
            possible += [lambda: self.submit(chance)] * 5
        chance.choice(possible)()

    def submit(self, chance: Random) -> None:
        rows = phones(chance.randint(1, 7), first=100 * len(self.campaigns))
        account, on_doubt = chance.choice(ACCOUNTS), chance.choice(["hold", "resend"])
        made = self.run(submit(self.database, rows, account=account, batch_size=3, on_doubt=on_doubt))
        self.campaigns.append(made.id)
        self.account_of[made.id] = account
        self.look(new=True)

    def deal(self) -> None:
        for kind, deal in (("send", batching.deal_sending), ("poll", batching.deal_polling)):
            with self.changing(NO_MOVES):
                dealt = self.run(deal(self.database, self.desk()))
            self.dealt += [(kind, each) for each in dealt]
            self.took(f"dealt to {kind}", len(dealt))


EVERY_PATH = {
    *("dealt to send", "dealt to poll", "taken up", "came too late", "repeated", "ended"),
    *("ended without a lease", "intent written", "intent refused"),
    *(f"crashed at {gate}" for gate in ("prepare", "pace", "leave", "answer")),
    *("answer fenced off", "polled", "evidence merged"),
    *(f"written {outcome}" for outcome in ("Accepted", "InDoubt", "Rejected", "Throttled", "NotSent")),
    *(
        "written AccountTrouble",
        "written CampaignTrouble",
        "campaign resumed",
        "lease ran out",
        "rescued a lease",
        "put in doubt",
        "gave up unsent",
    ),
    *("gave up unknown", "cleared a cancelled batch", "deadline passed", "campaign paused"),
    *("campaign running", "campaign cancelled", "campaign ended", "account held", "account resumed"),
    *(
        "suppressed at the intent",
        "settled to the last",
        "found in doubt",
        "absent, queued again",
        "called back",
    ),
}
"""What a run must have met to be worth anything. The rarer ones (an operator's word, a fenced poll, a crash
after a write) are printed, and have tests of their own: chance must not decide whether this one passes.
"""


_SETTINGS = settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck))

_MOST_GOES = 8


async def without_waiting_for_the_disk(database_url: str) -> None:
    """Who sees what, and when, does not depend on it; the time of ten thousand commits does."""
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await connection.close()


@pytest.mark.timeout(600)
def test_the_laws_hold_whatever_happens_in_whatever_order(database_url: str, servers: ServerUrls) -> None:
    paths: Counter[str] = Counter()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(without_waiting_for_the_disk(database_url))
        database = open_database(database_url)
        redis = Redis.from_url(servers.redis_client_url)
        witness = RedisWitness(redis, give_up_seconds=POLICY.give_up_seconds)
        Laws.world = World(runner, database, witness, paths)
        try:
            # Once is enough as a rule; a path that is rare may want another go. Each go has its own seed:
            # Hypothesis draws the same examples every time where the environment says CI.
            for go in range(_MOST_GOES):
                run_state_machine_as_test(seed(go)(Laws) if go else Laws, settings=_SETTINGS)
                if all(paths[path] for path in EVERY_PATH):
                    break
        finally:
            runner.run(database.close())
            runner.run(redis.aclose())

    print("\n".join(f"{times:6} {path}" for path, times in sorted(paths.items())))  # noqa: T201  for -s
    assert not {path for path in EVERY_PATH if not paths[path]}
