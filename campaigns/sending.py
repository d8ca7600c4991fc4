"""Hands leased batches to a provider. One batch, one task; one request, one intent, one outcome.

The order is the promise: commit the intent (`sending`), ask the second witness (what it saw leave before is
in doubt), send, commit the answer. A crash leaves messages `sending`; rescue turns those to `in_doubt`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable, ProviderRefused, origin_of
from campaigns.domain.holds import DOWN
from campaigns.domain.late import late_answers
from campaigns.domain.message_ref import message_refs
from campaigns.domain.outcomes import IN_VAIN, LEFT, TROUBLED, is_at_once, pause_after, trouble_of
from campaigns.domain.policy import DOWN_FIRST_SECONDS, PROBE_FIRST_SECONDS, Account, Desk
from campaigns.domain.provider import (
    AccountTrouble,
    CampaignTrouble,
    InDoubt,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Provider,
    Throttled,
)
from campaigns.domain.states import BatchState, MessageState
from campaigns.marks import Marks
from campaigns.pacing.lanes import UNBOUNDED, Slot, wait_for_provider
from campaigns.refusals import Refusals
from campaigns.store.holding import accounts
from campaigns.store.leases import Dealt
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.sending.outcome_rows import OutcomeRow, rows_of
from campaigns.store.session import Database, retry_while_away
from campaigns.store.tally import Release

_WRITE_DOWN_SECONDS = 5.0  # what a lease must hold beyond the provider's timeout when a request leaves
_NO_SUCH_ACCOUNT_SECONDS = 60.0  # before a batch is dealt again whose account is not in the settings
_DATABASE_AWAY_SECONDS = 2.0  # before a batch is dealt again that could not be written to
_TOGETHER_SECONDS = 0.02  # requests that come back within it are written down together
_MOST_COUNTED = 1000  # beyond it the backoff is long at its longest

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

    Takes its slot in the lanes of this process, of which it is in the first. Safe to run late, repeatedly
    and by anybody: only the first to take the lease up does anything. Raises DatabaseUnavailable (the lease
    then runs out and rescue decides) and nothing else by design.
    """
    work = await batches.take_up_sending(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Verdict(dealt.batch_id)
    return await _HandOver(database, desk, work, slot).run()


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why no further request of the batch leaves now, other than by what the provider said."""

    send_in_seconds: float | None  # None: as soon as it is dealt
    trouble: str | None = None
    spends_retry: bool = False
    unsent: Sequence[int] = ()  # of these the intent may be written, and they certainly did not leave


class _HandOver:
    """One batch on its way out, under one lease: as many requests at once as the provider likes, one
    intent and one writing down for those that go and come together.
    """

    def __init__(self, database: Database, desk: Desk, work: SendingWork, slot: Slot) -> None:
        self._database = database
        self._desk = desk
        self._work = work
        self._slot = slot
        self._handed_over_count = 0
        self._flying: dict[asyncio.Task[list[Outcome]], Sequence[int]] = {}  # with their positions
        self._position_of: dict[str, int] = {}  # by message_ref
        self._marks = Marks(desk.witness, work)
        self._begun: set[int] = set()  # positions that were let go
        self._landed: list[OutcomeRow] = []  # not yet written down
        self._in_hand: list[tuple[int, Outcome]] = []  # the same, by position
        self._left_count = 0  # of `landed`, what the provider has or may have
        self._troubled: list[Outcome] = []
        self._is_held = False
        self._refusals = Refusals(database, work, self._write)
        self._is_called_back = False
        self._stop: _Stop | None = None
        # On the running loop's clock; nothing is written down after it.
        self._lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds

    async def run(self) -> Verdict:
        work = self._work
        if (account := self._desk.accounts.get(work.account)) is None:
            unknown = f"this worker's settings know no account {work.account!r}"
            self._stop = _Stop(_NO_SUCH_ACCOUNT_SECONDS, unknown)
            return await self._conclude(None)
        if not await wait_for_provider(self._slot, self._desk.policy.lease_seconds):
            self._stop = _Stop(0)
            return await self._conclude(account)
        try:
            async with asyncio.timeout(self._desk.policy.lease_seconds / 2):
                await account.provider.prepare()
                self._is_called_back = await account.is_called_back()
        except (ProviderRefused, TimeoutError) as error:
            why = str(error) or "the provider did not answer in time"
            await self._note(account, got_through=False, why=why)
            retry_in = self._desk.policy.retry.delay_seconds(work.retry_count, self._desk.random())
            self._stop = _Stop(retry_in, why, spends_retry=True)
            return await self._conclude(account)
        try:
            verdict = await self._hand_over(account)
            if verdict.state is None:
                await self._keep_late()
            return verdict
        except DatabaseUnavailable:
            await self._keep_late()
            raise
        finally:
            for request in self._flying:
                request.cancel()
            await asyncio.gather(*self._flying, return_exceptions=True)

    async def _hand_over(self, account: Account) -> Verdict:
        work = self._work
        urls = account.callbacks
        refs = message_refs(work.campaign_id, work.number, [m.position for m in work.messages])
        self._position_of = {ref: m.position for ref, m in zip(refs, work.messages, strict=True)}
        outbound = [
            OutboundMessage(ref, m.phone, m.text, urls.url_of_message(ref) if urls else None, work.not_after)
            for ref, m in zip(refs, work.messages, strict=True)
        ]
        waiting = deque(account.provider.requests(outbound, work.sender_id))
        lanes = account.provider.traits.concurrency
        while True:
            if waiting and not self._must_wait() and len(self._flying) < lanes:
                await self._launch(account, waiting, lanes - len(self._flying))
            elif self._flying:
                await self._land(account)
                if (self._flying or (waiting and not self._must_wait())) and not await self._write_down():
                    return self._verdict(None, None)
            else:
                rest = await self._refusals.rest(is_all=not waiting and not self._must_wait())
                await self._note_down(account, rest)
                await self._slot.advance()
                return await self._conclude(account)

    def _must_wait(self) -> bool:
        return self._stop is not None or self._is_held or bool(self._troubled)

    async def _launch(self, account: Account, waiting: deque[list[OutboundMessage]], most: int) -> None:
        """Wait for the pace, write the intent down, let requests leave; or note why they must not."""
        if self._desk.is_stopping():  # a hundred requests a batch outlast any patience with an ending process
            self._stop = _Stop(0)
            return
        try:
            waits = await account.wait_for_slots(min(most, len(waiting)))
        except PaceUsedUp as later:
            self._stop = _Stop(later.wait_seconds)
            return
        requests = [waiting.popleft() for _ in waits]
        positions = [self._position_of[message.message_ref] for request in requests for message in request]
        # The lease is renewed by the intent; its end is counted from before that, on our own clock.
        now = asyncio.get_running_loop().time()
        self._lease_ends_at = now + self._desk.policy.lease_seconds
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
            self._stop = _Stop(_DATABASE_AWAY_SECONDS, str(away), unsent=unsent)
            return
        if begun is None:
            self._stop = _Stop(None)
            return
        self._begun |= begun
        begun, told = await self._marks.leaving(begun)
        self._in_hand += told
        await self._note_down(account, told)
        leave_by = self._lease_ends_at - account.provider.traits.timeout_seconds - _WRITE_DOWN_SECONDS
        for request, wait in zip(requests, waits, strict=True):
            # What had been sent before after all, says a receipt or the second witness, stays at home.
            if leaving := [each for each in request if self._position_of[each.message_ref] in begun]:
                flight = _outcomes(account.provider, leaving, self._work.sender_id, now + wait, leave_by)
                task = asyncio.get_running_loop().create_task(flight)
                self._flying[task] = [self._position_of[message.message_ref] for message in leaving]

    async def _land(self, account: Account) -> None:
        """Wait for the next request to come back, and take those along that come with it."""
        await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        if not all(task.done() for task in self._flying):
            await asyncio.wait(self._flying, timeout=_TOGETHER_SECONDS)
        for task in [task for task in self._flying if task.done()]:
            positions, outcomes = self._flying.pop(task), task.result()
            self._in_hand += zip(positions, outcomes, strict=True)
            await self._note_down(account, await self._refusals.judge(positions, outcomes))
            # Before the lease is given back: else the batch would be dealt again at once.
            self._is_held |= await self._judge(account, outcomes)

    async def _note_down(self, account: Account, told: Sequence[tuple[int, Outcome]]) -> None:
        """Take outcomes, by position, for what is to be written down and what the batch must heed."""
        outcomes = [outcome for _, outcome in told]
        self._landed += rows_of(
            [position for position, _ in told],
            outcomes,
            by_id=account.provider.traits.calls_back_by_id,
            spends_all=not await self._marks.take_back(told),
        )
        left_count = sum(isinstance(outcome, LEFT) for outcome in outcomes)
        self._left_count += left_count
        self._handed_over_count += left_count
        self._troubled += [outcome for outcome in outcomes if isinstance(outcome, TROUBLED)]

    async def _write_down(self) -> bool:
        """Write the answers down, keeping the lease. False: it is not ours any more."""
        written, self._landed = self._landed, []
        give_up_in, self._left_count = self._give_up_in(), 0
        is_ours = await self._write(
            partial(
                batches.write_outcomes,
                self._database,
                self._work,
                written,
                worker=self._desk.worker,
                give_up_in_seconds=give_up_in,
            )
        )
        self._in_hand = [] if is_ours else self._in_hand
        return is_ours

    async def _keep_late(self) -> None:
        """An answer in hand needs no lease, and no database now. Those on their way are waited for."""
        if self._desk.keep_late is None:
            return
        await asyncio.gather(*self._flying)
        for task, positions in self._flying.items():
            self._in_hand += zip(positions, task.result(), strict=True)
        self._flying.clear()
        ref_of = {position: ref for ref, position in self._position_of.items()}
        told = [(ref_of[at], self._marks.attempt_of[at], outcome) for at, outcome in self._in_hand]
        await self._desk.keep_late(late_answers(self._work.account, told))

    def _give_up_in(self) -> float | None:
        return self._desk.policy.give_up_seconds if self._left_count else None

    async def _judge(self, account: Account, outcomes: Sequence[Outcome]) -> bool:
        """Whether a request's outcomes put the account on hold: trouble at once, silence after some time."""
        held = next((o for o in outcomes if isinstance(o, AccountTrouble)), None)
        if held is not None:
            await self._hold_account(held.code, held.reason, probe_in_seconds=PROBE_FIRST_SECONDS)
            return True
        in_vain = [o for o in outcomes if isinstance(o, IN_VAIN) and not is_at_once(o)]
        waits = [o.retry_after_seconds or 0.0 for o in in_vain if isinstance(o, Throttled)]
        return await self._note(
            account,
            # Doubt is no sign of life: a provider that hangs would put a whole campaign in doubt.
            got_through=len(in_vain) < len(outcomes),
            why=in_vain[0].why if in_vain else None,
            retry_after_seconds=max(waits, default=0.0),
        )

    async def _conclude(self, account: Account | None) -> Verdict:
        """Write the last answers down and give the lease back, with what trouble asks for."""
        stop = self._stop or _Stop(0)
        trouble = trouble_of(self._troubled) or ("account on hold" if self._is_held else stop.trouble)
        handed_over = self._handed_over_count > 0
        retry_count: int | None = None
        if stop.spends_retry or (self._troubled and not handed_over):
            retry_count = min(self._work.retry_count + 1, _MOST_COUNTED)
        elif self._stop is None:
            retry_count = 0
        send_in = stop.send_in_seconds
        how = Release(
            send_in_seconds=max(send_in or 0, self._send_again_in()) if self._troubled else send_in,
            # An attempt that handed nothing over must not put off what is to be polled from before it.
            poll_in_seconds=self._first_poll_in() if handed_over else None,
            asks_doubt=account is None or account.provider.traits.settles_doubt_after_seconds is not None,
            retry_count=retry_count,
            poll_count=0 if handed_over else None,
            give_up_in_seconds=self._give_up_in(),
            trouble=trouble,
        )
        unsent = OutcomeRow(list(stop.unsent), MessageState.QUEUED, reason=trouble, spends_attempt=False)
        state = await self._write(
            partial(
                batches.release,
                self._database,
                self._work,
                how,
                worker=self._desk.worker,
                written=[*self._landed, unsent] if stop.unsent else self._landed,
            )
        )
        waits = [wait for wait in (how.send_in_seconds, how.poll_in_seconds) if wait is not None]
        held = self._work.account if self._is_held else None
        return self._verdict(state, trouble, held_account=held, due_in_seconds=min(waits, default=None))

    async def _note(
        self, account: Account, *, got_through: bool, why: str | None, retry_after_seconds: float = 0.0
    ) -> bool:
        """Count a request for the account's circuit. When it opens, the account is held: batches wait and
        nothing fails for it, until a probe gets an answer. Gives whether it is.
        """
        if not account.circuit.record(got_through=got_through):
            return False
        reason = f"the provider takes nothing: {why}"
        probe_in = max(DOWN_FIRST_SECONDS, retry_after_seconds)
        await self._hold_account(DOWN, reason, probe_in_seconds=probe_in)
        return True

    async def _hold_account(self, code: str, reason: str, *, probe_in_seconds: float) -> None:
        hold = partial(accounts.hold, self._database, self._work.account, code, reason)
        await self._write(partial(hold, probe_in_seconds=probe_in_seconds))

    def _verdict(
        self,
        state: BatchState | None,
        trouble: str | None,
        *,
        held_account: str | None = None,
        due_in_seconds: float | None = None,
    ) -> Verdict:
        return Verdict(
            self._work.batch_id,
            self._work.campaign_id,
            state,
            self._handed_over_count,
            trouble if state is not None else "lease lost",
            held_account,
            due_in_seconds,
            self._refusals.held,
            self._marks.left_before_count,
        )

    def _first_poll_in(self) -> float:
        first = self._desk.policy.poll.delay_seconds(0, self._desk.random())
        return max(first, self._desk.policy.poll_after_callback_seconds) if self._is_called_back else first

    def _send_again_in(self) -> float:
        backoff = self._desk.policy.retry.delay_seconds(self._work.retry_count, self._desk.random())
        return pause_after(self._troubled, backoff)

    async def _write(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """A provider's answer in hand is worth waiting for: without it a hundred messages are in doubt."""
        return await retry_while_away(write, until=self._lease_ends_at)


async def _outcomes(
    provider: Provider, request: Sequence[OutboundMessage], sender_id: str, leave_at: float, leave_by: float
) -> list[Outcome]:
    clock = asyncio.get_running_loop().time
    await asyncio.sleep(max(0.0, leave_at - clock()))
    try:
        # One that hangs must not keep its slot; one that wakes too late has time to say that nothing left.
        async with asyncio.timeout_at(max(leave_by, clock()) + provider.traits.timeout_seconds):
            outcomes = await provider.hand_over(request, sender_id, leave_by)
    except TimeoutError:
        return [InDoubt("the adapter gave no answer in time")] * len(request)
    except Exception as error:  # an adapter's bug must not lose what it did: whether it left is not known
        return [InDoubt(f"the adapter broke down: {origin_of(error)}")] * len(request)
    if len(outcomes) != len(request):
        return [InDoubt("the adapter gave another number of outcomes than messages")] * len(request)
    return outcomes
