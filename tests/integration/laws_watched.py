"""What may change, and what must hold after every step: the base of the machine in `test_laws.py`."""

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from campaigns import aggregation, rescue
from campaigns.domain.circuit import Circuit
from campaigns.domain.message_ref import message_ref
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    Throttled,
)
from campaigns.domain.states import EVIDENCE, OPEN, POLLABLE, RANK, SETTLED, MessageState, may_change
from campaigns.pacing.witness import RedisWitness
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.conftest import POLICY, no_wait
from tests.integration.gated_workers import LOST_UNSEEN, TAKEN, TAKEN_UNSEEN, Fate, GatedProvider, GatedWorker
from tests.integration.rows import pass_deadlines, query, run_out
from tests.stub import Stub

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


class Watched(RuleBasedStateMachine):
    """Looks at the world after every step: only allowed changes happened, and every law is kept."""

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
        self.workers: list[GatedWorker] = []
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

    def desk(self, gated: GatedProvider | None = None) -> Desk:
        found = {}
        for name in ACCOUNTS:
            provider, wait_for_pace = (gated, gated.wait_for_pace) if gated else (Stub(name), no_wait)
            found[name] = Account(provider, wait_for_pace, 1000, self.circuits[name])
        policy = replace(POLICY, lease_seconds=1800)
        return Desk(found, policy, "worker", lambda: 0.5, witness=self.world.witness)

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
