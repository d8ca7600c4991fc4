"""Sweeps over many batches: leases that ran out, deadlines that passed, campaigns that were cancelled.

Each takes a bounded number, locks them in order of id and skips locked ones, so that any number of ticks may
sweep at once without a deadlock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from campaigns.domain.states import OPEN, UNSETTLED, MessageState
from campaigns.domain.timeline import Source
from campaigns.store.conditions import (
    IS_CANCELLED,
    IS_IN_DOUBT,
    IS_LEASED,
    IS_READY,
    IS_SENDING,
    IS_UNLEASED,
    may_be_sent,
)
from campaigns.store.law import in_list, quoted
from campaigns.store.session import Connection, Database
from campaigns.store.tally import Release, let_go
from campaigns.store.timeline import noted, step

_ASIDE_POLL_SECONDS = 3600.0  # before a batch that was set aside is asked about


@dataclass(frozen=True, slots=True)
class Rescued:
    """What one sweep did."""

    batch_count: int = 0
    in_doubt_count: int = 0
    failed_count: int = 0
    unknown_count: int = 0
    set_aside_count: int = 0


# Batches that crashed together are released at random times from the second crash on, in a span that grows.
# Else one poison batch would crash the same others again and again, and all would be set aside.
_APART = """CASE WHEN crash_count = 0 THEN {moment}
    ELSE greatest({moment}, now() + make_interval(secs => $3 * crash_count * random())) END"""


async def rescue_expired(
    database: Database, *, limit: int, most_crashes: int, apart_seconds: float = 0.0
) -> Rescued:
    """Take back leases that ran out: `sending` messages were handed over by somebody who never wrote
    the answer down, so they are in doubt; what was not touched is ready again.

    A batch under which `most_crashes` workers in a row ended is set aside: what is still queued in it
    fails with that reason, its polls come an hour apart, and the others go on. Before that, those under
    which a worker ended twice or more come back apart from each other, by up to `apart_seconds` a crash.
    """
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection, f"{IS_LEASED} AND b.leased_until <= now()", "b.leased_until", limit
        )
        if not ids:
            return Rescued()
        doubted = await connection.fetch(
            # In doubt since the lease ended: the request left before that, and within a lease of it.
            "UPDATE message m SET state = 'in_doubt', updated_at = b.leased_until,"
            f" timeline = {noted(step(Source.RESCUE, quoted(MessageState.IN_DOUBT)))},"
            " reason = 'the worker stopped between handing over and writing the answer down'"
            " FROM batch b WHERE b.id = m.batch_id"
            f" AND m.batch_id = ANY($1::bigint[]) AND {IS_SENDING} RETURNING 1",
            ids,
        )
        poisonous = await connection.fetch(
            "UPDATE batch SET crash_count = crash_count + 1,"
            f" send_at = {_APART.format(moment='send_at')}, poll_at = {_APART.format(moment='poll_at')}"
            " WHERE id = ANY($1::bigint[]) AND leased_by IS NOT NULL"
            " RETURNING id, crash_count >= $2 AS is_poisonous",
            ids,
            most_crashes,
            apart_seconds,
        )
        aside = [record["id"] for record in poisonous if record["is_poisonous"]]
        failed_count = await _move(
            connection,
            aside,
            {MessageState.QUEUED},
            MessageState.FAILED,
            "format('set aside: %s workers in a row ended while working on its batch', $2::text)",
            str(most_crashes),
        )
        others = sorted(set(ids) - set(aside))
        if others:
            await let_go(connection, dict.fromkeys(others, Release(trouble="lease ran out")))
        if aside:
            how = Release(poll_in_seconds=_ASIDE_POLL_SECONDS, trouble="set aside: it ended its workers")
            await let_go(connection, dict.fromkeys(aside, how))
    return Rescued(
        batch_count=len(ids),
        in_doubt_count=len(doubted),
        failed_count=failed_count,
        set_aside_count=len(aside),
    )


async def resend_doubtful(
    database: Database, *, limit: int, after_seconds: float, most_attempts: int, give_up_seconds: float
) -> int:
    """Queue what is in doubt again, in campaigns that asked for it (`on_doubt = resend`), once it has been
    in doubt for `after_seconds` and if it was handed over fewer than `most_attempts` times. What may not be
    sent now (paused, on hold, too late) stays in doubt meanwhile. Gives how many.
    """
    is_due = "attempt < $3 AND updated_at <= now() - make_interval(secs => $2)"
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection,
            f"{IS_UNLEASED} AND b.in_doubt_count > 0 AND EXISTS (SELECT 1 FROM campaign c"
            " WHERE c.id = b.campaign_id AND c.on_doubt = 'resend' AND c.finished_at IS NULL"
            f" AND {may_be_sent('b.account')})"
            f" AND EXISTS (SELECT 1 FROM message m WHERE m.batch_id = b.id AND {IS_IN_DOUBT}"
            f" AND {is_due})",
            "b.id",
            limit,
            after_seconds,
            most_attempts,
        )
        if not ids:
            return 0
        queued_count = await _move(
            connection,
            ids,
            {MessageState.IN_DOUBT},
            MessageState.QUEUED,
            "'sent again by the campaign''s wish: ' || coalesce(reason, '')",
            after_seconds,
            most_attempts,
            only=is_due,
        )
        how = Release(send_in_seconds=0, give_up_in_seconds=give_up_seconds)
        await let_go(connection, dict.fromkeys(ids, how))
    return queued_count


async def give_up(database: Database, *, limit: int) -> Rescued:
    """Settle what is past its deadline: never handed over becomes failed, the rest unknown."""
    async with database.transaction() as connection:
        ids = await _lock_some(connection, f"{IS_UNLEASED} AND b.give_up_at <= now()", "b.give_up_at", limit)
        if not ids:
            return Rescued()
        failed_count = await _move(
            connection,
            ids,
            UNSETTLED - OPEN,
            MessageState.FAILED,
            "'not handed over by the deadline' || coalesce(': ' || coalesce(reason, ("
            " SELECT coalesce(h.reason, a.reason) FROM batch b"
            " LEFT JOIN campaign_hold h ON h.campaign_id = b.campaign_id AND h.lifted_at IS NULL"
            " LEFT JOIN account_hold a ON a.account = b.account WHERE b.id = message.batch_id)), '')",
        )
        unknown_count = await _move(
            connection,
            ids,
            OPEN,
            MessageState.UNKNOWN,
            "'no final word by the deadline' || coalesce(': ' || reason, '')",
        )
        await let_go(connection, dict.fromkeys(ids, Release(trouble="deadline passed")))
    return Rescued(batch_count=len(ids), failed_count=failed_count, unknown_count=unknown_count)


async def expire_queued(database: Database, *, limit: int) -> int:
    """Settle what was not handed over by its campaign's `not_after`. Gives how many messages."""
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection,
            f"{IS_READY} AND b.campaign_id IN"
            " (SELECT id FROM campaign WHERE not_after <= now() AND finished_at IS NULL)",
            "b.id",
            limit,
        )
        if not ids:
            return 0
        expired_count = await _move(
            connection,
            ids,
            {MessageState.QUEUED},
            MessageState.EXPIRED,
            "'not handed over by the campaign''s not_after' || coalesce(': ' || reason, '')",
        )
        await let_go(connection, dict.fromkeys(ids, Release(trouble="not_after passed")))
    return expired_count


async def cancel_queued(database: Database, *, limit: int, campaign_id: UUID | None = None) -> int:
    """Settle the queued messages of cancelled campaigns, at most `limit` batches a call. Gives how
    many batches it worked on; 0 means there is nothing left to do.
    """
    async with database.transaction() as connection:
        ids = await _lock_some(
            connection,
            f"{IS_READY} AND b.campaign_id IN (SELECT c.id FROM campaign c WHERE {IS_CANCELLED}"
            " AND c.finished_at IS NULL AND ($2::uuid IS NULL OR c.id = $2))",
            "b.id",
            limit,
            campaign_id,
        )
        if not ids:
            return 0
        await _move(connection, ids, {MessageState.QUEUED}, MessageState.CANCELLED, "'campaign cancelled'")
        await let_go(connection, dict.fromkeys(ids, Release()))
    return len(ids)


async def _move(
    connection: Connection,
    batch_ids: Sequence[int],
    before: Collection[MessageState],
    after: MessageState,
    reason: str,
    *arguments: object,
    only: str = "true",
) -> int:
    """Move messages of locked batches from any of these states to one, with a reason. Gives how many.

    `reason` and `only` are SQL; their arguments come from $2 on.
    """
    records = await connection.fetch(
        f"UPDATE message SET state = {quoted(after)}, updated_at = now(), reason = {reason},"
        f" timeline = {noted(step(Source.RULE, quoted(after)), message='')}"
        f" WHERE batch_id = ANY($1::bigint[]) AND state IN {in_list(before)} AND {only} RETURNING 1",
        batch_ids,
        *arguments,
    )
    return len(records)


async def _lock_some(
    connection: Connection, condition: str, order: str, limit: int, *arguments: object
) -> list[int]:
    """Lock batches `b` that meet a condition. Gives their ids."""
    # Locked in order of id, like everywhere, so that two sweeps never deadlock.
    records = await connection.fetch(
        "SELECT b.id FROM batch b WHERE b.id IN"
        f" (SELECT b.id FROM batch b WHERE {condition} ORDER BY {order} LIMIT $1)"
        f" AND {condition} ORDER BY b.id FOR NO KEY UPDATE OF b SKIP LOCKED",
        limit,
        *arguments,
    )
    return [record["id"] for record in records]
