"""Celery's tasks: thin. Unpack ids, run one stage, do what its verdict asks for.

A task carries ids alone and may be lost, repeated or late: the lease makes a second run a no-op, and
the tick brings a lost one back. `throws`: a database that is away is one line in the log, no traceback.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

from celery import Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from campaigns import aggregation, batching, holding, receipts, rescue, sending, submission
from campaigns.domain.errors import DatabaseUnavailable, SubmissionError
from campaigns.domain.states import BatchState
from campaigns.store.batch import Dealt
from worker import queues
from worker.app import app, runtime
from worker.bootstrap import Parts, sender_of
from worker.logs import get_logger

log = get_logger("campaigns")

# After a batch ends, more is dealt at once rather than at the next tick, but not more often than this:
# a deal is one statement for many batches.
_DEAL_EVERY_SECONDS = 0.1
_AWAY_SECONDS = 1.0
_MERGE_SECONDS = 5.0


@app.task(name=queues.TICK, throws=(DatabaseUnavailable,))
def tick() -> None:
    """Beat's task: rescue, deal out what is due, end what is settled, probe held accounts.

    Level-triggered: it looks at what there is, so a missed tick, a doubled one or two beats do no harm.
    """

    async def work(parts: Parts) -> tuple[rescue.Rescue, int, list[str], bool]:
        rescued = await rescue.rescue(parts.database, apart_seconds=parts.desk.policy.lease_seconds)
        for campaign_id in await aggregation.finish(parts.database):
            log.info("campaign finished", campaign_id=str(campaign_id))
        resent_count = await rescue.resend(parts.database, parts.desk.policy)
        held_accounts = await holding.deal_probes(parts.database)
        return rescued, resent_count, held_accounts, await receipts.are_waiting(parts.database)

    rescued, resent_count, held_accounts, receipts_wait = runtime.run(work)
    if resent_count:
        log.warning("in doubt and sent again, as their campaigns wish", message_count=resent_count)
    if not rescued.is_quiet:
        log.warning(
            "rescued",
            lease_count=rescued.lease_count,
            in_doubt_count=rescued.in_doubt_count,
            failed_count=rescued.failed_count,
            unknown_count=rescued.unknown_count,
            cancelled_batch_count=rescued.cancelled_batch_count,
            set_aside_count=rescued.set_aside_count,
        )
    _deal()
    for account in held_accounts:
        probe_account.apply_async((account,))
    if receipts_wait:
        merge_receipts.apply_async()


@app.task(name=queues.SEND_BATCH, throws=(DatabaseUnavailable,))
def send_batch(batch_id: int, lease: int) -> None:
    """Hand one dealt batch over."""
    verdict = runtime.run(
        lambda parts: sending.send_batch(parts.database, parts.desk, Dealt(batch_id, lease))
    )
    _after(verdict.campaign_id, batch_id, verdict.state)
    if verdict.held_account:
        log.error(
            "account on hold",
            account=verdict.held_account,
            campaign_id=str(verdict.campaign_id),
            trouble=verdict.trouble,
        )
    elif verdict.trouble:
        log.warning(
            "batch held up",
            campaign_id=str(verdict.campaign_id),
            batch_id=batch_id,
            handed_over_count=verdict.handed_over_count,
            trouble=verdict.trouble,
        )


@app.task(name=queues.POLL_BATCH, throws=(DatabaseUnavailable,))
def poll_batch(batch_id: int, lease: int) -> None:
    """Ask what became of one dealt batch."""
    polled = runtime.run(
        lambda parts: receipts.poll_batch(parts.database, parts.desk, Dealt(batch_id, lease))
    )
    _after(polled.campaign_id, batch_id, polled.state)
    if polled.found_count or polled.absent_count:
        log.info(
            "doubt settled by asking",
            campaign_id=str(polled.campaign_id),
            batch_id=batch_id,
            found_count=polled.found_count,
            absent_count=polled.absent_count,
        )
    if polled.trouble:
        log.warning(
            "poll incomplete",
            campaign_id=str(polled.campaign_id),
            batch_id=batch_id,
            asked_count=polled.asked_count,
            answered_count=polled.answered_count,
            trouble=polled.trouble,
        )


@app.task(name=queues.MERGE_RECEIPTS, throws=(DatabaseUnavailable,))
def merge_receipts() -> None:
    """Merge what came by callback, until nothing is due or a bounded time is over; then the next tick."""
    ends_at = time.monotonic() + _MERGE_SECONDS
    while time.monotonic() < ends_at:
        merged = runtime.run(lambda parts: receipts.merge_waiting(parts.database, parts.desk))
        if merged.dropped_count:
            log.warning("receipts that matched no message", receipt_count=merged.dropped_count)
        if merged.receipt_count == 0:
            return


@app.task(name=queues.PROBE_ACCOUNT, throws=(DatabaseUnavailable,))
def probe_account(account: str) -> None:
    """Ask whether a held account may go on."""
    if runtime.run(lambda parts: holding.probe_account(parts.database, parts.desk, account)):
        log.info("account resumed by its probe", account=account)


# The one late ack: until it is stored, the message is all there is of the campaign. Run twice, the
# submission key makes it one campaign.
@app.task(
    name=queues.SUBMIT, bind=True, acks_late=True, reject_on_worker_lost=True, throws=(SubmissionError,)
)
def submit(  # noqa: PLR0913, PLR0917  the public contract names them
    self: Task[Any, Any],
    account: str,
    text: str,
    recipients: list[dict[str, Any]],
    sender_id: str | None = None,
    name: str | None = None,
    submission_key: str | None = None,
    region: str | None = None,
    phone_column: str = "phone",
    on_doubt: Literal["hold", "resend"] = "hold",
) -> str:
    """Take a campaign in from another service. Gives its id (which Celery ignores; read it by `list`).

    Without a submission key the task's own id is the key, so that a redelivered message is no second
    campaign. Bad input is logged as one sentence and raised as SubmissionError.
    """

    async def work(parts: Parts) -> str:
        taken = await submission.submit(
            parts.database,
            parts.desk.policy,
            submission.Submission(
                account=account.lower(),
                text=text,
                sender_id=sender_of(parts.settings, account.lower(), sender_id),
                name=name or f"campaign of {account}",
                submission_key=submission_key or f"task:{self.request.id}",
                phone_column=phone_column,
                region=region.upper() if region else None,
                currency=parts.settings.account(account.lower()).currency,
                on_doubt=on_doubt,
            ),
            submission.rows_of(recipients),
            batch_size=batching.BATCH_SIZE,
        )
        log.info(
            "campaign taken in" if taken.created else "campaign known already",
            campaign_id=str(taken.id),
            recipient_count=taken.recipient_count,
            refused=dict(taken.refused),
        )
        return str(taken.id)

    try:
        campaign_id = runtime.run(work)
    except SubmissionError as error:
        log.error("submission refused", account=account, why=str(error))
        raise
    except DatabaseUnavailable as error:
        time.sleep(_AWAY_SECONDS)  # in this thread only; keeps a requeued message from spinning
        raise Reject(str(error), requeue=True) from error
    _deal_soon()
    return campaign_id


def _after(campaign_id: Any, batch_id: int, state: BatchState | None) -> None:
    if state is BatchState.DONE and runtime.run(
        lambda parts: aggregation.finish(parts.database, campaign_id)
    ):
        log.info("campaign finished", campaign_id=str(campaign_id), batch_id=batch_id)
    _deal_soon()


class _Dealer:
    """When this process last dealt. One thread deals at a time; the others have better things to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0.0

    def deal_soon(self) -> None:
        if time.monotonic() - self._last < _DEAL_EVERY_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = time.monotonic()
            _deal()
        finally:
            self._lock.release()


_deal_soon = _Dealer().deal_soon


def _deal() -> None:
    """Deal out what is due and make it tasks. What cannot be published is taken back; what the broker loses
    comes back when its lease ends.
    """

    async def work(parts: Parts) -> tuple[list[Dealt], list[Dealt]]:
        return (
            await batching.deal_polling(parts.database, parts.desk),
            await batching.deal_sending(parts.database, parts.desk),
        )

    to_poll, to_send = runtime.run(work)
    tasks = [(poll_batch, dealt) for dealt in to_poll] + [(send_batch, dealt) for dealt in to_send]
    left = _publish(tasks)
    if left:
        runtime.run(lambda parts: batching.take_back(parts.database, left))


def _publish(tasks: Sequence[tuple[Task[Any, Any], Dealt]]) -> list[Dealt]:
    """Make dealt batches tasks. Gives those with which that failed; the first of them may be in Redis all the
    same, where it will find its lease gone.
    """
    for index, (task, dealt) in enumerate(tasks):
        try:
            task.apply_async((dealt.batch_id, dealt.lease))
        except OperationalError as error:
            left = [each for _, each in tasks[index:]]
            log.warning("broker away", batch_count=len(left), why=type(error.__cause__ or error).__name__)
            return left
    return []
