"""Signs of life, and what is due: whether anybody works on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from campaigns.domain.states import EVIDENCE, MessageState
from campaigns.store.conditions import IS_IN_DOUBT, IS_LEASED, IS_NOT_DONE, IS_READY, IS_UNLEASED, may_be_sent
from campaigns.store.law import sum_of
from campaigns.store.session import Database

Kind = Literal["worker", "beat", "tick"]

_FORGOTTEN_AFTER = "1 day"
# Of these a request left: what failed or expired may have waited until then.
_LEFT = (EVIDENCE - {MessageState.FAILED, MessageState.EXPIRED}) | {MessageState.IN_DOUBT}

_SEEN = (
    "INSERT INTO pulse (kind, name) SELECT * FROM unnest($1::text[], $2::text[])"
    " ON CONFLICT (kind, name) DO UPDATE SET seen_at = now()"
)

# Each of these is the first of an index, or reads the few open campaigns and, from one account to the next,
# which accounts they use: cheap also with a million due.
_WORK = f"""
    WITH RECURSIVE used AS (
        SELECT c.id, (SELECT min(b.account) FROM batch b
                      WHERE b.campaign_id = c.id AND {IS_NOT_DONE}) AS account
        FROM campaign c WHERE c.finished_at IS NULL
        UNION ALL
        SELECT u.id, (SELECT min(b.account) FROM batch b
                      WHERE b.campaign_id = u.id AND {IS_NOT_DONE} AND b.account > u.account)
        FROM used u WHERE u.account IS NOT NULL
    ),
    running AS MATERIALIZED (
        SELECT c.id, u.account, {may_be_sent("u.account")} AS is_sent
        FROM used u JOIN campaign c ON c.id = u.id WHERE u.account IS NOT NULL
    )
    SELECT now() AS now,
           (SELECT max(seen_at) FROM pulse WHERE kind = 'tick') AS ticked_at,
           (SELECT max(seen_at) FROM pulse WHERE kind = 'worker') AS worker_seen_at,
           (SELECT count(*)::int FROM pulse
            WHERE kind = 'worker' AND seen_at > now() - make_interval(secs => $1)) AS worker_count,
           (SELECT min(d.at) FROM running r CROSS JOIN LATERAL (
                SELECT b.send_at AS at FROM batch b
                WHERE b.campaign_id = r.id AND b.account = r.account AND {IS_READY}
                  AND b.send_at <= now()
                ORDER BY b.send_at LIMIT 1) d
            WHERE r.is_sent) AS to_send_since,
           (SELECT min(d.at) FROM running r CROSS JOIN LATERAL (
                SELECT b.poll_at AS at FROM batch b
                WHERE b.campaign_id = r.id AND b.account = r.account AND {IS_UNLEASED}
                  AND b.poll_at <= now()
                ORDER BY b.poll_at LIMIT 1) d) AS to_poll_since,
           (SELECT b.leased_until FROM batch b WHERE {IS_LEASED} AND b.leased_until <= now()
            ORDER BY b.leased_until LIMIT 1) AS lease_over_since,
           (SELECT look_at FROM waiting_receipt WHERE set_aside_at IS NULL AND look_at <= now()
            ORDER BY look_at LIMIT 1) AS receipt_since
"""

_SIGNS = """
    SELECT extract(epoch FROM now() - (
               SELECT look_at FROM waiting_receipt WHERE set_aside_at IS NULL AND look_at <= now()
               ORDER BY look_at LIMIT 1))::float8 AS receipt_seconds,
           (SELECT extract(epoch FROM now() - max(seen_at))::float8 FROM pulse
            WHERE kind = 'tick') AS tick_seconds
"""

_DOUBT = f"""
    SELECT COALESCE(sum(b.in_doubt_count), 0)::int AS count, count(DISTINCT b.campaign_id)::int AS campaigns,
           (SELECT min(m.updated_at) FROM (
                SELECT b.id FROM batch b WHERE {IS_NOT_DONE} AND b.in_doubt_count > 0 ORDER BY b.id LIMIT 100
            ) o JOIN message m ON m.batch_id = o.id AND {IS_IN_DOUBT}) AS since
    FROM batch b WHERE {IS_NOT_DONE} AND b.in_doubt_count > 0
"""


@dataclass(frozen=True, slots=True)
class Work:
    """When somebody was last seen to work, and since when what is due waits; None: never, nothing."""

    now: datetime
    ticked_at: datetime | None
    worker_seen_at: datetime | None
    worker_count: int
    to_send_since: datetime | None
    to_poll_since: datetime | None
    lease_over_since: datetime | None
    receipt_since: datetime | None


@dataclass(frozen=True, slots=True)
class Signs:
    """How old the oldest receipt that is due is, and the last tick, in seconds; None: there is none."""

    receipt_seconds: float | None
    tick_seconds: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Messages in doubt over all campaigns."""

    count: int
    campaigns: int
    since: datetime | None


async def seen(database: Database, pulses: Sequence[tuple[Kind, str]]) -> None:
    """Write down that these live, by kind and name. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        await connection.execute(_SEEN, [kind for kind, _ in pulses], [name for _, name in pulses])


async def gone(database: Database, kind: Kind, name: str) -> None:
    """Forget one that ends, and those that were not seen for a day. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        await connection.execute(
            "DELETE FROM pulse WHERE (kind = $1 AND name = $2)"
            f" OR (kind IN ('worker', 'beat') AND seen_at < now() - interval '{_FORGOTTEN_AFTER}')",
            kind,
            name,
        )


async def seconds_since(database: Database, kind: Kind, host: str) -> float | None:
    """How long ago one of this kind was seen on `host` (its name begins with it); None: never."""
    async with database.connection() as connection:
        age: float | None = await connection.fetchval(
            "SELECT extract(epoch FROM now() - max(seen_at))::float8 FROM pulse"
            " WHERE kind = $1 AND split_part(name, ':', 1) = $2",
            kind,
            host,
        )
    return age


async def signs(database: Database) -> Signs:
    """What also a role may ask that may do nothing but store receipts. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        record = await connection.fetchrow(_SIGNS)
    return Signs(**dict(record or {}))


async def work(database: Database, *, alive_seconds: float) -> Work:
    """Whether anybody works on what is due. A worker counts that was seen within `alive_seconds`."""
    async with database.connection() as connection:
        record = await connection.fetchrow(_WORK, alive_seconds)
    return Work(**dict(record or {}))


# A batch's `give_up_at` is moved on at each hand-over: by it that is known without its messages.
_LEFT_BEFORE = f"""
    SELECT count(*)::int FROM campaign c WHERE c.finished_at IS NULL AND EXISTS (
        SELECT FROM batch b WHERE b.campaign_id = c.id AND {sum_of(_LEFT, "b")} > 0
          AND b.give_up_at - make_interval(secs => $2) < coalesce($1::timestamptz, now()))
"""


async def left_before(database: Database, moment: datetime | None, *, give_up_seconds: float) -> int:
    """How many campaigns that are not over handed a whole batch over before a moment (None: ever), as far as
    their batches tell, whose deadline is so long after the last hand-over.
    """
    async with database.connection() as connection:
        count: int = await connection.fetchval(_LEFT_BEFORE, moment, give_up_seconds)
    return count


async def doubt(database: Database) -> Doubt:
    """Messages in doubt over all campaigns; `since` by the oldest hundred batches that have any."""
    async with database.connection() as connection:
        record = await connection.fetchrow(_DOUBT)
    return Doubt(**dict(record or {}))
