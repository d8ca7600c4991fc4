"""What workers do in the machine of `test_laws.py`: take up, hand over, ask, die half-way."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from uuid import UUID

from campaigns import receipts, sending
from campaigns.domain.outcomes import of_one_request
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    CampaignTrouble,
    Receipt,
    Sighting,
    Sightings,
)
from campaigns.domain.states import merge
from campaigns.store.leases import Dealt
from tests.integration.gated_workers import GatedProvider, GatedWorker
from tests.integration.laws_watched import (
    ACCOUNTS,
    CAN_BE_ASKED,
    FATES,
    NO_MOVES,
    OF_ANSWER,
    OF_HAND_OVER,
    OF_LOOK_UP,
    OF_POLL,
    OF_RECEIPT,
    WORDS,
    A,
    D,
    Message,
    Moves,
    Q,
    S,
    State,
    Watched,
    expected,
    rank,
)
from tests.integration.rows import query


class Workers(Watched):
    """Workers that stop at gates, and the provider that answers them."""

    def start(self, kind: str, dealt: Dealt) -> GatedWorker:
        async def begin() -> GatedWorker:
            account = self.account_of[self.batches[dealt.batch_id]["campaign_id"]]
            gated = GatedProvider(self.taken, can_be_asked=account == CAN_BE_ASKED)
            stage = sending.send_batch if kind == "send" else receipts.poll_batch
            worker = GatedWorker(gated, dealt, stage(self.database, self.desk(gated), dealt))
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
        if worker.gated.outcomes and worker.gate == "pace":
            self.took("crashed after a write")
        self.took(f"crashed at {worker.gate}")
        with self.changing(NO_MOVES):
            self.run(worker.cut())

    def one_in_the_thick_of_it(self, chance: Random) -> GatedWorker:
        weights = [1 if worker.gate == "prepare" else 6 for worker in self.workers]
        return chance.choices(self.workers, weights)[0]

    def step(self, worker: GatedWorker, chance: Random) -> None:
        """One gate further; then what it wrote is held against what it was told."""
        gated = worker.gated
        gate = worker.gate
        if gate == "prepare":
            self.pass_gate(worker, chance.random() < 0.9, NO_MOVES)
        elif gate == "pace":
            may_begin = self.may_begin(worker)
            before = self.pass_gate(worker, chance.random() < 0.9, OF_HAND_OVER)
            changed = {ref for ref, was in before.items() if self.messages[ref].state is not was.state}
            changed = {ref for ref in changed if before[ref].state is Q}  # else it was refused before
            begun = {ref for ref in changed if self.messages[ref].state is S}
            assert begun == (set(gated.request) if worker.gate == "leave" else set())
            assert may_begin or not changed
            for ref in begun:
                assert self.messages[ref].attempt == before[ref].attempt + 1
            for ref in changed:
                assert (ref in begun) is (self.messages[ref].phone not in self.opted_out)
            self.took("intent written" if begun else "intent refused")
            self.took("suppressed at the intent", len(changed - begun))
        elif gate == "leave":
            request = [chance.choice(FATES) for _ in gated.request]
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

    def may_begin(self, worker: GatedWorker) -> bool:
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

    def pass_gate(self, worker: GatedWorker, decision: Any, moves: Moves) -> Mapping[str, Message]:
        with self.changing(moves) as before:
            self.run(worker.go(decision))
        return before

    def check_written(self, worker: GatedWorker, before: Mapping[str, Message]) -> None:
        is_lost = worker.gate is None and worker.task.result().state is None
        if is_lost:
            assert self.messages == before
            assert worker.task.result().trouble == "lease lost"
            self.took("answer fenced off")
            return
        for ref, outcome in zip(worker.gated.request, of_one_request(worker.gated.outcomes), strict=True):
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
        others = before.keys() - set(worker.gated.request) - self.refused
        assert all(self.messages[ref] == before[ref] for ref in others)

    def step_poll(self, worker: GatedWorker, chance: Random) -> None:
        asked = worker.gated.asked
        drawn = [
            (chance.choice([*asked, "id-nobody"]), chance.choice(WORDS))
            for _ in range(chance.randrange(2 * len(asked) + 1))
        ]
        trouble = chance.choice([None, None, "HTTP 500"])
        said = [Receipt(i, w if isinstance(w, State) else None, str(w)) for i, w in drawn]
        worker.gated.said = drawn
        before = self.pass_gate(worker, Answers(said, trouble), OF_POLL)
        if worker.gate is None:
            self.check_polled(worker, before, {}, ())
        else:
            assert self.messages == before

    def step_look_up(self, worker: GatedWorker, chance: Random) -> None:
        """The provider says honestly of each, or of most, whether it has it."""
        told = [ref for ref in worker.gated.doubted if chance.random() < 0.9]
        seen = {ref: chance.choice([A, State.SENT, State.DELIVERED]) for ref in told if self.taken[ref]}
        absent = [ref for ref in told if not self.taken[ref]]
        # One that was frozen between its last look at the clock and the first byte may still send it.
        frozen = [ref for each in self.workers if each.gate == "leave" for ref in each.gated.request]
        for ref in absent:
            self.allowed[ref] += frozen.count(ref)
        sightings = [Sighting(f"id-{ref}", word, word.value, message_ref=ref) for ref, word in seen.items()]
        before = self.pass_gate(worker, Sightings(sightings, absent), OF_LOOK_UP)
        self.check_polled(worker, before, seen, absent)

    def check_polled(
        self,
        worker: GatedWorker,
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
            for i, word in worker.gated.said:
                if i == was.provider_message_id and i in worker.gated.asked and isinstance(word, State):
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
