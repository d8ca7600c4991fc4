"""Receipts of callbacks: kept as they come, merged into their messages in bundles.

Set-based: a constant number of statements for a bundle, whatever its size. Whoever merges holds the rows of
the bundle; any number may merge at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from campaigns.domain.message_ref import Place
from campaigns.domain.states import MessageState
from campaigns.domain.values import value
from campaigns.store.session import Database
from campaigns.store.tally import Release, let_go, recount


@value
class Told:
    """What a provider says of a message beside its word, fit to be kept (`campaigns.domain.said`)."""

    reason: str | None = None
    changed_at: datetime | None = None
    cost: Decimal | None = None
    currency: str | None = None
    segment_count: int | None = None
    channel: str | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Incoming:
    """A receipt as it came; it names its message by the provider's id, by our reference, or by both."""

    account: str
    provider_message_id: str | None
    place: Place | None
    evidence: MessageState | None
    provider_state: str
    is_coarse: bool
    told: Told = NOTHING_TOLD


@dataclass(frozen=True, slots=True)
class Coarse:
    """A receipt about which the provider may know more."""

    id: int
    account: str
    provider_message_id: str
    look_count: int


@dataclass(frozen=True, slots=True)
class Merged:
    """What one bundle did."""

    receipt_count: int = 0
    waiting_count: int = 0  # match no message so far
    dropped_count: int = 0  # matched none until the deadline


async def keep(database: Database, incoming: Sequence[Incoming]) -> None:
    """Keep receipts, in one statement. Committed when it returns.

    Of coarse ones about the same message one waits at a time: it asks the one question they all ask for.
    """
    places = [each.place for each in incoming]
    told = [each.told for each in incoming]
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO waiting_receipt (account, provider_message_id, campaign_id, number, position,"
            " evidence, provider_state, is_coarse, reason, changed_at, cost, currency, segment_count,"
            " channel)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int[], $5::smallint[],"
            " $6::message_state[], $7::text[], $8::bool[], $9::text[], $10::timestamptz[], $11::numeric[],"
            " $12::text[], $13::smallint[], $14::text[])"
            " ON CONFLICT DO NOTHING",
            [each.account for each in incoming],
            [each.provider_message_id for each in incoming],
            [place and place.campaign_id for place in places],
            [place and place.number for place in places],
            [place and place.position for place in places],
            [each.evidence for each in incoming],
            [each.provider_state for each in incoming],
            [each.is_coarse for each in incoming],
            [each.reason for each in told],
            [each.changed_at for each in told],
            [each.cost for each in told],
            [each.currency for each in told],
            [each.segment_count for each in told],
            [each.channel for each in told],
        )


async def are_due(database: Database) -> bool:
    """Whether there is something to merge or to refine now."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM waiting_receipt"
                " WHERE set_aside_at IS NULL AND look_at <= now())"
            )
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits at one moment."""

    set_aside_count: int
    oldest_due_seconds: float | None  # for how long the oldest that is due has been due; None: none is


async def waiting(database: Database) -> Waiting:
    """How many receipts are set aside, and for how long the oldest one that is due has waited."""
    async with database.connection() as connection:
        record = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM waiting_receipt WHERE set_aside_at IS NOT NULL) AS aside,"
            " (SELECT extract(epoch FROM now() - min(look_at))::float8 FROM waiting_receipt"
            " WHERE set_aside_at IS NULL AND look_at <= now()) AS due"
        )
    return Waiting(record["aside"], record["due"]) if record else Waiting(0, None)


_MATCH = """
    WITH known AS (
        SELECT r.id, b.id AS batch_id, r.position
        FROM waiting_receipt r
        JOIN batch b ON b.campaign_id = r.campaign_id AND b.number = r.number
        JOIN campaign c ON c.id = b.campaign_id AND c.account = r.account
        WHERE r.id = ANY($1::bigint[])
        UNION ALL
        SELECT r.id, m.batch_id, m.position
        FROM waiting_receipt r
        JOIN message_by_provider_id i ON i.provider_message_id = r.provider_message_id
        JOIN message m ON m.batch_id = i.batch_id AND m.position = i.position
            AND m.provider_message_id = i.provider_message_id  -- it may have been sent again since
        JOIN batch b ON b.id = m.batch_id
        JOIN campaign c ON c.id = b.campaign_id AND c.account = r.account
        WHERE r.id = ANY($1::bigint[]) AND r.campaign_id IS NULL
    )
    SELECT id, batch_id, position FROM known
"""

# Of several words for one message the highest counts, as the law of evidence has it. A queued message that
# was handed over before (the provider had said it knew no such thing) takes its receipt too: else it would
# be sent again. One that learns its id here may be named by it alone the next time.
_MERGE = """
    WITH named AS (
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT r.provider_message_id, k.batch_id, k.position
        FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS k(id, batch_id, position)
        JOIN waiting_receipt r ON r.id = k.id AND r.provider_message_id IS NOT NULL
        JOIN message m ON m.batch_id = k.batch_id AND m.position = k.position
            AND m.provider_message_id IS NULL
        ON CONFLICT DO NOTHING
    )
    UPDATE message m SET
        state = greatest(m.state, e.evidence),
        provider_state = e.provider_state,
        provider_message_id = CASE WHEN greatest(m.state, e.evidence) >= 'accepted'
            THEN coalesce(m.provider_message_id, e.provider_message_id) ELSE m.provider_message_id END,
        updated_at = now()
    FROM (
        SELECT DISTINCT ON (k.batch_id, k.position) k.batch_id, k.position, r.evidence, r.provider_state,
               r.provider_message_id
        FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS k(id, batch_id, position)
        JOIN waiting_receipt r ON r.id = k.id
        ORDER BY k.batch_id, k.position, r.evidence DESC NULLS LAST, r.id DESC
    ) e
    WHERE m.batch_id = e.batch_id AND m.position = e.position
      AND (m.state >= 'sending' OR (m.state = 'queued' AND m.attempt >= 1))
      AND (e.evidence > m.state OR (coalesce(e.evidence, m.state) = m.state
                                    AND m.provider_state IS DISTINCT FROM e.provider_state))
"""


async def merge(database: Database, *, limit: int, give_up_seconds: float) -> Merged:
    """Merge a bundle of what is due. What matches no message is looked at again, less and less often,
    until `give_up_seconds` after it came.
    """
    async with database.transaction() as connection:
        taken = await connection.fetch(
            "SELECT id FROM waiting_receipt WHERE set_aside_at IS NULL AND look_at <= now() AND NOT is_coarse"
            " ORDER BY look_at, id LIMIT $1 FOR UPDATE SKIP LOCKED",
            limit,
        )
        ids = [record["id"] for record in taken]
        if not ids:
            return Merged()
        known = await connection.fetch(_MATCH, ids)
        if known:
            # Locked in order of id, like everywhere. A batch under lease keeps it: whoever works on it puts
            # it where it belongs at the end.
            batches = await connection.fetch(
                "SELECT id, state::text AS state FROM batch WHERE id = ANY($1::bigint[])"
                " ORDER BY id FOR NO KEY UPDATE",
                sorted({record["batch_id"] for record in known}),
            )
            await connection.execute(
                _MERGE,
                [record["id"] for record in known],
                [record["batch_id"] for record in known],
                [record["position"] for record in known],
            )
            leased = [batch["id"] for batch in batches if batch["state"] == "leased"]
            free = [batch["id"] for batch in batches if batch["state"] != "leased"]
            if leased:
                await recount(connection, dict.fromkeys(leased))
            if free:
                await let_go(connection, dict.fromkeys(free, Release()))
        matched = {record["id"] for record in known}
        await connection.execute("DELETE FROM waiting_receipt WHERE id = ANY($1::bigint[])", list(matched))
        strangers = [each for each in ids if each not in matched]
        dropped = await connection.fetch(
            "DELETE FROM waiting_receipt WHERE id = ANY($1::bigint[])"
            " AND received_at <= now() - make_interval(secs => $2) RETURNING 1",
            strangers,
            give_up_seconds,
        )
        await connection.execute(
            "UPDATE waiting_receipt SET look_count = least(look_count + 1, 12),"
            " look_at = now() + make_interval(secs => 2 ^ least(look_count, 12))"
            " WHERE id = ANY($1::bigint[])",
            strangers,
        )
    return Merged(len(ids), len(strangers) - len(dropped), len(dropped))


async def take_coarse(database: Database, *, limit: int, again_in_seconds: float) -> list[Coarse]:
    """The coarse receipts that are due, by the provider's id of their message; whoever takes them has so
    long to say more of them. Those whose message has no such id yet count as they are.
    """
    async with database.transaction() as connection:
        records = await connection.fetch(
            """
            WITH due AS (
                SELECT id FROM waiting_receipt WHERE set_aside_at IS NULL AND look_at <= now() AND is_coarse
                ORDER BY look_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
            ),
            named AS (
                SELECT due.id, coalesce(r.provider_message_id, m.provider_message_id) AS provider_message_id
                FROM due JOIN waiting_receipt r ON r.id = due.id
                LEFT JOIN batch b ON b.campaign_id = r.campaign_id AND b.number = r.number
                LEFT JOIN message m ON m.batch_id = b.id AND m.position = r.position
            )
            UPDATE waiting_receipt r SET
                is_coarse = n.provider_message_id IS NOT NULL,
                look_count = CASE WHEN n.provider_message_id IS NULL THEN 0 ELSE r.look_count + 1 END,
                look_at = CASE WHEN n.provider_message_id IS NULL THEN now()
                               ELSE now() + make_interval(secs => $2) END
            FROM named n WHERE r.id = n.id
            RETURNING r.id, r.account, n.provider_message_id, r.look_count
            """,
            limit,
            again_in_seconds,
        )
    return [
        Coarse(record["id"], record["account"], record["provider_message_id"], record["look_count"])
        for record in records
        if record["provider_message_id"] is not None
    ]


async def refine(database: Database, finer: Sequence[tuple[int, MessageState | None, str]]) -> None:
    """What the provider says more exactly: (id, evidence, word) instead of what came."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE waiting_receipt r SET evidence = f.evidence, provider_state = f.provider_state"
            " FROM unnest($1::bigint[], $2::message_state[], $3::text[]) AS f(id, evidence, provider_state)"
            " WHERE r.id = f.id",
            [each[0] for each in finer],
            [each[1] for each in finer],
            [each[2] for each in finer],
        )


async def look_again(database: Database, ids: Sequence[int], *, in_seconds: float) -> None:
    """Ask about these once more, so much later."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE waiting_receipt SET look_at = now() + make_interval(secs => $2)"
            " WHERE id = ANY($1::bigint[])",
            ids,
            in_seconds,
        )


async def settle_coarse(database: Database, ids: Sequence[int]) -> None:
    """These count as they are now."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE waiting_receipt SET is_coarse = false, look_count = 0, look_at = now()"
            " WHERE id = ANY($1::bigint[])",
            ids,
        )
