"""Evidence about messages, merged once: the higher of what we knew and what the provider says.

Polling asks for the unsettled messages of one batch at a time, each once a cycle, and comes back by backoff
until all are settled or the deadline passes. Repeated, late and reordered receipts end the same.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from campaigns.adapter_calls import call_adapter
from campaigns.coarse import refine_coarse
from campaigns.domain.asking import MOST_COUNTED, Batch, Series, next_poll
from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.message_ref import key_of, message_ref
from campaigns.domain.metrics import RECEIPTS, RECEIPTS_MISSED
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Answers, Doubtful, PaceUsedUp, Provider, Receipt, Sightings
from campaigns.domain.said import believed_id, details_of, kept_status_word
from campaigns.domain.states import BatchState, MessageState, is_settled
from campaigns.domain.stops import NO_SUCH_ACCOUNT_SECONDS, no_such_account
from campaigns.domain.tracing import Attribute, Work
from campaigns.pacing.lanes import UNBOUNDED, Slot, wait_for_provider
from campaigns.store.leases import Dealt
from campaigns.store.receipts import callbacks as rows
from campaigns.store.receipts import incoming, polling
from campaigns.store.receipts.callbacks import Merged
from campaigns.store.receipts.incoming import Incoming
from campaigns.store.receipts.polling import Evidence, PollingWork
from campaigns.store.sending import hand_over as batches
from campaigns.store.session import Database, retry_while_away
from campaigns.store.tally import Release

_SHARE_OF_LEASE = 0.9  # for asking; the rest is for writing down
_BUNDLE = 2_000  # receipts merged in one transaction


@dataclass(frozen=True, slots=True)
class Polled:
    """What became of polling a batch. `state` is None when the lease was not ours."""

    batch_id: int
    campaign_id: UUID | None = None
    state: BatchState | None = None
    asked_count: int = 0
    answered_count: int = 0
    found_count: int = 0  # in doubt, and the provider has them
    absent_count: int = 0  # in doubt, and the provider certainly has them not: queued again
    trouble: str | None = None
    due_in_seconds: float | None = None  # when it wants work again


async def poll_batch(database: Database, desk: Desk, dealt: Dealt, slot: Slot = UNBOUNDED) -> Polled:
    """Ask for the unsettled messages of a dealt batch, merge the answers, say when to ask again. What is in
    doubt is looked up by our reference, where the provider can be asked: what it knows is accepted, what it
    clearly does not know, long enough after, is queued again. What our pace leaves no time for is asked the
    next time the batch is taken up; this then counts as no poll.

    Waits for its slot in the lanes of this process; it enters in the first. Safe to run late, repeatedly and
    by several workers: only the first to take the lease up asks, and asking costs nothing. What is settled is
    never asked again. Raises DatabaseUnavailable and nothing else by design.
    """
    lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds
    work = await polling.take_up_polling(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Polled(dealt.batch_id)
    account = desk.accounts.get(work.account)
    if account is None:
        return await _put_off(database, desk, work, lease_ends_at)
    about = {Attribute.ACCOUNT: work.account, Attribute.PROVIDER: account.provider_name}
    with desk.tracer.span(Work.POLL_BATCH, about, link=work.trace_parent) as span:
        polled = await _ask_and_merge(database, desk, account, work, lease_ends_at, slot)
        span.note({Attribute.STATE: polled.state, Attribute.MESSAGES: polled.answered_count})
        if polled.trouble is not None:
            span.fail("lease lost" if polled.state is None else "incomplete")
    return polled


async def _ask_and_merge(
    database: Database, desk: Desk, account: Account, work: PollingWork, lease_ends_at: float, slot: Slot
) -> Polled:
    loop = asyncio.get_running_loop()
    taken_up_at = loop.time()
    traits = account.provider.traits
    series = await _ask(desk, account, work, lease_ends_at, slot)
    learned = _learned(work, series, by_id=traits.calls_back_by_id)
    _count(desk, account, work.account, learned)
    overdue = max(_seconds(work.due_at or work.now, work.now), 0.0) + loop.time() - taken_up_at
    batch = Batch(work.poll_count, overdue, [_seconds(m.since, work.now) for m in work.in_doubt])
    after = next_poll(series.outcome(), batch, traits, desk.policy.poll, desk.random())
    how = Release(
        send_in_seconds=0 if learned.absent else None,
        poll_in_seconds=after.in_seconds,
        poll_count=after.poll_count,
        trouble=series.trouble or _shared(work),
        asks_doubt=traits.settles_doubt_after_seconds is not None,
    )
    return await _write_down(database, desk, work, learned, how, lease_ends_at)


async def _put_off(database: Database, desk: Desk, work: PollingWork, lease_ends_at: float) -> Polled:
    """Give the lease of a batch back whose account this worker does not know; another may."""
    how = Release(
        poll_in_seconds=NO_SUCH_ACCOUNT_SECONDS,
        poll_count=min(work.poll_count + 1, MOST_COUNTED),
        trouble=no_such_account(work.account),
    )
    return await _write_down(database, desk, work, _Learned(), how, lease_ends_at)


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def _shared(work: PollingWork) -> str | None:
    if not work.shared_id_count:
        return None
    return f"{work.shared_id_count} messages bear ids of the provider's that others bear too: not asked about"


@dataclass(frozen=True, slots=True)
class _Series:
    """What one series of questions about a batch brought. `asked` and `unasked` are positions."""

    answers: Answers
    sightings: Sightings = field(default_factory=Sightings)
    asked: frozenset[int] = frozenset()
    unasked: frozenset[int] = frozenset()
    wait_seconds: float | None = None

    @property
    def trouble(self) -> str | None:
        return self.answers.trouble or self.sightings.trouble

    def outcome(self) -> Series:
        return Series(not self.unasked, bool(self.asked), self.trouble is not None, self.wait_seconds)


async def _ask(desk: Desk, account: Account, work: PollingWork, lease_ends_at: float, slot: Slot) -> _Series:
    """Ask about those who were not asked in this cycle, for as long as the lease allows."""
    provider, lease_seconds = account.provider, desk.policy.lease_seconds
    ids = {each: position for each, position in work.ids.items() if position not in work.asked}
    ripe = {each.message_ref: (position, each) for position, each in _ripe(work, provider, lease_seconds)}
    given = frozenset([*ids.values(), *(position for position, _ in ripe.values())])
    # Of a part that never came to its end, nobody was asked.
    answers, sightings = Answers([], unasked=[*ids]), Sightings(unasked=[*ripe])
    if not await wait_for_provider(slot, lease_seconds):
        return _Series(answers, sightings, unasked=given, wait_seconds=0.0)
    ends_at = lease_ends_at - lease_seconds * (1 - _SHARE_OF_LEASE)
    wait_for_slot = account.asking_until(ends_at - provider.traits.timeout_seconds)

    async def wait_for_pace() -> None:
        if desk.is_stopping():
            raise PaceUsedUp(0.0)
        await wait_for_slot()

    if ids:
        asking = provider.ask(list(ids), wait_for_pace)
        answers = await call_adapter(asking, ends_at, lambda why: Answers([], why, unasked=[*ids]))
    if ripe and answers.trouble is None and answers.retry_after_seconds is None:
        looking = provider.look_up([each for _, each in ripe.values()], wait_for_pace)
        sightings = await call_adapter(looking, ends_at, lambda why: Sightings(trouble=why, unasked=[*ripe]))
    await slot.advance()
    unasked = [ids[each] for each in answers.unasked if each in ids]
    left = frozenset([*unasked, *(ripe[ref][0] for ref in sightings.unasked if ref in ripe)])
    waits = [answers.retry_after_seconds, sightings.retry_after_seconds]
    wait = max((each for each in waits if each is not None), default=None)
    return _Series(answers, sightings, given - left, left, wait)


def _ripe(work: PollingWork, provider: Provider, lease_seconds: float) -> list[tuple[int, Doubtful]]:
    """The messages in doubt that may be looked up now and were not in this cycle, by position."""
    settles_after = provider.traits.settles_doubt_after_seconds
    if settles_after is None:
        return []
    lease = timedelta(seconds=lease_seconds)
    return [
        (
            m.position,
            Doubtful(
                message_ref(work.campaign_id, work.number, m.position),
                m.phone,
                m.left_after or m.since - lease,
                m.since,
            ),
        )
        for m in work.in_doubt
        if m.position not in work.asked and _seconds(m.since, work.now) >= settles_after
    ]


@dataclass(frozen=True, slots=True)
class _Learned:
    """What is to be written down of a series. `absent` and `in_cycle` are positions: what is queued again,
    and what was asked in a cycle that is not complete. `by_id`: as in `Traits.calls_back_by_id`.
    """

    evidence: Sequence[Evidence] = ()
    absent: Sequence[int] = ()
    in_cycle: Sequence[int] = ()
    asked_count: int = 0
    by_id: bool = False


def _learned(work: PollingWork, series: _Series, *, by_id: bool) -> _Learned:
    by_ref = {message_ref(work.campaign_id, work.number, m.position): m.position for m in work.in_doubt}
    evidence = [*_evidence(work, series.answers), *_found(by_ref, series.sightings, work.now)]
    absent = [by_ref[ref] for ref in series.sightings.absent if ref in by_ref]
    settled = {each.position for each in evidence if each.state is not None and is_settled(each.state)}
    in_cycle = [*(work.asked | series.asked) - settled] if series.unasked else []
    return _Learned(evidence, absent, in_cycle, len(series.asked), by_id)


def _count(desk: Desk, account: Account, name: str, learned: _Learned) -> None:
    """For machines: what a series of questions brought, and which ends callbacks should have told before."""
    states = [each.state for each in learned.evidence]
    desk.meter.count_each(RECEIPTS, (name, "poll"), (state or "none" for state in states))
    if account.callbacks is not None:
        missed_count = sum(state is not None and is_settled(state) for state in states)
        desk.meter.count(RECEIPTS_MISSED, missed_count, name)


async def _write_down(
    database: Database, desk: Desk, work: PollingWork, learned: _Learned, how: Release, until: float
) -> Polled:
    """Merge what was learned and give the lease back; where the database went away, at least that."""
    try:
        state = await polling.merge_polled(
            database,
            work,
            learned.evidence,
            how,
            worker=desk.worker,
            absent=learned.absent,
            by_id=learned.by_id,
            asked=learned.in_cycle,
        )
    except DatabaseUnavailable as away:
        # What was learned can be learned again. Left to its lease, the batch would look as if a worker had
        # ended on it.
        wait = desk.policy.poll.delay_seconds(work.poll_count + 1, desk.random())
        learned = replace(learned, evidence=[], absent=[])
        how = Release(poll_in_seconds=wait, trouble=str(away))
        let_go = partial(batches.release, database, work, how, worker=desk.worker)
        state = await retry_while_away(let_go, until=until)
    return Polled(
        work.batch_id,
        work.campaign_id,
        state,
        asked_count=learned.asked_count,
        answered_count=len(learned.evidence) + len(learned.absent),
        found_count=sum(each.provider_message_id is not None for each in learned.evidence),
        absent_count=len(learned.absent),
        trouble=how.trouble if state is not None else "lease lost",
        due_in_seconds=0.0 if how.send_in_seconds is not None else max(how.poll_in_seconds or 0.0, 0.0),
    )


def _found(by_ref: Mapping[str, int], sightings: Sightings, now: datetime) -> Sequence[Evidence]:
    # Of several for one reference the highest: an operator may have had the message sent again.
    return _highest(
        Evidence(
            by_ref[seen.message_ref],
            seen.evidence or MessageState.ACCEPTED,  # it is there, whatever its status word means
            kept_status_word(seen.provider_state),
            seen.provider_message_id,
            details_of(seen, now),
        )
        for seen in sightings.seen
        if seen.message_ref is not None and seen.message_ref in by_ref  # somebody else's changes nothing
    )


def _evidence(work: PollingWork, answers: Answers) -> Sequence[Evidence]:
    return _highest(
        Evidence(
            work.ids[receipt.provider_message_id],
            receipt.evidence,
            kept_status_word(receipt.provider_state),
            details=details_of(receipt, work.now),
        )
        for receipt in answers.receipts
        # Somebody else's id changes nothing.
        if receipt.provider_message_id is not None and receipt.provider_message_id in work.ids
    )


def _highest(found: Iterable[Evidence]) -> Sequence[Evidence]:
    """One of each message: of several the highest, as the law of evidence says; of equals the first."""
    best: dict[int, Evidence] = {}
    for each in found:
        known = best.get(each.position)
        if known is None or _rank(each.state) > _rank(known.state):
            best[each.position] = each
    return list(best.values())


def _rank(evidence: MessageState | None) -> int:
    return -1 if evidence is None else evidence.rank


# --- callbacks ---------------------------------------------------------------------------------------


async def take_in_many(database: Database, taken: Sequence[tuple[str, Receipt]]) -> None:
    """Keep receipts that providers called us with, each with its account: durable when this returns.

    One statement, however many. Idempotent in effect: a receipt that comes twice is merged twice, which
    changes nothing. Raises DatabaseUnavailable; then none was kept.
    """
    now = datetime.now(UTC)
    kept = [each for account, receipt in taken if (each := _incoming(account, receipt, now)) is not None]
    if kept:
        await incoming.keep(database, kept)


def _incoming(account: str, receipt: Receipt, now: datetime) -> Incoming | None:
    """What is kept of a receipt; None where it names no message that we could find."""
    key = None if receipt.message_ref is None else key_of(receipt.message_ref)
    named = believed_id(receipt.provider_message_id)
    if named is None and key is None:
        return None
    return Incoming(
        account,
        named,
        key,
        receipt.evidence,
        kept_status_word(receipt.provider_state),
        receipt.is_coarse,
        details_of(receipt, now),
    )


async def strangers(database: Database) -> dict[str, int]:
    """How many receipts of each account match no message so far. Raises DatabaseUnavailable."""
    return await rows.strangers(database)


async def are_waiting(database: Database) -> bool:
    """Whether receipts of callbacks are there to be merged now."""
    return await rows.are_due(database)


async def merge_waiting(database: Database, desk: Desk) -> Merged:
    """Merge what came by callback, a bounded number. Where the provider may know it more exactly it is
    asked before; where it says nothing more exact in three answers, what came counts as it is.

    What is asked for holds up nothing that can be merged. Idempotent; any number may merge at once. Raises
    DatabaseUnavailable.
    """
    merge = partial(rows.merge, database, limit=_BUNDLE, give_up_seconds=desk.policy.give_up_seconds)
    merged, is_refined = await asyncio.gather(merge(), refine_coarse(database, desk))
    return merged.plus(await merge()) if is_refined else merged
