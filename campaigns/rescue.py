"""Brings back what was left behind: leases that ran out, deadlines that passed, cancelled campaigns.

Run on every tick, by any number of processes at once.
"""

from dataclasses import dataclass

from campaigns.store import sweep
from campaigns.store.session import Database

_BATCHES_A_ROUND = 200


@dataclass(frozen=True, slots=True)
class Rescue:
    """What one round did; all zero on a quiet tick."""

    lease_count: int  # leases that ran out and were taken back
    in_doubt_count: int  # messages a dead worker had handed over without writing the answer down
    failed_count: int  # never handed over by their deadline
    unknown_count: int  # no final word by their deadline
    cancelled_batch_count: int

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
            )
        )


async def rescue(database: Database) -> Rescue:
    """One bounded round. Idempotent; what it does not reach, the next round does.

    A lease that ran out: messages nobody touched are ready again, those that were `sending` are in
    doubt, because the request may have left. Never back to queued: that would send them twice.
    """
    expired = await sweep.rescue_expired(database, limit=_BATCHES_A_ROUND)
    given_up = await sweep.give_up(database, limit=_BATCHES_A_ROUND)
    cancelled = await sweep.cancel_queued(database, limit=_BATCHES_A_ROUND)
    return Rescue(
        lease_count=expired.batch_count,
        in_doubt_count=expired.in_doubt_count,
        failed_count=given_up.failed_count,
        unknown_count=given_up.unknown_count,
        cancelled_batch_count=cancelled,
    )
