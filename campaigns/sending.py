"""Hands leased batches over to a provider. One batch, one task; one request, one intent, one outcome.

The order is the promise: commit the intent (`sending`), ask the second witness (what it saw leave before is
in doubt), send, commit the answer. A crash leaves messages `sending`; rescue turns those to `in_doubt`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import DatabaseUnavailable, ProviderRefused
from campaigns.domain.late import late_answers
from campaigns.domain.message_ref import message_ref, message_refs
from campaigns.domain.metrics import PACING_WAIT_SECONDS, SENDING_MESSAGES, outcome_names
from campaigns.domain.outcomes import Told
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import CampaignTrouble, OutboundMessage, PaceUsedUp
from campaigns.domain.states import BatchState, MessageState
from campaigns.domain.stops import NO_SUCH_ACCOUNT_SECONDS, Stop, go_on, no_such_account
from campaigns.domain.tracing import Attribute, Work
from campaigns.in_flight import InFlight
from campaigns.marks import Marks
from campaigns.pacing.lanes import UNBOUNDED, Slot, wait_for_provider
from campaigns.pending import PendingOutcomes
from campaigns.refusals import Refusals
from campaigns.store.holding import accounts
from campaigns.store.leases import Dealt
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow
from campaigns.store.session import Database, retry_while_away
from campaigns.store.tally import Release

_WRITE_DOWN_SECONDS = 5.0  # what a lease must hold beyond the provider's timeout when a request leaves
_DATABASE_AWAY_SECONDS = 2.0  # before a batch is dealt again that could not be written to

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a batch.

    `state` is None when the lease was not ours: there was nothing to do, or, where `trouble` says so, it
    was lost on the way and nothing more was written down.
    """

    batch_id: int
    campaign_id: UUID | None = None
    state: BatchState | None = None
    handed_over_count: int = 0
    trouble: str | None = None
    held_account: str | None = None
    due_in_seconds: float | None = None  # when it wants work again; None: not that we know
    held_campaign: CampaignTrouble | None = None  # why its campaign is on hold from now on
    left_before_count: int = 0  # messages that had left before, says the second witness


async def send_batch(database: Database, desk: Desk, dealt: Dealt, slot: Slot = UNBOUNDED) -> Verdict:
    """Hand over what is queued in a dealt batch and write down each answer.

    Waits for its slot in the lanes of this process; it enters in the first. Safe to run late, repeatedly and
    by several workers: only the first to take the lease up does anything. Raises DatabaseUnavailable (the
    lease then runs out and rescue decides) and nothing else by design.
    """
    work = await batches.take_up_sending(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Verdict(dealt.batch_id)
    account = desk.accounts.get(work.account)
    if account is None:
        return await _put_off(database, desk, work)
    about = {Attribute.ACCOUNT: work.account, Attribute.PROVIDER: account.provider_name}
    with desk.tracer.span(Work.SEND_BATCH, about, link=work.trace_parent) as span:
        verdict = await _HandOver(database, desk, work, account, slot).run()
        span.note({Attribute.STATE: verdict.state, Attribute.MESSAGES: verdict.handed_over_count})
        if verdict.trouble is not None:
            span.fail("lease lost" if verdict.state is None else "held up")
    return verdict


async def _put_off(database: Database, desk: Desk, work: SendingWork) -> Verdict:
    """Give the lease of a batch back whose account this worker does not know; another may."""
    until = asyncio.get_running_loop().time() + desk.policy.lease_seconds
    why = no_such_account(work.account)
    how = Release(send_in_seconds=NO_SUCH_ACCOUNT_SECONDS, trouble=why)
    release = partial(batches.release, database, work, how, worker=desk.worker)
    state = await retry_while_away(release, until=until)
    trouble = why if state is not None else "lease lost"
    return Verdict(
        work.batch_id, work.campaign_id, state, trouble=trouble, due_in_seconds=NO_SUCH_ACCOUNT_SECONDS
    )


class _HandOver:
    """One batch being handed over under one lease. As many requests are in flight as the provider takes;
    those that leave together share one intent, those that come back together one write.
    """

    def __init__(
        self, database: Database, desk: Desk, work: SendingWork, account: Account, slot: Slot
    ) -> None:
        self._database = database
        self._desk = desk
        self._work = work
        self._account = account
        self._slot = slot
        self._marks = Marks(desk.witness, work)
        self._refusals = Refusals(database, work, self._write)
        self._pending = PendingOutcomes(by_id=account.provider.traits.calls_back_by_id)
        self._begun: set[int] = set()  # positions whose intent is written
        self._is_called_back = False
        self._is_account_held = False
        self._stop: Stop | None = None
        # On the running loop's clock; nothing is written down after it.
        self._lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds

    async def run(self) -> Verdict:
        if not await self._is_ready():
            return await self._conclude()
        requests = InFlight(self._account.provider, self._work.sender_id, self._outbound())
        try:
            verdict = await self._hand_over(requests)
            if verdict.state is None:
                await self._keep_late(requests)
            return verdict
        except DatabaseUnavailable:
            await self._keep_late(requests)
            raise
        finally:
            await requests.cancel()

    async def _is_ready(self) -> bool:
        """Wait for a slot with the provider, and have its adapter get ready. False: why not is noted."""
        policy, account = self._desk.policy, self._account
        if not await wait_for_provider(self._slot, policy.lease_seconds):
            self._stop = Stop(0)
            return False
        try:
            async with asyncio.timeout(policy.lease_seconds / 2):
                await account.provider.prepare()
                self._is_called_back = await account.is_called_back()
        except (ProviderRefused, TimeoutError) as error:
            why = str(error) or "the provider did not answer in time"
            await self._hold_account(account.circuit.fail(why))
            self._stop = Stop(self._backoff_seconds(), why, spends_retry=True)
            return False
        return True

    def _outbound(self) -> dict[int, OutboundMessage]:
        work, urls = self._work, self._account.callbacks
        refs = message_refs(work.campaign_id, work.number, [m.position for m in work.messages])
        return {
            m.position: OutboundMessage(
                ref, m.phone, m.text, urls.url_of_message(ref) if urls else None, work.not_after
            )
            for ref, m in zip(refs, work.messages, strict=True)
        }

    async def _hand_over(self, requests: InFlight) -> Verdict:
        while self._goes_on(requests):
            if requests.free_count > 0 and not self._must_wait:
                await self._launch(requests)
                continue
            await self._land(requests)
            if self._goes_on(requests) and not await self._write_down():
                return self._verdict(None, None)
        is_all = not requests.has_waiting and not self._must_wait
        await self._note_down(await self._refusals.rest(is_all=is_all))
        await self._slot.advance()
        return await self._conclude()

    def _goes_on(self, requests: InFlight) -> bool:
        return requests.count > 0 or (requests.has_waiting and not self._must_wait)

    @property
    def _must_wait(self) -> bool:
        return self._stop is not None or self._is_account_held or bool(self._pending.troubled)

    async def _launch(self, requests: InFlight) -> None:
        """Wait for the pace, write the intent down, let requests leave; or note why they must not."""
        if self._desk.is_stopping():  # a hundred requests a batch outlast any patience with an ending process
            self._stop = Stop(0)
            return
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            waits = await self._account.wait_for_slots(requests.free_count)
        except PaceUsedUp as later:
            self._stop = Stop(later.wait_seconds)
            return
        finally:
            self._desk.meter.count(PACING_WAIT_SECONDS, clock() - began_at, self._work.account)
        taken = requests.take(len(waits))
        # The lease is renewed by the intent; its end is counted from before that, on our own clock.
        now = clock()
        self._lease_ends_at = now + self._desk.policy.lease_seconds
        may_leave = await self._write_intent([position for request in taken for position in request])
        leave_by = self._lease_ends_at - self._account.provider.traits.timeout_seconds - _WRITE_DOWN_SECONDS
        for request, wait in zip(taken, waits, strict=True):
            requests.launch(request, may_leave, now + wait, leave_by)

    async def _write_intent(self, positions: Sequence[int]) -> frozenset[int]:
        """Commit that these messages leave now. Gives those that may: not those of which a receipt or the
        second witness says that they left before; none where the lease is lost or the database is away.
        """
        try:
            begun = await batches.begin_hand_over(
                self._database,
                self._work,
                positions,
                worker=self._desk.worker,
                lease_seconds=self._desk.policy.lease_seconds,
                at_once=self._slot.is_wanted,
            )
        except DatabaseUnavailable as away:
            # It may be written; nothing left. Left to its lease, the batch would be in doubt for nothing.
            unsent = [position for position in positions if position not in self._begun]
            self._stop = Stop(_DATABASE_AWAY_SECONDS, str(away), unsent=unsent)
            return frozenset()
        if begun is None:
            self._stop = Stop(None)
            return frozenset()
        self._begun |= begun
        may_leave, told = await self._marks.leaving(begun)
        self._pending.received += told
        await self._note_down(told)
        return may_leave

    async def _land(self, requests: InFlight) -> None:
        """Wait for the next requests to come back, and judge them."""
        landed = await requests.land()
        self._count(landed)
        for told in landed:  # all of them first: where the database goes away, each is kept for later
            self._pending.received += told
        for told in landed:
            outcomes = [outcome for _, outcome in told]
            await self._note_down(await self._refusals.judge([position for position, _ in told], outcomes))
            # Before the lease is given back: else the batch would be dealt again at once.
            hold = self._account.circuit.judge(outcomes)
            await self._hold_account(hold)
            self._is_account_held |= hold is not None

    def _count(self, landed: Sequence[Told]) -> None:
        """For machines: what became of the messages whose requests came back together."""
        outcomes = (outcome for told in landed for _, outcome in told)
        labels = self._work.account, self._account.provider_name
        self._desk.meter.count_each(SENDING_MESSAGES, labels, outcome_names(outcomes))

    async def _note_down(self, told: Told) -> None:
        self._pending.add(told, spends_all=not await self._marks.take_back(told))

    async def _write_down(self) -> bool:
        """Write the answers down, keeping the lease. False: it is not ours any more."""
        rows, has_left = self._pending.take_rows()
        is_ours = await self._write(
            partial(
                batches.write_outcomes,
                self._database,
                self._work,
                rows,
                worker=self._desk.worker,
                give_up_in_seconds=self._give_up_in(has_left),
            )
        )
        if is_ours:
            self._pending.received = []
        return is_ours

    async def _keep_late(self, requests: InFlight) -> None:
        """Keep the answers that could not be written down: they count without a lease. Wait for those in
        flight.
        """
        if self._desk.keep_late is None:
            return
        landed = await requests.land_all()
        self._count(landed)
        for told in landed:
            self._pending.received += told
        work, attempt_of = self._work, self._marks.attempt_of
        received = [
            (message_ref(work.campaign_id, work.number, position), attempt_of[position], outcome)
            for position, outcome in self._pending.received
        ]
        await self._desk.keep_late(late_answers(work.account, received))

    async def _conclude(self) -> Verdict:
        """Write the last answers down and give the lease back, with what trouble asks for."""
        rows, has_left = self._pending.take_rows()
        handed_over = self._pending.handed_over_count > 0
        on = go_on(
            self._stop,
            self._pending.troubled,
            retry_count=self._work.retry_count,
            handed_over=handed_over,
            is_account_held=self._is_account_held,
            backoff_seconds=self._backoff_seconds(),
        )
        how = Release(
            send_in_seconds=on.send_in_seconds,
            # An attempt that handed nothing over must not put off what is to be polled from before it.
            poll_in_seconds=self._first_poll_in() if handed_over else None,
            asks_doubt=self._account.provider.traits.settles_doubt_after_seconds is not None,
            retry_count=on.retry_count,
            poll_count=0 if handed_over else None,
            give_up_in_seconds=self._give_up_in(has_left),
            trouble=on.trouble,
        )
        if self._stop is not None and self._stop.unsent:
            unsent = list(self._stop.unsent)
            rows.append(OutcomeRow(unsent, MessageState.QUEUED, reason=on.trouble, spends_attempt=False))
        state = await self._write(
            partial(batches.release, self._database, self._work, how, worker=self._desk.worker, rows=rows)
        )
        return self._verdict(state, how)

    def _verdict(self, state: BatchState | None, how: Release | None) -> Verdict:
        waits = [how.send_in_seconds, how.poll_in_seconds] if how is not None else []
        return Verdict(
            self._work.batch_id,
            self._work.campaign_id,
            state,
            self._pending.handed_over_count,
            how.trouble if how is not None and state is not None else "lease lost",
            self._work.account if how is not None and self._is_account_held else None,
            min((wait for wait in waits if wait is not None), default=None),
            self._refusals.held,
            self._marks.left_before_count,
        )

    async def _hold_account(self, hold: NewHold | None) -> None:
        """Batches of an account on hold wait, and nothing fails for it."""
        if hold is not None:
            await self._write(partial(accounts.hold, self._database, self._work.account, hold))

    def _backoff_seconds(self) -> float:
        return self._desk.policy.retry.delay_seconds(self._work.retry_count, self._desk.random())

    def _first_poll_in(self) -> float:
        first = self._desk.policy.poll.delay_seconds(0, self._desk.random())
        return max(first, self._desk.policy.poll_after_callback_seconds) if self._is_called_back else first

    def _give_up_in(self, has_left: bool) -> float | None:
        return self._desk.policy.give_up_seconds if has_left else None

    async def _write(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """Write, and wait for a database that is away: a lost answer leaves a hundred messages in doubt."""
        return await retry_while_away(write, until=self._lease_ends_at)
