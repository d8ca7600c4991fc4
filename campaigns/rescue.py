"""Brings back what was left behind: leases that ran out, messages in doubt, deadlines that passed.

`rescue` runs on every tick, in any number of processes at once; `resolve` is an operator's decision.
"""

from dataclasses import dataclass
from uuid import UUID

from campaigns.domain.errors import CampaignError
from campaigns.domain.metrics import RESCUE_LEASES, RESCUE_MESSAGES, UNMETERED, Meter
from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, normalise
from campaigns.domain.policy import MOST_ATTEMPTS, Policy
from campaigns.domain.states import MessageState
from campaigns.store.rescue import resolution, sweep
from campaigns.store.rescue.resolution import Decision
from campaigns.store.session import Database

_BATCHES_A_SWEEP = 200
_MOST_CRASHES = 5  # workers in a row that ended on one batch before it is set aside


@dataclass(frozen=True, slots=True)
class Rescue:
    """What one sweep did; all zero on a quiet tick."""

    lease_count: int  # leases that ran out and were taken back
    in_doubt_count: int  # messages a dead worker had handed over without writing the answer down
    failed_count: int  # never handed over by their deadline
    unknown_count: int  # no final status by their deadline
    cancelled_batch_count: int
    set_aside_count: int = 0  # batches that ended one worker after the other
    expired_count: int = 0  # messages not handed over by their campaign's `not_after`

    @property
    def is_quiet(self) -> bool:
        """Whether there was nothing to do."""
        return not any(
            (
                self.lease_count,
                self.in_doubt_count,
                self.failed_count,
                self.unknown_count,
                self.cancelled_batch_count,
                self.set_aside_count,
                self.expired_count,
            )
        )

    def moved(self) -> list[tuple[MessageState, int]]:
        """How many messages it moved to which states."""
        return [
            (MessageState.IN_DOUBT, self.in_doubt_count),
            (MessageState.FAILED, self.failed_count),
            (MessageState.UNKNOWN, self.unknown_count),
            (MessageState.EXPIRED, self.expired_count),
        ]


async def rescue(database: Database, *, apart_seconds: float = 0.0, meter: Meter = UNMETERED) -> Rescue:
    """One bounded sweep. Idempotent; what it does not reach, the next sweep does.

    Takes `apart_seconds`, the longest a batch is worked on: batches under which workers ended again and
    again come back so far apart that one of them does not end the others' workers too. 0: together. And the
    meter.

    A lease that ran out: messages nobody touched are ready again, those that were `sending` are in
    doubt, because the request may have left. Never back to queued: that would send them twice.
    """
    expired = await sweep.rescue_expired(
        database, limit=_BATCHES_A_SWEEP, most_crashes=_MOST_CRASHES, apart_seconds=apart_seconds
    )
    given_up = await sweep.give_up(database, limit=_BATCHES_A_SWEEP)
    cancelled = await sweep.cancel_queued(database, limit=_BATCHES_A_SWEEP)
    expired_count = await sweep.expire_queued(database, limit=_BATCHES_A_SWEEP)
    rescued = Rescue(
        lease_count=expired.batch_count,
        in_doubt_count=expired.in_doubt_count,
        failed_count=given_up.failed_count + expired.failed_count,
        unknown_count=given_up.unknown_count,
        cancelled_batch_count=cancelled,
        set_aside_count=expired.set_aside_count,
        expired_count=expired_count,
    )
    if not rescued.is_quiet:
        meter.count(RESCUE_LEASES, rescued.lease_count)
        for state, count in rescued.moved():
            meter.count(RESCUE_MESSAGES, count, state)
    return rescued


async def resend(database: Database, policy: Policy) -> int:
    """Queue what is in doubt again in campaigns that prefer a second text to none (`on_doubt = resend`),
    after a lease's time of waiting for evidence. Gives how many messages; one bounded sweep.
    """
    return await sweep.resend_doubtful(
        database,
        limit=_BATCHES_A_SWEEP,
        after_seconds=policy.lease_seconds,
        most_attempts=MOST_ATTEMPTS,
        give_up_seconds=policy.give_up_seconds,
    )


async def resolve(
    database: Database,
    policy: Policy,
    campaign_id: UUID,
    decision: Decision,
    *,
    raw_phone: str | None,
    region: str | None,
    operator: str,
) -> int:
    """An operator's decision on a campaign's messages in doubt (or on one number's): `resend` queues them
    again, `assume_sent` settles them as unknown. Recorded with who and when.

    Gives how many messages it moved. Dangerous: a message that was delivered after all and is sent again
    is a second text. Raises NotFound, NotAllowed, CampaignError for a number that cannot be read.
    """
    phone = None
    if raw_phone is not None:
        try:
            phone = normalise(raw_phone, region)
        except InvalidPhone as error:
            raise CampaignError(f"the number cannot be read: {PHONE_REASONS[error.reason]}") from error
    return await resolution.resolve(
        database,
        campaign_id,
        decision,
        phone=phone,
        operator=operator,
        give_up_seconds=policy.give_up_seconds,
    )
