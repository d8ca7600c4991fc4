"""What time, rescue and people do in the machine of `test_laws.py`."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from uuid import UUID

from campaigns import aggregation, holding, rescue, suppression
from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import NotAllowed
from campaigns.domain.states import CampaignState
from campaigns.store.holding import accounts
from campaigns.store.rescue.resolution import Decision
from tests.conftest import POLICY
from tests.integration.laws_watched import (
    ACCOUNTS,
    NO_MOVES,
    OF_ASSUMING,
    OF_CANCEL,
    OF_RESCUE,
    OF_RESEND,
    D,
    Message,
    Moves,
    Q,
    S,
    State,
    Watched,
)
from tests.integration.rows import pass_deadlines, query, run_out


class People(Watched):
    """Leases run out, deadlines pass, campaigns are paused, accounts held, doubt decided."""

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
        word: Decision = chance.choice(["resend", "assume_sent"])
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
