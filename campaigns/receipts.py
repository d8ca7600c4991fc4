"""Evidence about messages, merged once: the higher of what we knew and what the provider says.

Polling asks for the unsettled messages of one batch at a time and comes back by backoff until all are
settled or the deadline passes. Repeated, late and reordered words end the same.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Answers
from campaigns.domain.states import BatchState, MessageState
from campaigns.store import batch as batches
from campaigns.store.batch import Dealt, Evidence, PollingWork
from campaigns.store.session import Database, insist
from campaigns.store.tally import Release

_NO_SUCH_ACCOUNT_SECONDS = 60.0
_LONGEST_PROVIDER_STATE = 64
_SHARE_OF_LEASE = 0.9  # for asking; the rest is for writing down


@dataclass(frozen=True, slots=True)
class Polled:
    """What became of polling a batch. `state` is None when the lease was not ours."""

    batch_id: int
    campaign_id: UUID | None = None
    state: BatchState | None = None
    asked_count: int = 0
    answered_count: int = 0
    trouble: str | None = None


async def poll_batch(database: Database, desk: Desk, dealt: Dealt) -> Polled:
    """Ask for the unsettled messages of a dealt batch, merge the answers, say when to ask again.

    Safe to run late, repeatedly and by anybody: only the first to take the lease up asks, and asking
    costs nothing. What is settled is never asked again. Raises DatabaseUnavailable and nothing else by
    design.
    """
    lease_ends_at = asyncio.get_running_loop().time() + desk.policy.lease_seconds
    work = await batches.take_up_polling(
        database, dealt, worker=desk.worker, lease_seconds=desk.policy.lease_seconds
    )
    if work is None:
        return Polled(dealt.batch_id)
    account = desk.accounts.get(work.account)
    if account is None:
        answers = Answers([], f"this worker's settings know no account {work.account!r}")
        again_in = _NO_SUCH_ACCOUNT_SECONDS
    else:
        answers = await _answers(account, work, desk.policy.lease_seconds * _SHARE_OF_LEASE)
        again_in = desk.policy.poll.delay_seconds(work.poll_count + 1, desk.random())
    evidence = _evidence(work, answers)
    if answers.retry_after_seconds is not None:
        if not evidence:  # nothing was learned, so the backoff does not grow
            # Our own pace says when exactly. A provider may say 0 seconds, again and again.
            of_provider = answers.trouble is not None
            again_in = desk.policy.poll.delay_seconds(0, desk.random()) if of_provider else 0.0
        again_in = max(again_in, answers.retry_after_seconds)
    how = Release(
        poll_in_seconds=again_in,
        poll_count=min(work.poll_count + (1 if evidence or answers.retry_after_seconds is None else 0), 1000),
        trouble=answers.trouble,
    )
    try:
        state = await batches.merge_polled(database, work, evidence, how, worker=desk.worker)
    except DatabaseUnavailable as away:
        # What was learned can be learned again. Left to its lease, the batch would look as if a worker had
        # ended on it.
        evidence, how = [], Release(poll_in_seconds=again_in, trouble=str(away))
        let_go = partial(batches.release, database, work, how, worker=desk.worker)
        state = await insist(let_go, until=lease_ends_at)
    return Polled(
        work.batch_id,
        work.campaign_id,
        state,
        asked_count=len(work.ids),
        answered_count=len(evidence),
        trouble=how.trouble if state is not None else "lease lost",
    )


async def _answers(account: Account, work: PollingWork, within_seconds: float) -> Answers:
    if not work.ids:
        return Answers([])
    try:
        async with asyncio.timeout(within_seconds):
            return await account.provider.ask(list(work.ids), account.turn)
    except Exception as error:  # an adapter's bug: asked again by backoff, not each time a lease runs out
        return Answers([], f"the adapter broke down: {type(error).__name__}")


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
