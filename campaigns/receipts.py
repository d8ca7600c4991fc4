"""Evidence about messages, merged once: the higher of what we knew and what the provider says.

Polling asks for the unsettled messages of one batch at a time and comes back by backoff until all are
settled or the deadline passes. Repeated, late and reordered words end the same.
"""

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.message_ref import message_ref, place_of
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Answers, Doubtful, Receipt, Sighting, Sightings
from campaigns.domain.said import (
    believed_channel,
    believed_cost,
    believed_currency,
    believed_moment,
    reason_of,
)
from campaigns.domain.segments import believed_segment_count
from campaigns.domain.states import BatchState, MessageState, is_settled
from campaigns.places import ALONE, Way, placed
from campaigns.store import batch as batches
from campaigns.store import polling
from campaigns.store import receipt as rows
from campaigns.store.batch import Dealt
from campaigns.store.polling import Evidence, InDoubtMessage, PollingWork
from campaigns.store.receipt import Incoming, Merged, Told, Waiting
from campaigns.store.session import Database, insist
from campaigns.store.tally import Release

_NO_SUCH_ACCOUNT_SECONDS = 60.0
_LONGEST_PROVIDER_STATE = 64
_SHARE_OF_LEASE = 0.9  # for asking; the rest is for writing down
_LONGEST_ID = 128
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text takes neither
_BUNDLE = 2_000  # receipts merged in one transaction
_COARSE_BUNDLE = 100
_MOST_LOOKS = 3  # at what a coarse receipt may mean; then it counts as it is
_LOOK_AGAIN_SECONDS = 6.0  # some may not be asked of the same message again within 5


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


async def poll_batch(database: Database, desk: Desk, dealt: Dealt, way: Way = ALONE) -> Polled:
    """Ask for the unsettled messages of a dealt batch, merge the answers, say when to ask again. What is in
    doubt is looked up by our reference, where the provider can be asked: what it knows is accepted, what it
    clearly does not know, long enough after, is queued again.

    Takes its way through the places of this process, at whose first part it is. Safe to run late, repeatedly
    and by anybody: only the first to take the lease up asks, and asking costs nothing. What is settled is
    never asked again. Raises DatabaseUnavailable and nothing else by design.
    """
    lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds
    work = await polling.take_up_polling(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Polled(dealt.batch_id)
    account = desk.accounts.get(work.account)
    sightings = Sightings()
    asks_doubt = True
    if account is None:
        answers = Answers([], f"this worker's settings know no account {work.account!r}")
        again_in = _NO_SUCH_ACCOUNT_SECONDS
    else:
        answers, sightings = await _asked(account, work, desk.policy.lease_seconds, lease_ends_at, way)
        again_in = desk.policy.poll.delay_seconds(work.poll_count + 1, desk.random())
        settles_after = account.provider.settles_doubt_after_seconds
        asks_doubt = settles_after is not None
        if settles_after is not None:
            again_in = min([again_in, *(_ripe_in(work, each, settles_after) for each in work.in_doubt)])
    by_ref = {message_ref(work.campaign_id, work.number, m.position): m.position for m in work.in_doubt}
    evidence = [*_evidence(work, answers), *_found(by_ref, sightings)]
    absent = [by_ref[ref] for ref in sightings.absent if ref in by_ref]
    trouble = answers.trouble or sightings.trouble
    said_to_wait = [
        wait for wait in (answers.retry_after_seconds, sightings.retry_after_seconds) if wait is not None
    ]
    if said_to_wait:
        if not evidence:  # nothing was learned, so the backoff does not grow
            # Our own pace says when exactly. A provider may say 0 seconds, again and again.
            again_in = desk.policy.poll.delay_seconds(0, desk.random()) if trouble is not None else 0.0
        again_in = max(again_in, *said_to_wait)
    if account is not None:
        again_in = max(again_in, account.provider.least_pause_seconds)
    how = Release(
        send_in_seconds=0 if absent else None,
        poll_in_seconds=again_in,
        poll_count=min(work.poll_count + (1 if evidence or not said_to_wait else 0), 1000),
        trouble=trouble,
        asks_doubt=asks_doubt,
    )
    try:
        state = await polling.merge_polled(
            database,
            work,
            evidence,
            how,
            worker=desk.worker,
            absent=absent,
            by_id=account is not None and account.provider.calls_back_by_id,
        )
    except DatabaseUnavailable as away:
        # What was learned can be learned again. Left to its lease, the batch would look as if a worker had
        # ended on it.
        evidence, absent, how = [], [], Release(poll_in_seconds=again_in, trouble=str(away))
        let_go = partial(batches.release, database, work, how, worker=desk.worker)
        state = await insist(let_go, until=lease_ends_at)
    return Polled(
        work.batch_id,
        work.campaign_id,
        state,
        asked_count=len(work.ids) + len(work.in_doubt) * asks_doubt,
        answered_count=len(evidence) + len(absent),
        found_count=sum(each.provider_message_id is not None for each in evidence),
        absent_count=len(absent),
        trouble=how.trouble if state is not None else "lease lost",
        due_in_seconds=0.0 if how.send_in_seconds is not None else how.poll_in_seconds,
    )


def _ripe_in(work: PollingWork, message: InDoubtMessage, settles_after: float) -> float:
    """In how many seconds nothing found may be believed of a message in doubt; inf where it may now."""
    left = settles_after - (work.now - message.since).total_seconds()
    return left if left > 0 else math.inf


async def _asked(
    account: Account, work: PollingWork, lease_seconds: float, lease_ends_at: float, way: Way
) -> tuple[Answers, Sightings]:
    answers, sightings = Answers([]), Sightings()
    provider = account.provider
    settles_after = provider.settles_doubt_after_seconds
    lease = timedelta(seconds=lease_seconds)
    ripe = [
        Doubtful(message_ref(work.campaign_id, work.number, m.position), m.phone, m.since - lease, m.since)
        for m in work.in_doubt
        if settles_after is not None and _ripe_in(work, m, settles_after) == math.inf
    ]
    if not await placed(way, lease_seconds):
        return Answers([], retry_after_seconds=0.0), sightings
    try:
        async with asyncio.timeout_at(lease_ends_at - lease_seconds * (1 - _SHARE_OF_LEASE)):
            if work.ids:
                answers = await provider.ask(list(work.ids), account.turn)
            if ripe and answers.trouble is None and answers.retry_after_seconds is None:
                sightings = await provider.look_up(ripe, account.turn)
    except Exception as error:  # an adapter's bug: asked again by backoff, not each time a lease runs out
        sightings = Sightings(trouble=f"the adapter broke down: {type(error).__name__}")
    await way.go_on()
    return answers, sightings


def _found(by_ref: Mapping[str, int], sightings: Sightings) -> list[Evidence]:
    # One sighting a message, the newest evidence of several: an operator may have had it sent again.
    best: dict[int, Evidence] = {}
    for seen in sightings.seen:
        position = by_ref.get(seen.message_ref or "")
        if position is None:
            continue  # somebody else's changes nothing
        state = seen.evidence or MessageState.ACCEPTED  # it is there, whatever the word means
        if position in best and state.rank <= _rank(best[position].state):
            continue
        best[position] = Evidence(
            position,
            state,
            seen.provider_state[:_LONGEST_PROVIDER_STATE],
            seen.provider_message_id,
            believed_segment_count(seen.segment_count),
            seen.cost,
        )
    return list(best.values())


def _evidence(work: PollingWork, answers: Answers) -> Sequence[Evidence]:
    # One word a message: of several for the same id the highest, as the law of evidence has it.
    best: dict[int, Evidence] = {}
    for receipt in answers.receipts:
        position = work.ids.get(receipt.provider_message_id or "")
        if position is None:
            continue  # somebody else's id changes nothing
        known = best.get(position)
        if known is not None and _rank(receipt.evidence) <= _rank(known.state):
            continue
        best[position] = Evidence(
            position, receipt.evidence, receipt.provider_state[:_LONGEST_PROVIDER_STATE]
        )
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
    incoming = [each for account, receipt in taken if (each := _incoming(account, receipt, now)) is not None]
    if incoming:
        await rows.keep(database, incoming)


def _incoming(account: str, receipt: Receipt, now: datetime) -> Incoming | None:
    """What is kept of a receipt; None where it names no message in any way we could use."""
    place = None if receipt.message_ref is None else place_of(receipt.message_ref)
    named = receipt.provider_message_id
    if named is not None and (not named or len(named) > _LONGEST_ID or _UNSTORABLE.search(named)):
        named = None
    if named is None and place is None:
        return None
    word = _UNSTORABLE.sub("", receipt.provider_state)[:_LONGEST_PROVIDER_STATE]
    return Incoming(account, named, place, receipt.evidence, word, receipt.is_coarse, told_by(receipt, now))


def told_by(said: Receipt | Sighting, now: datetime) -> Told:
    """What a provider says beside its word, as it is kept: what cannot be believed is left out.

    Takes the time now, aware.
    """
    return Told(
        reason_of(said.code, said.reason),
        believed_moment(said.changed_at, now),
        believed_cost(said.cost),
        believed_currency(said.currency),
        believed_segment_count(said.segment_count),
        believed_channel(said.channel),
    )


async def are_waiting(database: Database) -> bool:
    """Whether receipts of callbacks are there to be merged now."""
    return await rows.are_due(database)


async def waiting(database: Database) -> Waiting:
    """What of the receipts of callbacks is set aside, and how long the oldest that is due has been due:
    more than some seconds, and nobody merges. For `doctor` and `/health`. Raises DatabaseUnavailable.
    """
    return await rows.waiting(database)


async def merge_waiting(database: Database, desk: Desk) -> Merged:
    """Merge what came by callback, a bounded number. Where the provider may know it more exactly it is
    asked before; where it has no finer word in three answers, what came counts as it is.

    Idempotent; any number may merge at once. Raises DatabaseUnavailable.
    """
    await _refine(database, desk)
    return await rows.merge(database, limit=_BUNDLE, give_up_seconds=desk.policy.give_up_seconds)


async def _refine(database: Database, desk: Desk) -> None:
    coarse = await rows.take_coarse(
        database, limit=_COARSE_BUNDLE, again_in_seconds=desk.policy.lease_seconds
    )
    settled: list[int] = []
    finer: list[tuple[int, MessageState | None, str]] = []
    for name in {each.account for each in coarse}:
        account = desk.accounts.get(name)
        of_account = [each for each in coarse if each.account == name]
        if account is None:
            settled += [each.id for each in of_account]
            continue
        work_seconds = desk.policy.lease_seconds * _SHARE_OF_LEASE
        try:
            async with asyncio.timeout(work_seconds):
                answers = await account.provider.ask(
                    [each.provider_message_id for each in of_account], account.turn
                )
        except Exception as error:  # an adapter's bug: what came counts as it is
            answers = Answers([], f"the adapter broke down: {type(error).__name__}")
        said = {receipt.provider_message_id: receipt for receipt in answers.receipts}
        again: list[int] = []
        for each in of_account:
            receipt = said.get(each.provider_message_id)
            if receipt is not None and receipt.evidence is not None and is_settled(receipt.evidence):
                finer.append((each.id, receipt.evidence, receipt.provider_state[:_LONGEST_PROVIDER_STATE]))
                settled.append(each.id)
            elif each.look_count >= _MOST_LOOKS:
                settled.append(each.id)
            else:
                again.append(each.id)
        if again:
            wait = max(answers.retry_after_seconds or 0.0, _LOOK_AGAIN_SECONDS)
            await rows.look_again(database, again, in_seconds=wait)
    if finer:
        await rows.refine(database, finer)
    if settled:
        await rows.settle_coarse(database, settled)
