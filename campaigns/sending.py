"""Hands leased batches to a provider. One batch, one task; one request, one intent, one outcome.

The order of things is the promise: the intent (`sending`) is committed before the request leaves, the
answer is committed after. Between the two no database session is held. A crash in between leaves
messages `sending`; rescue turns those to `in_doubt`, never back to `queued`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable, ProviderRefused
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Failed,
    InDoubt,
    NotOurTurn,
    NotSent,
    OutboundMessage,
    Outcome,
    Provider,
    Rejected,
    Throttled,
)
from campaigns.domain.states import BatchState, MessageState
from campaigns.store import account as accounts
from campaigns.store import batch as batches
from campaigns.store.batch import Dealt, SendingWork, Written
from campaigns.store.session import Database, insist
from campaigns.store.tally import Release

_WRITE_DOWN_SECONDS = 5.0  # what a lease must hold beyond the provider's timeout when a request leaves
_NO_SUCH_ACCOUNT_SECONDS = 60.0
_PROBE_FIRST_SECONDS = 30.0
_PROBE_MAX_SECONDS = 900.0
_DOWN_FIRST_SECONDS = 2.0
_DOWN_MAX_SECONDS = 60.0
_DATABASE_AWAY_SECONDS = 2.0
_MOST_COUNTED = 1000  # beyond it the backoff is long at its longest
_MOST_SEGMENTS = 255  # of one message, in any standard (GSM 03.40: one byte); more is no count

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


async def send_batch(database: Database, desk: Desk, dealt: Dealt) -> Verdict:
    """Hand over what is queued in a dealt batch and write down each answer.

    Safe to run late, repeatedly and by anybody: only the first to take the lease up does anything.
    Raises DatabaseUnavailable (the lease then runs out and rescue decides) and nothing else by design.
    """
    work = await batches.take_up_sending(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Verdict(dealt.batch_id)
    return await _HandOver(database, desk, work).run()


class _HandOver:
    """One batch on its way out, under one lease."""

    def __init__(self, database: Database, desk: Desk, work: SendingWork) -> None:
        self._database = database
        self._desk = desk
        self._work = work
        self._handed_over_count = 0
        # On the running loop's clock; nothing is written down after it.
        self._lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds

    async def run(self) -> Verdict:
        work = self._work
        account = self._desk.accounts.get(work.account)
        if account is None:
            why = f"this worker's settings know no account {work.account!r}"
            return await self._give_back(_NO_SUCH_ACCOUNT_SECONDS, trouble=why)
        try:
            async with asyncio.timeout(self._desk.policy.lease_seconds / 2):
                await account.provider.prepare()
        except (ProviderRefused, TimeoutError) as error:
            why = str(error) or "the provider did not answer in time"
            await self._note(account, got_through=False, why=why)
            retry_in = self._desk.policy.retry.delay_seconds(work.retry_count, self._desk.random())
            return await self._give_back(retry_in, trouble=why, spends_retry=True)
        by_ref = {message_ref(work.campaign_id, m.row): m for m in work.messages}
        outbound = [OutboundMessage(ref, m.phone, m.text) for ref, m in by_ref.items()]
        requests = account.provider.requests(outbound, work.sender_id)
        for index, request in enumerate(requests):
            positions = [by_ref[message.message_ref].position for message in request]
            outcomes = await self._hand_over(account, request, positions)
            if isinstance(outcomes, Verdict):
                return outcomes
            written = [_written(p, o) for p, o in zip(positions, outcomes, strict=True)]
            left_count = sum(isinstance(outcome, Accepted | InDoubt) for outcome in outcomes)
            self._handed_over_count += left_count
            give_up_in = self._desk.policy.give_up_seconds if left_count else None
            # Before the lease is given back: else the batch would be dealt again at once.
            is_held = await self._judge(account, outcomes)
            if is_held or index + 1 == len(requests) or _trouble(outcomes) is not None:
                return await self._conclude(outcomes, written, give_up_in, is_held=is_held)
            if not await self._write(
                partial(
                    batches.write_outcomes,
                    self._database,
                    work,
                    written,
                    worker=self._desk.worker,
                    give_up_in_seconds=give_up_in,
                )
            ):
                return self._verdict(None, None)
        return await self._give_back(0)  # nothing was queued in it

    async def _hand_over(
        self, account: Account, request: Sequence[OutboundMessage], positions: Sequence[int]
    ) -> list[Outcome] | Verdict:
        """Wait for our turn, write the intent down, let the request leave. A verdict when it must not."""
        if self._desk.is_stopping():  # a hundred requests a batch outlast any patience with an ending process
            return await self._give_back(0)
        try:
            await account.turn()
        except NotOurTurn as later:
            return await self._give_back(later.wait_seconds)
        # The lease is renewed by the intent; its end is counted from before that, on our own clock.
        self._lease_ends_at = asyncio.get_running_loop().time() + self._desk.policy.lease_seconds
        try:
            may_leave = await batches.begin_hand_over(
                self._database,
                self._work,
                positions,
                worker=self._desk.worker,
                lease_seconds=self._desk.policy.lease_seconds,
            )
        except DatabaseUnavailable as away:
            # It may be written; nothing left. Left to its lease, the batch would be in doubt for nothing.
            return await self._give_back(_DATABASE_AWAY_SECONDS, trouble=str(away), unsent=positions)
        if not may_leave:
            return await self._give_back()
        return await _outcomes(
            account.provider,
            request,
            self._work.sender_id,
            leave_by=self._lease_ends_at - account.provider.timeout_seconds - _WRITE_DOWN_SECONDS,
        )

    async def _judge(self, account: Account, outcomes: Sequence[Outcome]) -> bool:
        """Whether a request's outcomes put the account on hold: trouble at once, silence after some time."""
        held = next((o for o in outcomes if isinstance(o, AccountTrouble)), None)
        if held is not None:
            await self._hold_account(held.code, held.reason, probe_in_seconds=_PROBE_FIRST_SECONDS)
            return True
        in_vain = [o for o in outcomes if isinstance(o, Throttled | NotSent | InDoubt) and not _at_once(o)]
        waits = [o.retry_after_seconds or 0.0 for o in in_vain if isinstance(o, Throttled)]
        return await self._note(
            account,
            # Doubt is no sign of life: a provider that hangs would put a whole campaign in doubt.
            got_through=len(in_vain) < len(outcomes),
            why=in_vain[0].why if in_vain else None,
            retry_after_seconds=max(waits, default=0.0),
        )

    async def _conclude(
        self,
        outcomes: Sequence[Outcome],
        written: Sequence[Written],
        give_up_in: float | None,
        *,
        is_held: bool,
    ) -> Verdict:
        """Write the last answers down and give the lease back, with what trouble asks for."""
        trouble = _trouble(outcomes) or ("account on hold" if is_held else None)
        handed_over = self._handed_over_count > 0
        made_way = trouble is None or handed_over
        how = Release(
            send_in_seconds=self._send_again_in(outcomes),
            # An attempt that handed nothing over must not put off what is to be polled from before it.
            poll_in_seconds=self._first_poll_in() if handed_over else None,
            retry_count=0 if made_way else min(self._work.retry_count + 1, _MOST_COUNTED),
            poll_count=0 if handed_over else None,
            give_up_in_seconds=give_up_in,
            trouble=trouble,
        )
        state = await self._release(how, written)
        return self._verdict(state, trouble, held_account=self._work.account if is_held else None)

    async def _note(
        self, account: Account, *, got_through: bool, why: str | None, retry_after_seconds: float = 0.0
    ) -> bool:
        """Count a request for the account's circuit. When it opens, the account is held: batches wait and
        nothing fails for it, until a probe gets an answer. Gives whether it is.
        """
        if not account.circuit.record(got_through=got_through):
            return False
        reason = f"the provider takes nothing: {why}"
        probe_in = max(_DOWN_FIRST_SECONDS, retry_after_seconds)
        await self._hold_account(accounts.DOWN, reason, probe_in_seconds=probe_in)
        return True

    async def _hold_account(self, code: str, reason: str, *, probe_in_seconds: float) -> None:
        hold = partial(accounts.hold, self._database, self._work.account, code, reason)
        await self._write(partial(hold, probe_in_seconds=probe_in_seconds))

    async def _give_back(
        self,
        send_in_seconds: float | None = None,
        *,
        trouble: str | None = None,
        spends_retry: bool = False,
        unsent: Sequence[int] = (),
    ) -> Verdict:
        """Give the lease back; None sends again when the batch's turn is. `unsent` are messages of which the
        intent may be written, and which certainly did not leave.
        """
        handed_over = self._handed_over_count > 0
        how = Release(
            send_in_seconds=send_in_seconds,
            poll_in_seconds=self._first_poll_in() if handed_over else None,
            poll_count=0 if handed_over else None,
            retry_count=min(self._work.retry_count + 1, _MOST_COUNTED) if spends_retry else None,
            trouble=trouble,
        )
        written = [Written(p, MessageState.QUEUED, reason=trouble, spends_attempt=False) for p in unsent]
        return self._verdict(await self._release(how, written), trouble)

    def _verdict(
        self, state: BatchState | None, trouble: str | None, *, held_account: str | None = None
    ) -> Verdict:
        return Verdict(
            self._work.batch_id,
            self._work.campaign_id,
            state,
            self._handed_over_count,
            trouble if state is not None else "lease lost",
            held_account,
        )

    def _first_poll_in(self) -> float:
        return self._desk.policy.poll.delay_seconds(0, self._desk.random())

    def _send_again_in(self, outcomes: Sequence[Outcome]) -> float:
        backoff = self._desk.policy.retry.delay_seconds(self._work.retry_count, self._desk.random())
        waits = [0.0]
        for outcome in outcomes:
            match outcome:
                case Throttled(retry_after_seconds=seconds):
                    # Not sooner than by backoff: some say 0 seconds, again and again.
                    waits.append(max(seconds or 0.0, backoff))
                case NotSent(retry_at_once=False):
                    waits.append(backoff)
                case _:
                    continue
        return max(waits)

    async def _release(self, how: Release, written: Sequence[Written]) -> BatchState | None:
        return await self._write(
            partial(
                batches.release, self._database, self._work, how, worker=self._desk.worker, written=written
            )
        )

    async def _write(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """A provider's answer in hand is worth waiting for: without it a hundred messages are in doubt."""
        return await insist(write, until=self._lease_ends_at)


async def _outcomes(
    provider: Provider, request: Sequence[OutboundMessage], sender_id: str, *, leave_by: float
) -> list[Outcome]:
    try:
        # By then an adapter has its answer or has given it up: one that hangs must not keep its place.
        async with asyncio.timeout_at(leave_by + provider.timeout_seconds):
            outcomes = await provider.hand_over(request, sender_id, leave_by)
    except Exception as error:  # an adapter's bug must not lose what it did: whether it left is not known
        return [InDoubt(f"the adapter broke down: {type(error).__name__}")] * len(request)
    if len(outcomes) != len(request):
        return [InDoubt("the adapter gave another number of outcomes than messages")] * len(request)
    return outcomes


def message_ref(campaign_id: UUID, row: int) -> str:
    """Our id of a message: the same on every attempt, unique over all installations."""
    return f"{campaign_id.hex}-{row}"


def _written(position: int, outcome: Outcome) -> Written:
    match outcome:
        case Accepted():
            return Written(
                position,
                MessageState.ACCEPTED,
                provider_message_id=outcome.provider_message_id,
                cost=outcome.cost,
                segment_count=_believed(outcome.segment_count),
            )
        case Rejected():
            return Written(
                position, MessageState.REJECTED, provider_state=outcome.code, reason=outcome.reason
            )
        case Failed():
            return Written(position, MessageState.FAILED, provider_state=outcome.code, reason=outcome.reason)
        case Throttled() | NotSent():
            return Written(position, MessageState.QUEUED, reason=outcome.why)
        case AccountTrouble():
            return Written(
                position,
                MessageState.QUEUED,
                provider_state=outcome.code,
                reason=outcome.reason,
                spends_attempt=False,
            )
        case InDoubt():
            return Written(position, MessageState.IN_DOUBT, reason=outcome.why)


def _believed(segment_count: int | None) -> int | None:
    # A number no message can have would not fit its column, and the answer of a whole batch be lost.
    return segment_count if segment_count is not None and 0 <= segment_count <= _MOST_SEGMENTS else None


def _at_once(outcome: Outcome) -> bool:
    return isinstance(outcome, NotSent) and outcome.retry_at_once


def _trouble(outcomes: Sequence[Outcome]) -> str | None:
    """Why the batch must not go on just now; None when it may. Doubt and refusals are no such reason."""
    for outcome in outcomes:
        match outcome:
            case AccountTrouble():
                return f"account on hold: {outcome.reason}"
            case Throttled() | NotSent():
                return outcome.why
            case Accepted() | Rejected() | Failed() | InDoubt():
                continue
    return None


async def deal_probes(database: Database) -> list[str]:
    """The held accounts whose probe is due now; each is given to one caller, the next by backoff."""
    return await accounts.deal_probes(
        database,
        first_seconds=_PROBE_FIRST_SECONDS,
        max_seconds=_PROBE_MAX_SECONDS,
        down_first_seconds=_DOWN_FIRST_SECONDS,
        down_max_seconds=_DOWN_MAX_SECONDS,
    )


async def probe_account(database: Database, desk: Desk, account: str) -> bool:
    """Ask a held account for a sign of life, which costs nothing; lift the hold when all is well.

    Gives whether the hold was lifted: where the provider was down, because it answers; else because
    there is money. That may still be too little for the next request: then that request is refused
    whole, and the account is on hold again.
    """
    known = desk.accounts.get(account)
    hold = next((hold for hold in await accounts.holds(database) if hold.account == account), None)
    if known is None or hold is None:
        return False
    try:
        money = await known.provider.probe()
    except ProviderRefused:
        return False
    if hold.code != accounts.DOWN and money is not None and money.amount <= 0:
        return False
    return await accounts.resume(database, account)


async def resume_account(database: Database, account: str) -> bool:
    """Lift the hold on an account by an operator's word. Gives False when there was none."""
    return await accounts.resume(database, account)


async def holds(database: Database) -> list[accounts.Hold]:
    """The accounts on hold."""
    return await accounts.holds(database)
