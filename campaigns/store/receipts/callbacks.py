"""Receipts of callbacks that were stored as they came (`incoming.py`): merged into their messages in bundles.

Set-based: a constant number of statements for a bundle, whatever its size. Any number of processes may merge
at once; each locks the rows of its bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.domain.said import Details
from campaigns.domain.states import MessageState, is_settled
from campaigns.store.halving import why
from campaigns.store.receipts import aside
from campaigns.store.session import UNSTORABLE, Connection, Database
from campaigns.store.tally import Release, let_go, recount

_MOST_NAMESAKES = 10  # messages of one provider's id; more is no id
_MOST_WAITS = 3  # for the answer that a receipt outran


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
    set_aside_count: int = 0  # cannot be merged

    def plus(self, other: "Merged") -> "Merged":
        """What both did."""
        return Merged(
            self.receipt_count + other.receipt_count,
            self.waiting_count + other.waiting_count,
            self.dropped_count + other.dropped_count,
            self.set_aside_count + other.set_aside_count,
        )


async def strangers(database: Database) -> dict[str, int]:
    """How many receipts of each account were looked at and matched no message so far."""
    async with database.connection() as connection:
        records = await connection.fetch(
            "SELECT account, count(*) AS n FROM waiting_receipt"
            " WHERE look_count > 0 AND set_aside_at IS NULL AND NOT is_coarse GROUP BY account"
        )
    return {record["account"]: record["n"] for record in records}


async def are_due(database: Database) -> bool:
    """Whether there is something to merge or to refine now."""
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM waiting_receipt"
                " WHERE set_aside_at IS NULL AND look_at <= now())"
            )
        )


# A receipt finds its message by our reference, else by the provider's id, and only after an attempt: what was
# never handed over has no receipt. An id that names very many messages is no id.
_MATCH = """
    WITH named AS (
        SELECT r.id, r.account, r.provider_message_id, i.batch_id, i.position,
               count(*) OVER (PARTITION BY r.id) AS namesakes
        FROM waiting_receipt r CROSS JOIN LATERAL (
            SELECT batch_id, position FROM message_by_provider_id
            WHERE provider_message_id = r.provider_message_id LIMIT $2
        ) i
        WHERE r.id = ANY($1::bigint[]) AND r.campaign_id IS NULL
    )
    SELECT r.id, b.id AS batch_id, r.position, 1 AS namesakes
    FROM waiting_receipt r
    JOIN batch b ON b.campaign_id = r.campaign_id AND b.number = r.number AND b.account = r.account
    JOIN message m ON m.batch_id = b.id AND m.position = r.position AND m.attempt >= 1
    WHERE r.id = ANY($1::bigint[])
    UNION ALL
    SELECT n.id, m.batch_id, m.position, n.namesakes
    FROM named n
    JOIN message m ON m.batch_id = n.batch_id AND m.position = n.position AND m.attempt >= 1
        AND m.provider_message_id = n.provider_message_id  -- it may have been sent again since
    JOIN batch b ON b.id = m.batch_id AND b.account = n.account
"""

# Several receipts for one message are reduced to one first: the highest state, and of the other fields what
# merging them one by one would leave. A message that learns its provider's id here may be named by it alone
# the next time.
_MERGE = """
    WITH said AS (
        SELECT k.batch_id, k.position, r.id, r.evidence, r.provider_state, r.provider_message_id, r.reason,
               r.changed_at, r.cost, r.currency, r.segment_count, r.channel, r.received_at,
               max(r.evidence) OVER (PARTITION BY k.batch_id, k.position) AS top
        FROM unnest($2::bigint[], $3::bigint[], $4::smallint[]) AS k(receipt_id, batch_id, position)
        JOIN waiting_receipt r ON r.id = k.receipt_id
        WHERE k.batch_id = ANY($1::bigint[])
    ),
    one AS (
        SELECT batch_id, ARRAY[position] AS positions, top AS state,
               (array_agg(provider_state
                          ORDER BY evidence DESC NULLS LAST, changed_at DESC NULLS LAST, id DESC))[1]
                   AS provider_state,
               (array_agg(provider_message_id ORDER BY evidence DESC NULLS LAST, id DESC)
                   FILTER (WHERE provider_message_id IS NOT NULL))[1] AS provider_message_id,
               true AS by_id,
               max(reason) FILTER (WHERE evidence = top) AS reason,
               max(changed_at) FILTER (WHERE evidence = top OR top IS NULL) AS changed_at,
               (array_agg(cost ORDER BY cost DESC, coalesce(currency, '') DESC)
                   FILTER (WHERE cost IS NOT NULL))[1] AS cost,
               (array_agg(currency ORDER BY cost DESC, coalesce(currency, '') DESC)
                   FILTER (WHERE cost IS NOT NULL))[1] AS currency,
               max(segment_count) AS segment_count, max(channel) AS channel,
               min(received_at) FILTER (WHERE evidence = top OR top IS NULL) AS learned_at
        FROM said GROUP BY batch_id, position, top
    )
    SELECT merge_evidence(coalesce(jsonb_agg(g), '[]'))
    FROM (SELECT batch_id AS id, jsonb_agg(one) AS evidence FROM one GROUP BY batch_id) g
"""


async def merge(database: Database, *, limit: int, give_up_seconds: float) -> Merged:
    """Merge a bundle of what is due. What matches no message is looked at again, less and less often,
    until `give_up_seconds` after it came; then it is dropped. What cannot be merged is set aside, with its
    reason, and stops none beside it.
    """
    ids: list[int] = []
    try:
        async with database.transaction() as connection:
            taken = await connection.fetch(
                "SELECT id FROM waiting_receipt WHERE set_aside_at IS NULL AND look_at <= now()"
                " AND NOT is_coarse ORDER BY look_at, id LIMIT $1 FOR UPDATE SKIP LOCKED",
                limit,
            )
            ids = [record["id"] for record in taken]
            return await _merge(connection, ids, give_up_seconds)
    except UNSTORABLE as error:
        return await _merge_halves(database, ids, give_up_seconds, error)


async def _merge_halves(
    database: Database, ids: Sequence[int], give_up_seconds: float, error: Exception
) -> Merged:
    """Halve what PostgreSQL refused together until what it refuses alone is found. Each part has a
    transaction of its own: batches are locked in order of id in each.
    """
    if len(ids) == 1:
        async with database.transaction() as connection:
            dropped = await aside.put(connection, ids, why(error))
        return Merged(1, set_aside_count=1, dropped_count=dropped)
    merged = Merged()
    middle = len(ids) // 2
    for part in (ids[:middle], ids[middle:]):
        try:
            async with database.transaction() as connection:
                taken = await connection.fetch(
                    "SELECT id FROM waiting_receipt WHERE id = ANY($1::bigint[]) AND set_aside_at IS NULL"
                    " ORDER BY look_at, id FOR UPDATE SKIP LOCKED",
                    part,
                )
                more = await _merge(connection, [record["id"] for record in taken], give_up_seconds)
        except UNSTORABLE as again:
            more = await _merge_halves(database, part, give_up_seconds, again)
        merged = merged.plus(more)
    return merged


async def _merge(connection: Connection, ids: Sequence[int], give_up_seconds: float) -> Merged:
    """Merge receipts that the caller's transaction holds."""
    if not ids:
        return Merged()
    matched = await connection.fetch(_MATCH, ids, _MOST_NAMESAKES + 1)
    vague = sorted({record["id"] for record in matched if record["namesakes"] > _MOST_NAMESAKES})
    dropped_count = 0
    if vague:
        reason = f"its provider gave one id to more than {_MOST_NAMESAKES} messages"
        dropped_count = await aside.put(connection, vague, reason)
    known = [record for record in matched if record["namesakes"] <= _MOST_NAMESAKES]
    if known:
        # Locked in order of id, like everywhere. A batch under a lease keeps it: its worker sets the state at
        # the end.
        batches = await connection.fetch(
            "SELECT id, state::text AS state FROM batch WHERE id = ANY($1::bigint[])"
            " ORDER BY id FOR NO KEY UPDATE",
            sorted({record["batch_id"] for record in known}),
        )
        await connection.execute(
            _MERGE,
            [batch["id"] for batch in batches],
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
    done = {record["id"] for record in known}
    await connection.execute("DELETE FROM waiting_receipt WHERE id = ANY($1::bigint[])", list(done))
    strangers = [each for each in ids if each not in done and each not in vague]
    lost = await _look_later(connection, strangers, give_up_seconds)
    return Merged(len(ids), len(strangers) - lost, lost + dropped_count, len(vague))


async def _look_later(connection: Connection, strangers: Sequence[int], give_up_seconds: float) -> int:
    """What matches no message waits longer each time, and is dropped in the end. Gives how many are."""
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
    return len(dropped)


_COARSE = """
    SELECT r.id, r.account, r.look_count, r.evidence::text AS evidence, m.state::text AS state,
           m.provider_message_id
    FROM waiting_receipt r LEFT JOIN LATERAL (
        SELECT x.state, x.provider_message_id
        FROM batch b
        JOIN message x ON x.batch_id = b.id AND x.position = r.position AND x.attempt >= 1
        WHERE b.campaign_id = r.campaign_id AND b.number = r.number AND b.account = r.account
        UNION ALL
        SELECT x.state, x.provider_message_id
        FROM (SELECT batch_id, position FROM message_by_provider_id
              WHERE provider_message_id = r.provider_message_id AND r.campaign_id IS NULL LIMIT $2) i
        JOIN message x ON x.batch_id = i.batch_id AND x.position = i.position AND x.attempt >= 1
            AND x.provider_message_id = r.provider_message_id
        JOIN batch b ON b.id = x.batch_id AND b.account = r.account
        LIMIT 1
    ) m ON true
    WHERE r.set_aside_at IS NULL AND r.look_at <= now() AND r.is_coarse
    ORDER BY r.look_at, r.id LIMIT $1 FOR UPDATE OF r SKIP LOCKED
"""


async def take_coarse(
    database: Database, *, limit: int, most_of_account: int, again_in_seconds: float, give_up_seconds: float
) -> tuple[list[Coarse], int]:
    """The coarse receipts that are due and worth a question, at most `most_of_account` of an account; the
    caller has `again_in_seconds` to refine them. And how many are not worth one: these are merged as they
    are.

    A message is asked for by the id we know of it, never by one that a callback names: somebody who knows one
    callback URL cannot make us ask for another message. A message with that final state is not asked for.
    """
    async with database.transaction() as connection:
        due = await connection.fetch(_COARSE, limit, _MOST_NAMESAKES + 1)
        asked: list[Coarse] = []
        settled, strangers, later = [], [], []
        of_account: dict[str, int] = {}
        for each in due:
            state = None if each["state"] is None else MessageState(each["state"])
            evidence = None if each["evidence"] is None else MessageState(each["evidence"])
            if state is None:
                strangers.append(each["id"])
            elif is_settled(state) and (evidence is None or evidence.rank <= state.rank):
                settled.append(each["id"])
            elif each["provider_message_id"] is not None:
                if of_account.setdefault(each["account"], 0) < most_of_account:
                    of_account[each["account"]] += 1
                    asked.append(
                        Coarse(
                            each["id"], each["account"], each["provider_message_id"], each["look_count"] + 1
                        )
                    )
            elif state is MessageState.SENDING and each["look_count"] < _MOST_WAITS:
                later.append(each["id"])  # it outran the answer
            else:
                settled.append(each["id"])
        await _look_later(connection, [*strangers, *later], give_up_seconds)
        await _settle_coarse(connection, settled)
        await connection.execute(
            "UPDATE waiting_receipt SET look_count = look_count + 1,"
            " look_at = now() + make_interval(secs => $2) WHERE id = ANY($1::bigint[])",
            [each.id for each in asked],
            again_in_seconds,
        )
    return asked, len(settled)


async def refine(database: Database, finer: Sequence[tuple[int, MessageState | None, str, Details]]) -> None:
    """Replace what came by what the provider says more exactly: (id, evidence, status word, details)."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE waiting_receipt r SET evidence = f.evidence, provider_state = f.provider_state,"
            " reason = f.reason, changed_at = f.changed_at, cost = coalesce(f.cost, r.cost),"
            " currency = CASE WHEN f.cost IS NULL THEN r.currency ELSE f.currency END,"
            " segment_count = coalesce(f.segment_count, r.segment_count),"
            " channel = coalesce(f.channel, r.channel)"
            " FROM unnest($1::bigint[], $2::message_state[], $3::text[], $4::text[], $5::timestamptz[],"
            " $6::numeric[], $7::text[], $8::smallint[], $9::text[])"
            " AS f(id, evidence, provider_state, reason, changed_at, cost, currency, segment_count, channel)"
            " WHERE r.id = f.id",
            [each[0] for each in finer],
            [each[1] for each in finer],
            [each[2] for each in finer],
            [each[3].reason for each in finer],
            [each[3].changed_at for each in finer],
            [each[3].cost for each in finer],
            [each[3].currency for each in finer],
            [each[3].segment_count for each in finer],
            [each[3].channel for each in finer],
        )


async def look_again(database: Database, ids: Sequence[int], *, in_seconds: float) -> None:
    """Ask about these once more, after `in_seconds`."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE waiting_receipt SET look_at = now() + make_interval(secs => $2)"
            " WHERE id = ANY($1::bigint[])",
            ids,
            in_seconds,
        )


async def settle_coarse(database: Database, ids: Sequence[int]) -> None:
    """Merge these as they are."""
    async with database.connection() as connection:
        await _settle_coarse(connection, ids)


async def _settle_coarse(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute(
        "UPDATE waiting_receipt SET is_coarse = false, look_count = 0, look_at = now()"
        " WHERE id = ANY($1::bigint[])",
        ids,
    )
