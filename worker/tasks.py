"""Celery's tasks: thin. Unpack ids, run one stage, do what its verdict asks for.

A task carries only the ids of a few batches that were dealt together. It may be lost, repeated or late: the
lease makes a second run a no-op, and the tick deals a lost batch again. `throws` makes a database that is
away one line in the log instead of a traceback.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol
from uuid import UUID, uuid4

from celery import Task, signals
from celery.exceptions import Reject
from kombu.exceptions import OperationalError

from campaigns import aggregation, batching, holding, reading, receipts, rescue, sending, submission, watching
from campaigns.domain.errors import DatabaseUnavailable, NotFound, SubmissionError
from campaigns.domain.metrics import TICK_SECONDS
from campaigns.domain.policy import Desk
from campaigns.domain.schedule import read_schedule
from campaigns.domain.states import BatchState
from campaigns.domain.tracing import TRACE_HEADER, trace_parent
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from worker import notifying, queues
from worker.app import app, runtime
from worker.batch_runner import BatchRunner
from worker.bootstrap import Parts
from worker.broker import arguments
from worker.dealer import Dealer
from worker.logs.logger import get_logger

log = get_logger("campaigns")

_AWAY_SECONDS = 1.0  # before what needs the database is tried again
_MERGE_SECONDS = 5.0  # for one task that merges receipts; the next tick goes on


@app.task(name=queues.TICK, throws=(DatabaseUnavailable,))
def tick() -> None:
    """Beat's task: rescue, deal out what is due, finish settled campaigns, probe held accounts.

    Level-triggered: it acts on the state it finds, so a missed or doubled tick, or two beats, do no harm.
    """

    beat = tick.request.get(queues.BEAT)  # in this thread: on the loop Celery knows of no request

    async def work(parts: Parts) -> tuple[rescue.Rescue, int, list[str], bool]:
        began_at = time.monotonic()
        await _look_back(parts)
        apart_seconds = parts.desk.policy.lease_seconds
        rescued = await rescue.rescue(parts.database, apart_seconds=apart_seconds, meter=parts.meter)
        for campaign_id in await aggregation.finish(parts.database):
            await _say_finished(parts, campaign_id)
        await _progress.note(parts.database)
        await aggregation.sum_up(parts.database)
        resent_count = await rescue.resend(parts.database, parts.desk.policy)
        probed_accounts = await holding.deal_probes(parts.database)
        probed_accounts += await holding.deal_balances(parts.database)
        await _dealer.now(parts)
        await watching.ticked(parts.database, beat=beat)
        parts.meter.observe(TICK_SECONDS, time.monotonic() - began_at)
        return rescued, resent_count, probed_accounts, await receipts.are_waiting(parts.database)

    rescued, resent_count, probed_accounts, receipts_wait = runtime.run(work)
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
            expired_count=rescued.expired_count,
        )
    for account in probed_accounts:
        probe_account.apply_async((account,))
    if receipts_wait:
        merge_receipts.apply_async()
    notifying.deliver_what_is_due()


@app.task(name=queues.SEND_BATCHES, throws=(DatabaseUnavailable,))
def send_batches(dealt: Sequence[tuple[int, int]]) -> None:
    """Hand dealt batches over, given as (batch id, lease), and what is due after them."""
    _work_on(_sending, dealt)


@app.task(name=queues.POLL_BATCHES, throws=(DatabaseUnavailable,))
def poll_batches(dealt: Sequence[tuple[int, int]]) -> None:
    """Ask what became of dealt batches, given as (batch id, lease), and of what is due after them."""
    _work_on(_polling, dealt)


def _work_on(runner: BatchRunner[Any], dealt: Sequence[tuple[int, int]]) -> None:
    leases = [Dealt(batch_id, lease) for batch_id, lease in dealt]
    runtime.run(lambda parts: runner.work(parts, leases))


async def _sent(parts: Parts, dealt: Dealt, verdict: sending.Verdict) -> None:
    await _after(parts, verdict.campaign_id, dealt.batch_id, verdict.state, verdict.due_in_seconds)
    if verdict.held_campaign:
        log.warning(
            "campaign on hold",
            campaign_id=str(verdict.campaign_id),
            about=verdict.held_campaign.about,
            code=verdict.held_campaign.code,
            why=verdict.held_campaign.reason,
        )
    if verdict.left_before_count:
        log.warning(
            "left before, says Redis, and PostgreSQL had forgotten it: in doubt",
            campaign_id=str(verdict.campaign_id),
            batch_id=dealt.batch_id,
            message_count=verdict.left_before_count,
        )
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
            batch_id=dealt.batch_id,
            handed_over_count=verdict.handed_over_count,
            trouble=verdict.trouble,
        )


async def _polled(parts: Parts, dealt: Dealt, polled: receipts.Polled) -> None:
    await _after(parts, polled.campaign_id, dealt.batch_id, polled.state, polled.due_in_seconds)
    if polled.found_count or polled.absent_count:
        log.info(
            "doubt settled by asking",
            campaign_id=str(polled.campaign_id),
            batch_id=dealt.batch_id,
            found_count=polled.found_count,
            absent_count=polled.absent_count,
        )
    if polled.trouble:
        log.warning(
            "poll incomplete",
            campaign_id=str(polled.campaign_id),
            batch_id=dealt.batch_id,
            asked_count=polled.asked_count,
            answered_count=polled.answered_count,
            trouble=polled.trouble,
        )


@app.task(name=queues.MERGE_RECEIPTS, throws=(DatabaseUnavailable,))
def merge_receipts() -> None:
    """Merge receipts that came by callback until none is due, at most for `_MERGE_SECONDS`: the next tick
    goes on.
    """
    ends_at = time.monotonic() + _MERGE_SECONDS
    while time.monotonic() < ends_at:
        merged = runtime.run(lambda parts: receipts.merge_waiting(parts.database, parts.desk))
        if merged.set_aside_count:
            log.error("receipts set aside, see: campaigns aside list", receipt_count=merged.set_aside_count)
        if merged.dropped_count:
            log.warning("receipts that matched no message", receipt_count=merged.dropped_count)
        if merged.receipt_count == 0:
            return


@app.task(name=queues.PROBE_ACCOUNT, throws=(DatabaseUnavailable,))
def probe_account(account: str) -> None:
    """Ask the provider whether an account on hold may send again."""
    if runtime.run(lambda parts: holding.probe_account(parts.database, parts.desk, account)):
        log.info("account resumed by its probe", account=account)


class _Submission(Task[Any, Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse wrong arguments with a sentence. The base's `__call__` would hide the task's id."""
        try:
            arguments.check(self.run, args, kwargs)
        except SubmissionError as error:
            log.error("submission refused", task_id=self.request.id, why=str(error))
            raise
        return self.run(*args, **kwargs)


# The only task that is acknowledged late: until the campaign is stored, this message is all there is of it.
# If it runs twice, the submission key makes it one campaign.
@app.task(
    name=queues.SUBMIT,
    base=_Submission,
    bind=True,
    acks_late=True,
    reject_on_worker_lost=True,
    throws=(SubmissionError,),
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
    at: str | None = None,
    zone: str | None = None,
    not_after: str | None = None,
    allow_kinds: Sequence[str] = (),
    mobile_only: bool = False,
    literal: bool = False,
) -> str:
    """Take a campaign in from another service. Gives its id (which Celery ignores; read it by `list`).

    Without a submission key the task's own id is the key, so that a redelivered message is no second
    campaign. `at` and `not_after` are ISO 8601, with an offset or in `zone`. A header `traceparent` is kept.
    Bad input is logged as one sentence and raised as SubmissionError.
    """
    # Read here: on the event loop Celery's context is empty. A message without an id gets a key of its own.
    key, asked_by = submission_key or f"task:{self.request.id or uuid4()}", self.request.get(TRACE_HEADER)

    async def work(parts: Parts) -> str:
        terms = parts.settings.terms(account)
        taken = await submission.submit(
            parts.database,
            parts.desk.policy,
            submission.Submission(
                account=terms,
                text=text,
                sender_id=sender_id,
                name=name or f"campaign of {account}",
                submission_key=key,
                phone_column=phone_column,
                region=region,
                on_doubt=on_doubt,
                schedule=read_schedule(at, not_after, zone),
                allow_kinds=allow_kinds,
                mobile_only=mobile_only,
                literal=literal,
                trace_parent=trace_parent(asked_by),
            ),
            submission.blocks_of(recipients),
        )
        if sender_id and not terms.limits.takes_sender_id:
            log.info("sender id kept and not sent", account=account, provider=terms.limits.provider)
        log.info(
            "campaign taken in" if taken.created else "campaign known already",
            campaign_id=str(taken.id),
            recipient_count=taken.recipient_count,
            refused=dict(taken.refused),
            noted=dict(taken.noted),
        )
        _dealer.soon(parts)
        return str(taken.id)

    try:
        return runtime.run(work)
    except (SubmissionError, NotFound) as error:
        log.error("submission refused", account=account, task_id=self.request.id, why=str(error))
        raise SubmissionError(str(error)) from error
    except DatabaseUnavailable as error:
        time.sleep(_AWAY_SECONDS)  # in this thread only; keeps a requeued message from spinning
        raise Reject(str(error), requeue=True) from error


async def _after(
    parts: Parts, campaign_id: Any, batch_id: int, state: BatchState | None, due_in_seconds: float | None
) -> None:
    """Finish the campaign if that was its last batch; deal the batch again when it is due before a tick."""
    if state is BatchState.DONE and await aggregation.finish(parts.database, campaign_id):
        await _say_finished(parts, campaign_id)
    if due_in_seconds is None or parts.desk.is_stopping():
        return
    if due_in_seconds < parts.settings.tick_seconds:
        _dealer.soon(parts, due_in_seconds)


async def _say_finished(parts: Parts, campaign_id: UUID) -> None:
    """Log that a campaign is finished: as a warning with the reasons if every message was refused."""
    overview = await reading.status(parts.database, campaign_id)
    if reading.is_wholly_refused(overview):
        why = "; ".join(f"{each.count} {each.reason} (code {each.code})" for each in overview.reasons)
        log.warning("campaign finished", campaign_id=str(campaign_id), state=overview.state.value, why=why)
    else:
        log.info("campaign finished", campaign_id=str(campaign_id))


_guard = holding.Guard()
_progress = aggregation.Progress()


async def _look_back(parts: Parts, *, once: bool = False) -> None:
    if found := await _guard.look(parts.database, parts.desk, once=once):
        log.error("all accounts on hold", accounts=found.accounts, why=found.why)


class _DealSome(Protocol):
    def __call__(self, database: Database, desk: Desk, *, most: int | None) -> Awaitable[list[Dealt]]: ...


async def _deal(parts: Parts, *, for_all: bool) -> None:
    """Lease the batches that are due: for the slots of this process that wait, and where it is `for_all`,
    publish the others as tasks.

    What cannot be published is released at once; what the broker loses is rescued when its lease ends.
    """
    try:
        await _look_back(parts, once=True)
        await asyncio.gather(
            _deal_one(parts, _polling, poll_batches, batching.deal_polling, for_all=for_all),
            _deal_one(parts, _sending, send_batches, batching.deal_sending, for_all=for_all),
        )
    except DatabaseUnavailable:
        _polling.dismiss()
        _sending.dismiss()
        raise


async def _deal_one(
    parts: Parts, runner: BatchRunner[Any], task: Task[Any, Any], deal: _DealSome, *, for_all: bool
) -> None:
    free_count = runner.free_count(parts)
    if not for_all and not free_count:
        return
    most = None if for_all else free_count
    dealt = runner.fill(parts, await deal(parts.database, parts.desk, most=most))
    # A Celery task costs as much processor time as half a batch, so one task carries several batches: as many
    # as a process has slots for.
    size = parts.sending_lanes.count
    groups = [dealt[i : i + size] for i in range(0, len(dealt), size)]
    if groups and (left := await asyncio.to_thread(_publish, task, groups)):
        await batching.take_back(parts.database, left)


def _want(parts: Parts, for_all: bool) -> None:
    _dealer.soon(parts, for_all=for_all)


_dealer = Dealer(_deal)
_sending = BatchRunner(lambda parts: parts.sending_lanes, sending.send_batch, _sent, _want)
_polling = BatchRunner(lambda parts: parts.polling_lanes, receipts.poll_batch, _polled, _want)
for _close in (_dealer.close, _sending.close, _polling.close):
    runtime.at_close(_close)


@signals.worker_ready.connect
def _listen(**_: Any) -> None:
    """Deal a new campaign as soon as it is submitted, not at the next tick, with connections made ready."""

    async def listen(parts: Parts) -> None:
        with suppress(DatabaseUnavailable):
            await batching.make_ready(parts.database)
        while True:
            with suppress(DatabaseUnavailable):  # the tick deals meanwhile, and logs that it is away
                async for _ in batching.taken_in(parts.database):
                    _dealer.soon(parts)
            await asyncio.sleep(_AWAY_SECONDS)

    runtime.begin(listen)
    runtime.begin(_merge_late_answers)
    runtime.begin(lambda parts: aggregation.keep_days(parts.database))


async def _merge_late_answers(parts: Parts) -> None:
    """Merge answers that the database could not take in time, first those that earlier processes left."""
    await parts.late.keep(parts.spool.take_over())
    while True:
        if parts.late:
            with suppress(DatabaseUnavailable):
                if merged_count := await parts.late.merge(parts.database):
                    log.warning("late answers merged", answer_count=merged_count)
                if not parts.late:
                    await parts.spool.forget()
        await asyncio.sleep(_AWAY_SECONDS)


def _publish(task: Task[Any, Any], groups: Sequence[Sequence[Dealt]]) -> list[Dealt]:
    """Publish a task for each group of batches. Gives the batches that could not be published.

    The first group of them may have been published all the same; its leases will be gone when it runs.
    """
    for index, group in enumerate(groups):
        try:
            task.apply_async(([(each.batch_id, each.lease) for each in group],))
        except OperationalError as error:
            left = [each for group in groups[index:] for each in group]
            log.warning("broker away", batch_count=len(left), why=type(error.__cause__ or error).__name__)
            return left
    return []
