"""The laws of state, held against the real store by a machine that tries everything in any order.

Its workers are real tasks of the stages, stopped at any gate (see puppets.py) while leases run out, rescue
comes by, campaigns are paused, accounts held, and other workers take the same batches over. Beside the
database it keeps the provider's ledger, and after each step it asks: may each message have changed as it
did, does every sum hold, was anything taken twice?
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from campaigns import aggregation, batching, holding, receipts, rescue, sending, suppression
from campaigns.domain.circuit import Circuit, NewHold
from campaigns.domain.errors import NotAllowed
from campaigns.domain.message_ref import message_ref
from campaigns.domain.outcomes import of_one_request
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    Throttled,
)
from campaigns.domain.states import (
    EVIDENCE,
    OPEN,
    POLLABLE,
    RANK,
    SETTLED,
    CampaignState,
    MessageState,
    may_change,
    merge,
)
from campaigns.pacing.witness import RedisWitness
from campaigns.store.holding import accounts
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.leases import Dealt
from campaigns.store.rescue.resolution import Word
from campaigns.store.session import Database
from tests.conftest import POLICY, no_wait, open_database
from tests.integration.puppets import LOST_UNSEEN, TAKEN, TAKEN_UNSEEN, Fate, Puppet, Worker
from tests.integration.rows import pass_deadlines, query, run_out
from tests.river import phones, submit
from tests.stub import Stub
from worker.stack.embedded.servers import ServerUrls

T = TypeVar("T")
State = MessageState
ACCOUNTS = ("main", "other")
CAN_BE_ASKED = "main"
Q, S, D, A = State.QUEUED, State.SENDING, State.IN_DOUBT, State.ACCEPTED
ONLY_TAKEN = frozenset({*POLLABLE, State.EXPIRED, State.UNDELIVERED, State.DELIVERED, State.READ})
"""States that only a message can have which the provider took."""

Moves = frozenset[tuple[State, State]]
NO_MOVES: Moves = frozenset()


def moves(of: Collection[State], to: Collection[State]) -> Moves:
    """What the law allows a message that was handed over before: from any of these to any of those."""
    return frozenset((before, after) for before in of for after in to if may_change(before, after, 1))


HANDED_OVER = OPEN | EVIDENCE
OF_HAND_OVER = moves([Q], [S, State.SUPPRESSED])
OF_RECEIPT = moves([Q, *HANDED_OVER], EVIDENCE)
OF_ANSWER = moves([S], [D, Q]) | moves([Q, *HANDED_OVER], [A, State.REJECTED, State.FAILED])
# What was asked for may have been raised by a callback before the answer comes.
OF_POLL = moves(EVIDENCE, EVIDENCE)
# What a person had queued again is seen at the provider before it leaves: it does not leave.
OF_LOOK_UP = OF_POLL | moves([D, Q], EVIDENCE) | moves([D], [Q])
OF_RESCUE = moves([S], [D]) | moves(OPEN, [State.UNKNOWN]) | moves([Q], [State.FAILED, State.CANCELLED])
OF_REFUSAL = moves([S], [Q]) | moves(HANDED_OVER, [State.REJECTED])
OF_CANCEL = moves([Q], [State.CANCELLED])
OF_RESEND = moves([D], [Q])
OF_ASSUMING = moves([D], [State.UNKNOWN])

NOT_TAKEN = [
    Fate(False, outcome)
    for outcome in (
        Rejected("13", "blacklist"),
        Failed("12", "error"),
        Throttled(None, "HTTP 429"),
        NotSent("connection refused"),
        NotSent("clock", retry_at_once=True),
        AccountTrouble("32", "no money"),
        CampaignTrouble("9", "sender name not registered", "sender"),
    )
]
FATES = [*[TAKEN] * 8, *[TAKEN_UNSEEN, LOST_UNSEEN] * 2, *NOT_TAKEN]
WORDS = [*sorted(EVIDENCE, key=RANK.__getitem__), State.SENT, State.BUFFERED, "teleported"]
seeds = st.binary(min_size=8, max_size=8)


def rank(state: State) -> int:
    return RANK[state]


def expected(outcome: Outcome) -> State:
    """What a message is once its outcome is written down."""
    match outcome:
        case Accepted():
            return A
        case Rejected():
            return State.REJECTED
        case Failed():
            return State.FAILED
        case InDoubt():
            return D
        case Throttled() | NotSent() | AccountTrouble() | CampaignTrouble():
            return Q


@dataclass(frozen=True)
class Message:
    """A message as it stands."""

    ref: str
    batch_id: int
    state: State
    attempt: int
    provider_message_id: str | None
    reason: str | None
    phone: str


@dataclass(frozen=True)
class World:
    """What outlives an example: the loop, the database, and which paths were taken."""

    runner: asyncio.Runner
    database: Database
    witness: RedisWitness
    paths: Counter[str]


_MESSAGES = """
    SELECT b.campaign_id, b.number, m.position, m.batch_id, m.state::text, m.attempt,
           m.provider_message_id, m.reason, m.phone
    FROM message m JOIN batch b ON b.id = m.batch_id ORDER BY m.batch_id, m.position
"""
_BATCHES = f"""
    SELECT id, campaign_id, state::text AS state, lease, leased_for, leased_by, leased_until, poll_at,
           message_count, leased_until <= now() AS is_run_out, give_up_at <= now() AS is_too_late,
           {", ".join(TALLY_COLUMNS)}
    FROM batch ORDER BY id
"""  # noqa: S608  our own column names
_CAMPAIGNS = """
    SELECT id, state::text AS state, recipient_count, finished_at,
           EXISTS (SELECT FROM account_hold h WHERE h.account = c.account)
           OR EXISTS (SELECT FROM campaign_hold h WHERE h.campaign_id = c.id AND lifted_at IS NULL) AS is_held
    FROM campaign c
"""


class Laws(RuleBasedStateMachine):
    """Every rule is something that may happen at any moment in any process."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[str] = Counter()  # the provider's ledger
        self.allowed: Counter[str] = Counter()  # how often it may take each: more than once only by request
        self.campaigns: list[UUID] = []
        self.account_of: dict[UUID, str] = {}
        self.waiting: list[tuple[str, Receipt]] = []  # receipts that matched no message so far
        self.dealt: list[tuple[str, Dealt]] = []
        self.old: list[tuple[str, Dealt]] = []
        self.workers: list[Worker] = []
        self.messages: dict[str, Message] = {}
        self.opted_out: set[str] = set()
        self.refused: set[str] = (
            set()
        )  # for their sender, at some time: whose fault that is, is decided later
        self.batches: dict[int, dict[str, Any]] = {}
        self.states_of_campaigns: dict[UUID, dict[str, Any]] = {}
        self.may: Moves = NO_MOVES
        self.is_sound = True
        self.is_stale = False
        self.step_count = 0
        self.circuits = {name: Circuit() for name in ACCOUNTS}

    # --- what the rules use ---

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until `work` is done; workers that stand at a gate stay there."""
        self.is_stale = True
        return self.world.runner.run(work)

    @property
    def database(self) -> Database:
        return self.world.database

    def took(self, path: str, times: int = 1) -> None:
        self.world.paths[path] += times

    @contextmanager
    def changing(self, moves: Moves) -> Iterator[Mapping[str, Message]]:
        """Within it messages may move so and not otherwise. Gives them as they were."""
        assert not self.is_stale
        self.may = moves
        yield dict(self.messages)
        self.look()

    def desk(self, puppet: Puppet | None = None) -> Desk:
        found = {}
        for name in ACCOUNTS:
            provider, wait_for_pace = (puppet, puppet.wait_for_pace) if puppet else (Stub(name), no_wait)
            found[name] = Account(provider, wait_for_pace, 1000, self.circuits[name])
        policy = replace(POLICY, lease_seconds=1800)
        return Desk(found, policy, "worker", lambda: 0.5, witness=self.world.witness)

    # --- submission, dealing ---

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

    # --- workers ---

    def start(self, kind: str, dealt: Dealt) -> Worker:
        async def begin() -> Worker:
            account = self.account_of[self.batches[dealt.batch_id]["campaign_id"]]
            puppet = Puppet(self.taken, can_be_asked=account == CAN_BE_ASKED)
            stage = sending.send_batch if kind == "send" else receipts.poll_batch
            worker = Worker(puppet, dealt, stage(self.database, self.desk(puppet), dealt))
            await worker.go()
            return worker

        return self.run(begin())

    def take_up(self, chance: Random, which: tuple[str, Dealt] | None = None) -> None:
        kind, dealt = which or chance.choice(self.dealt)
        self.dealt.remove((kind, dealt))
        self.old.append((kind, dealt))
        row = self.batches[dealt.batch_id]
        is_open = (row["state"], row["lease"], row["leased_for"]) == (
            "leased",
            dealt.lease,
            {"send": "sending", "poll": "polling"}[kind],
        ) and not row["is_run_out"]
        with self.changing(NO_MOVES):
            worker = self.start(kind, dealt)
            assert (worker.gate is not None or kind == "poll") or not is_open
            if worker.gate is not None:
                assert is_open
                self.workers.append(worker)
            self.took("taken up" if is_open else "came too late")

    def repeat(self, chance: Random) -> None:
        """A task that is run a second time, or under the name of the other stage, does nothing."""
        _, dealt = chance.choice(self.old)
        with self.changing(NO_MOVES):
            worker = self.start(chance.choice(["send", "poll"]), dealt)
            assert worker.gate is None
            assert worker.task.result().state is None
            self.took("repeated")

    def go_on(self, chance: Random) -> None:
        self.step(chance.choice(self.workers), chance)

    def go_to_the_end(self, chance: Random) -> None:
        worker = chance.choice(self.workers)
        while worker.gate is not None:
            self.step(worker, chance)

    def crash(self, chance: Random) -> None:
        worker = self.one_in_the_thick_of_it(chance)
        self.workers.remove(worker)
        if worker.puppet.outcomes and worker.gate == "pace":
            self.took("crashed after a write")
        self.took(f"crashed at {worker.gate}")
        with self.changing(NO_MOVES):
            self.run(worker.cut())

    def one_in_the_thick_of_it(self, chance: Random) -> Worker:
        weights = [1 if worker.gate == "prepare" else 6 for worker in self.workers]
        return chance.choices(self.workers, weights)[0]

    def step(self, worker: Worker, chance: Random) -> None:
        """One gate further; then what it wrote is held against what it was told."""
        puppet = worker.puppet
        gate = worker.gate
        if gate == "prepare":
            self.pass_gate(worker, chance.random() < 0.9, NO_MOVES)
        elif gate == "pace":
            may_begin = self.may_begin(worker)
            before = self.pass_gate(worker, chance.random() < 0.9, OF_HAND_OVER)
            changed = {ref for ref, was in before.items() if self.messages[ref].state is not was.state}
            changed = {ref for ref in changed if before[ref].state is Q}  # else it was refused before
            begun = {ref for ref in changed if self.messages[ref].state is S}
            assert begun == (set(puppet.request) if worker.gate == "leave" else set())
            assert may_begin or not changed
            for ref in begun:
                assert self.messages[ref].attempt == before[ref].attempt + 1
            for ref in changed:
                assert (ref in begun) is (self.messages[ref].phone not in self.opted_out)
            self.took("intent written" if begun else "intent refused")
            self.took("suppressed at the intent", len(changed - begun))
        elif gate == "leave":
            request = [chance.choice(FATES) for _ in puppet.request]
            if chance.random() < 0.3:
                request = request[:1] * len(request)
            if self.batches[worker.dealt.batch_id]["state"] != "leased":
                self.took("left late")
            self.pass_gate(worker, request, NO_MOVES)
        elif gate == "answer":
            how = chance.choice(["well"] * 8 + ["breaks", "miscounts"])
            before = self.pass_gate(worker, how, OF_ANSWER)
            self.check_written(worker, before)
        elif gate == "ask":
            self.step_poll(worker, chance)
        elif gate == "look up":
            self.step_look_up(worker, chance)
        if worker.gate is None:
            self.workers.remove(worker)
            self.took("ended" if worker.task.result().state else "ended without a lease")

    def may_begin(self, worker: Worker) -> bool:
        """Whether something may leave under this worker's lease."""
        row = self.batches[worker.dealt.batch_id]
        campaign = self.states_of_campaigns[row["campaign_id"]]
        return (
            (row["state"], row["lease"]) == ("leased", worker.dealt.lease)
            and not row["is_run_out"]
            and not row["is_too_late"]
            and campaign["state"] in {"accepted", "running"}
            and not campaign["is_held"]
        )

    def pass_gate(self, worker: Worker, decision: Any, moves: Moves) -> Mapping[str, Message]:
        with self.changing(moves) as before:
            self.run(worker.go(decision))
        return before

    def check_written(self, worker: Worker, before: Mapping[str, Message]) -> None:
        is_lost = worker.gate is None and worker.task.result().state is None
        if is_lost:
            assert self.messages == before
            assert worker.task.result().trouble == "lease lost"
            self.took("answer fenced off")
            return
        for ref, outcome in zip(worker.puppet.request, of_one_request(worker.puppet.outcomes), strict=True):
            after = self.messages[ref]
            was = before[ref].state
            if isinstance(outcome, CampaignTrouble):  # decided at once, or when more is known
                assert after.state in ({S, Q, State.REJECTED} if was is S else {was, State.REJECTED})
                self.refused.add(ref)
                self.took("written CampaignTrouble")
                continue
            # A receipt may have outrun the answer: then the higher of the two.
            assert after.state is (expected(outcome) if was is S else max(was, expected(outcome), key=rank))
            if was is not S:
                self.took("receipt outran the answer")
            spent = 0 if isinstance(outcome, AccountTrouble) and was is S else 1
            assert after.attempt == before[ref].attempt - 1 + spent
            if isinstance(outcome, Accepted):
                assert after.provider_message_id == outcome.provider_message_id
            self.took(f"written {type(outcome).__name__}")
        others = before.keys() - set(worker.puppet.request) - self.refused
        assert all(self.messages[ref] == before[ref] for ref in others)

    def step_poll(self, worker: Worker, chance: Random) -> None:
        asked = worker.puppet.asked
        drawn = [
            (chance.choice([*asked, "id-nobody"]), chance.choice(WORDS))
            for _ in range(chance.randrange(2 * len(asked) + 1))
        ]
        trouble = chance.choice([None, None, "HTTP 500"])
        said = [Receipt(i, w if isinstance(w, State) else None, str(w)) for i, w in drawn]
        worker.puppet.said = drawn
        before = self.pass_gate(worker, Answers(said, trouble), OF_POLL)
        if worker.gate is None:
            self.check_polled(worker, before, {}, ())
        else:
            assert self.messages == before

    def step_look_up(self, worker: Worker, chance: Random) -> None:
        """The provider says honestly of each, or of most, whether it has it."""
        told = [ref for ref in worker.puppet.doubted if chance.random() < 0.9]
        seen = {ref: chance.choice([A, State.SENT, State.DELIVERED]) for ref in told if self.taken[ref]}
        absent = [ref for ref in told if not self.taken[ref]]
        # One that was frozen between its last look at the clock and the first byte may still send it.
        frozen = [ref for each in self.workers if each.gate == "leave" for ref in each.puppet.request]
        for ref in absent:
            self.allowed[ref] += frozen.count(ref)
        sightings = [Sighting(f"id-{ref}", word, word.value, message_ref=ref) for ref, word in seen.items()]
        before = self.pass_gate(worker, Sightings(sightings, absent), OF_LOOK_UP)
        self.check_polled(worker, before, seen, absent)

    def check_polled(
        self,
        worker: Worker,
        before: Mapping[str, Message],
        seen: Mapping[str, State],
        absent: Sequence[str],
    ) -> None:
        if worker.task.result().state is None:
            assert self.messages == before
            self.took("poll fenced off")
            return
        for ref, was in before.items():
            ends = was.state
            for i, word in worker.puppet.said:
                if i == was.provider_message_id and i in worker.puppet.asked and isinstance(word, State):
                    ends = merge(ends, word)
                    self.took("evidence merged")
            if ref in seen:
                ends = merge(ends, seen[ref])
                self.took("found in doubt")
            if ref in absent and was.state is D:
                ends = Q
                self.took("absent, queued again")
            assert self.messages[ref].state is ends
        self.took("polled")

    def call_back(self, chance: Random) -> None:
        """The provider calls: of what it took, by its id, our reference, or both; sometimes to the wrong
        account, and sometimes of nobody's message.
        """
        known = [ref for ref, count in self.taken.items() if count] or ["0" * 32 + "-1-1"]
        came = []
        for _ in range(chance.randint(1, 5)):
            ref, word = chance.choice(known), chance.choice(WORDS)
            by_id, by_ref = chance.choice([(True, False), (False, True), (True, True)])
            right = self.account_of.get(UUID(ref[:32]), "main")
            account = right if chance.random() < 0.9 else chance.choice(ACCOUNTS)
            state = word if isinstance(word, State) else None
            came.append(
                (account, Receipt(f"id-{ref}" if by_id else None, state, str(word), ref if by_ref else None))
            )
        with self.changing(OF_RECEIPT) as before:
            self.run(receipts.take_in_many(self.database, came))
            self.run(query(self.database, "UPDATE waiting_receipt SET look_at = now()"))
            self.run(receipts.merge_waiting(self.database, self.desk()))
        ends = {ref: message.state for ref, message in before.items()}
        ids = {message.provider_message_id: ref for ref, message in before.items()}
        for each in (self.waiting, came):
            for account, receipt in list(each):
                ref = receipt.message_ref or ids.get(receipt.provider_message_id)
                if ref not in before or self.account_of[UUID(ref[:32])] != account:
                    if each is came:
                        self.waiting.append((account, receipt))
                    continue
                if each is self.waiting:
                    self.waiting.remove((account, receipt))
                    self.took("receipt found its message later")
                was = before[ref]
                if receipt.evidence and (rank(was.state) >= rank(S) or (was.state is Q and was.attempt)):
                    ends[ref] = max(ends[ref], receipt.evidence, key=rank)
        assert {ref: message.state for ref, message in self.messages.items()} == ends
        self.took("called back")

    # --- time, rescue, people ---

    def leases_run_out(self, chance: Random) -> None:
        leased = [batch_id for batch_id, row in self.batches.items() if row["state"] == "leased"]
        if leased:
            with self.changing(NO_MOVES):
                which = [None, chance.choice(leased)]
                if self.workers:
                    which += [self.one_in_the_thick_of_it(chance).dealt.batch_id] * 4
                self.run(run_out(self.database, chance.choice(which)))
            self.took("lease ran out")

    def freeze(self, chance: Random) -> None:
        """A worker stands still past its lease and then goes on, as if nothing had happened."""
        worker = self.one_in_the_thick_of_it(chance)
        with self.changing(NO_MOVES):
            self.run(run_out(self.database, worker.dealt.batch_id))
        self.took("lease ran out")
        self.rescue()
        if chance.random() < 0.7:  # and somebody else goes on in its place
            self.deal()
            again = [each for each in self.dealt if each[1].batch_id == worker.dealt.batch_id]
            for each in again[-1:]:
                self.take_up(chance, each)
                if chance.random() < 0.5:
                    self.go_on(chance)
        while worker.gate is not None:
            self.step(worker, chance)

    def rescue(self) -> None:
        with self.changing(OF_RESCUE) as before:
            run_out_before = {i for i, row in self.batches.items() if row["is_run_out"]}
            leased_before = {i for i, row in self.batches.items() if row["state"] == "leased"}
            done = self.run(rescue.rescue(self.database))
        assert done.lease_count == len(run_out_before)
        for ref, was in before.items():
            now = self.messages[ref].state
            if was.batch_id in leased_before - run_out_before:
                assert now is was.state  # never from the living
            if was.state is S and was.batch_id in run_out_before:
                assert now in {D, State.UNKNOWN}  # never back to queued
        self.took("rescued a lease", done.lease_count)
        self.took("put in doubt", done.in_doubt_count)
        self.took("gave up unsent", done.failed_count)
        self.took("gave up unknown", done.unknown_count)
        self.took("cleared a cancelled batch", done.cancelled_batch_count)
        self.took("set a batch aside", done.set_aside_count)

    def two_rescues_at_once(self) -> None:
        async def both() -> None:
            await asyncio.gather(rescue.rescue(self.database), rescue.rescue(self.database))

        with self.changing(OF_RESCUE):
            self.run(both())

    def deadline_passes(self, chance: Random) -> None:
        with self.changing(NO_MOVES):
            self.run(pass_deadlines(self.database, chance.choice(self.campaigns)))
        self.took("deadline passed")

    def change_state(
        self,
        chance: Random,
        target: CampaignState,
        moves: Moves,
        campaigns: Sequence[UUID] | None = None,
    ) -> None:
        campaign_id = chance.choice(campaigns or self.campaigns)
        with self.changing(moves):
            try:
                if self.run(aggregation.change_state(self.database, campaign_id, target)):
                    self.took(f"campaign {target}")
            except NotAllowed:
                self.took("campaign may not")

    def resume(self, chance: Random) -> None:
        """What is paused or on hold goes on."""
        with self.changing(NO_MOVES):
            for campaign_id in self.campaigns:
                try:
                    done = self.run(holding.resume_campaign(self.database, campaign_id, operator="Ona"))
                except NotAllowed:
                    self.took("campaign may not")
                else:
                    self.took("campaign running", done.was_paused)
                    self.took("campaign resumed", done.was_held)

    def cancel_in_flight(self, chance: Random) -> None:
        """Cancelled under a worker's hands: what it gives back afterwards is cleared by rescue."""
        leased = [row["campaign_id"] for row in self.batches.values() if row["state"] == "leased"]
        if leased:
            self.change_state(chance, CampaignState.CANCELLED, OF_CANCEL, [chance.choice(leased)])
            while self.workers:
                self.go_to_the_end(chance)
            self.rescue()

    def hold_account(self, chance: Random) -> None:
        with self.changing(NO_MOVES):
            account = chance.choice(ACCOUNTS)
            self.run(accounts.hold(self.database, account, NewHold("32", "no money", 30)))
        self.took("account held")

    def opt_out(self, chance: Random) -> None:
        waiting = [message.phone for message in self.messages.values() if message.state is Q]
        with self.changing(NO_MOVES):
            self.opted_out |= set(chance.sample(waiting, min(2, len(waiting))))
            self.run(suppression.suppress(self.database, sorted(self.opted_out), None, "said STOP"))

    def resume_accounts(self) -> None:
        with self.changing(NO_MOVES):
            for account in ACCOUNTS:
                self.took("account resumed", self.run(holding.resume_account(self.database, account)))

    def resolve(self, chance: Random) -> None:
        """An operator's word on what is in doubt: the one way a text may go out twice."""
        campaign_id = chance.choice(self.campaigns)
        word: Word = chance.choice(["resend", "assume_sent"])
        with self.changing(OF_RESEND if word == "resend" else OF_ASSUMING) as before:
            moved = 0
            try:
                moved = self.run(
                    rescue.resolve(
                        self.database, POLICY, campaign_id, word, raw_phone=None, region=None, operator="Ona"
                    )
                )
            except NotAllowed:
                assert word == "resend"
            if moved and word == "resend":
                self.allow_again(before)
        self.took(f"resolved: {word}", moved)

    def resend_the_doubtful(self) -> None:
        with self.changing(OF_RESEND) as before:
            self.run(query(self.database, "UPDATE message SET updated_at = updated_at - interval '1 hour'"))
            moved = self.run(rescue.resend(self.database, POLICY))
            if moved:
                self.allow_again(before)
        self.took("resent by the campaign's wish", moved)

    def allow_again(self, before: Mapping[str, Message]) -> None:
        for ref, now in self.run(self.read())[0].items():
            if (before[ref].state, now.state) == (D, Q):
                self.allowed[ref] += 1

    def finish(self) -> None:
        with self.changing(NO_MOVES):
            ended = self.run(aggregation.finish(self.database))
            self.run(aggregation.sum_up(self.database))
        self.took("campaign ended", len(ended))

    # --- the laws ---

    async def read(self) -> tuple[dict[str, Message], dict[int, dict[str, Any]], list[dict[str, Any]]]:
        async with self.database.connection() as connection:
            messages = await connection.fetch(_MESSAGES)
            batches = [dict(record) for record in await connection.fetch(_BATCHES)]
            campaigns = [dict(record) for record in await connection.fetch(_CAMPAIGNS)]
        found = {}
        for campaign_id, number, position, batch_id, state, *more in messages:
            ref = message_ref(campaign_id, number, position)
            found[ref] = Message(ref, batch_id, State(state), *more)
        return found, {row["id"]: row for row in batches}, campaigns

    @invariant()
    def every_law_holds(self) -> None:
        assert not self.is_stale  # every act looked at once at what it had done

    def look(self, *, new: bool = False) -> None:
        """Look at everything, hold it against the laws, and take it for what was before the next step."""
        self.is_sound = False
        messages, batches, campaigns = self.run(self.read())
        if new:
            for ref, message in messages.items():
                if ref not in self.messages:
                    assert message.state is (State.SUPPRESSED if message.phone in self.opted_out else Q)
                    self.messages[ref] = message
                    self.allowed[ref] = 1
        self.check_moves(messages)
        self.check_ledger(messages, batches)
        self.check_batches(messages, batches)
        self.check_campaigns(campaigns, messages, batches)
        self.messages, self.batches, self.may = messages, batches, NO_MOVES
        self.states_of_campaigns = {row["id"]: row for row in campaigns}
        self.is_sound, self.is_stale = True, False

    def check_moves(self, messages: Mapping[str, Message]) -> None:
        assert messages.keys() == self.messages.keys()  # none lost, none made
        for ref, was in self.messages.items():
            now = messages[ref]
            if now.state is not was.state:
                note(f"{ref[-3:]}: {was.state} -> {now.state}")
                is_decided = ref in self.refused and (was.state, now.state) in OF_REFUSAL
                assert is_decided or (was.state, now.state) in self.may
            if was.state in SETTLED:
                assert now.state is was.state or (RANK[now.state] > RANK[was.state] and now.state in EVIDENCE)

    def check_ledger(self, messages: Mapping[str, Message], batches: Mapping[int, Any]) -> None:
        for ref, message in messages.items():
            assert self.taken[ref] <= self.allowed[ref], "taken twice"
            assert self.taken[ref] <= message.attempt
            if self.taken[ref] and self.allowed[ref] == 1:
                assert message.state not in {Q, State.CANCELLED, State.SUPPRESSED}
                assert message.state is not State.FAILED or "not handed over" not in (message.reason or "")
            if not self.taken[ref]:
                assert message.state not in ONLY_TAKEN
            if message.state is S:
                row = batches[message.batch_id]
                assert (row["state"], row["leased_for"]) == ("leased", "sending")
            if message.provider_message_id is not None:
                assert RANK[message.state] >= RANK[A]

    def check_batches(self, messages: Mapping[str, Message], batches: Mapping[int, Any]) -> None:
        for batch_id, row in batches.items():
            states = Counter(m.state for m in messages.values() if m.batch_id == batch_id)
            tally = {state: row[column] for state, column in zip(State, TALLY_COLUMNS, strict=True)}
            assert tally == {state: states[state] for state in State}
            assert row["message_count"] == states.total()
            is_settled = states.keys() <= SETTLED
            match row["state"]:
                case "done":
                    assert is_settled
                case "tracking":
                    assert not is_settled
                    assert not states[Q]
                case "ready":
                    assert states[Q]
            has_pollable = any(
                m.state in POLLABLE and m.provider_message_id
                for m in messages.values()
                if m.batch_id == batch_id
            )
            if row["state"] != "leased":  # nothing is forgotten
                if has_pollable or (states[D] and self.account_of[row["campaign_id"]] == CAN_BE_ASKED):
                    assert row["poll_at"] is not None
                elif not states[D]:
                    assert row["poll_at"] is None
                assert (row["leased_by"], row["leased_until"]) == (None, None)
            was = self.batches.get(batch_id)
            assert row["lease"] in ({was["lease"], was["lease"] + 1} if was else {0})

    def check_campaigns(
        self, campaigns: list[dict[str, Any]], messages: Mapping[str, Message], batches: Mapping[int, Any]
    ) -> None:
        for campaign in campaigns:
            own = {i for i, row in batches.items() if row["campaign_id"] == campaign["id"]}
            states = [m.state for m in messages.values() if m.batch_id in own]
            assert len(states) == campaign["recipient_count"]
            if campaign["finished_at"] is not None:
                assert set(states) <= SETTLED
                assert campaign["state"] in {"finished", "failed", "cancelled"}
            else:
                assert campaign["state"] not in {"finished", "failed"}

    def teardown(self) -> None:
        """Whatever happened: once every lease has run out and every deadline passed, all is settled."""
        try:
            for worker in self.workers:
                self.run(worker.cut())
            self.is_stale = False
            if self.is_sound:
                with self.changing(OF_RESCUE):
                    self.run(run_out(self.database))
                    self.run(rescue.rescue(self.database))
                with self.changing(OF_RESCUE):
                    self.run(pass_deadlines(self.database))
                    self.run(rescue.rescue(self.database))
                assert {message.state for message in self.messages.values()} <= SETTLED
                assert {row["state"] for row in self.batches.values()} <= {"done"}
                self.run(aggregation.finish(self.database))
                left = self.run(query(self.database, "SELECT FROM campaign WHERE finished_at IS NULL"))
                assert left == []
                self.took("settled to the last")
        finally:
            for delete in (
                "DELETE FROM waiting_receipt",
                "DELETE FROM message",
                "DELETE FROM campaign",
                "DELETE FROM account_hold",
                "DELETE FROM suppression",
            ):
                self.run(query(self.database, delete))


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


_SETTINGS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)

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
