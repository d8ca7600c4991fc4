"""Merge what providers say beside their word, and count what was priced, by currency."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_STATES = (
    *("suppressed", "cancelled", "queued", "sending", "in_doubt", "accepted", "sent", "buffered"),
    *("unknown", "expired", "undelivered", "failed", "rejected", "delivered", "read"),
)

# Costs in another currency than the campaign's are kept by currency: they are never in one sum with others.
_COSTS = """
    coalesce(sum(m.cost) FILTER (WHERE m.currency IS NULL), 0) AS cost,
    count(m.cost) FILTER (WHERE m.currency IS NULL) AS priced_count,
    count(*) FILTER (WHERE m.provider_message_id IS NOT NULL AND m.cost IS NULL) AS unpriced_count,
    CASE WHEN count(m.cost) FILTER (WHERE m.currency IS NOT NULL) > 0 THEN (
        SELECT jsonb_object_agg(o.currency, jsonb_build_object('amount', o.amount::text, 'count', o.n))
        FROM (SELECT x.currency, sum(x.cost) AS amount, count(*) AS n FROM message x
              WHERE x.batch_id = m.batch_id AND x.cost IS NOT NULL AND x.currency IS NOT NULL
              GROUP BY x.currency) o
    ) END AS other_costs
"""
_COUNTS = ", ".join(f"count(*) FILTER (WHERE m.state = '{state}') AS {state}_count" for state in _STATES)
_TALLY = f"""
    SELECT m.batch_id, {_COUNTS},
           count(*) FILTER (WHERE m.provider_message_id IS NOT NULL
                            AND m.state IN ('accepted', 'sent', 'buffered')) AS pollable_count,
           coalesce(sum(m.segment_count) FILTER (WHERE m.provider_message_id IS NOT NULL), 0)
               AS segment_count,
           {_COSTS}
    FROM message m WHERE m.batch_id = ANY(p_ids) GROUP BY m.batch_id
"""
_SET_COUNTS = ", ".join(f"{state}_count = t.{state}_count" for state in _STATES)
_SET_TALLY = f"""
    {_SET_COUNTS}, segment_count = t.segment_count,
    cost = t.cost, priced_count = t.priced_count, unpriced_count = t.unpriced_count,
    other_costs = t.other_costs,
    -- The deadline moves on only when something was handed over: a provider that is down for ever must not
    -- push it away attempt by attempt.
    give_up_at = CASE WHEN h.give_up_in IS NULL THEN b.give_up_at
                      ELSE now() + make_interval(secs => h.give_up_in) END
"""

_HOLDERS = "p_ids bigint[], p_leases int[], p_workers text[]"
_HOW = """p_how_ids bigint[], p_send_in float8[], p_poll_in float8[], p_retry_count smallint[],
    p_poll_count smallint[], p_trouble text[], p_give_up_in float8[], p_crash_count smallint[],
    p_asks_doubt bool[]"""
_HOW_VALUES = """p_how_ids, p_send_in, p_poll_in, p_retry_count, p_poll_count, p_trouble, p_give_up_in,
    p_crash_count, p_asks_doubt"""
_WRITTEN = """p_batch_ids bigint[], p_positions text[], p_message_ids text[], p_states text[], p_words text[],
    p_costs numeric[], p_segment_counts smallint[], p_reasons text[], p_spend bool[], p_by_id bool[],
    p_currencies text[]"""
_WRITTEN_VALUES = """p_batch_ids, p_positions, p_message_ids, p_states, p_words, p_costs, p_segment_counts,
    p_reasons, p_spend, p_by_id, p_currencies"""
_EVIDENCE = """p_batch_ids bigint[], p_positions text[], p_states text[], p_words text[],
    p_message_ids text[], p_by_id bool[], p_reasons text[], p_changed_at timestamptz[], p_costs numeric[],
    p_currencies text[], p_segment_counts smallint[], p_channels text[]"""
_EVIDENCE_VALUES = """p_batch_ids, p_positions, p_states, p_words, p_message_ids, p_by_id, p_reasons,
    p_changed_at, p_costs, p_currencies, p_segment_counts, p_channels"""

# Of two costs the higher counts, whichever came first. Both with their currencies, NULL the campaign's.
_IS_HIGHER = """(w.cost IS NOT NULL AND (m.cost IS NULL
    OR (w.cost, coalesce(w.currency, '')) > (m.cost, coalesce(m.currency, ''))))"""
_SET_FACTS = f"""
    cost = CASE WHEN {_IS_HIGHER} THEN w.cost ELSE m.cost END,
    currency = CASE WHEN {_IS_HIGHER} THEN w.currency ELSE m.currency END,
    segment_count = CASE WHEN w.segment_count IS NULL THEN m.segment_count
                         WHEN m.is_counted_by_provider THEN greatest(m.segment_count, w.segment_count)
                         ELSE w.segment_count END,
    is_counted_by_provider = m.is_counted_by_provider OR w.segment_count IS NOT NULL
"""
# NULL where it is the campaign's own.
_CURRENCY = """CASE WHEN g.currency IS NOT NULL THEN nullif(g.currency, (
    SELECT c.currency FROM batch b JOIN campaign c ON c.id = b.campaign_id WHERE b.id = g.batch_id)) END"""
# A word of the same rank counts unless what stands there is known to be newer.
_TAKES_WORD = """(w.state > m.state OR (coalesce(w.state, m.state) = m.state
    AND NOT coalesce(m.provider_changed_at > w.changed_at, false)))"""

_OLD = (
    "merge_polled(bigint[], int[], text[], bigint[], text[], text[], text[], text[], smallint[], numeric[],"
    " bool[], bigint[], smallint[], int, bigint[], float8[], float8[], smallint[], smallint[], text[],"
    " float8[], smallint[], bool[])",
    "release_batches(bigint[], int[], text[], bigint[], text[], text[], text[], text[], numeric[],"
    " smallint[], text[], bool[], bool[], bigint[], float8[], float8[], smallint[], smallint[], text[],"
    " float8[], smallint[], bool[])",
    "write_outcomes(bigint[], int[], text[], bigint[], text[], text[], text[], text[], numeric[],"
    " smallint[], text[], bool[], bool[], float8[])",
    "write_messages(bigint[], bigint[], text[], text[], text[], text[], numeric[], smallint[], text[],"
    " bool[], bool[])",
)

_FUNCTIONS = {
    # Counts the tallies of locked batches anew.
    "recount_batches(p_ids bigint[], p_how_ids bigint[], p_give_up_in float8[]) RETURNS void": f"""
BEGIN
    WITH t AS ({_TALLY})
    UPDATE batch b SET {_SET_TALLY}
    FROM t JOIN unnest(p_how_ids, p_give_up_in) AS h(id, give_up_in) ON h.id = t.batch_id
    WHERE b.id = t.batch_id;
""",
    # Counts locked batches anew, gives each lease back as said, and puts each where its messages belong.
    f"let_go_batches(p_ids bigint[], {_HOW}) RETURNS TABLE (batch_id bigint, batch_state text)": f"""
BEGIN
    RETURN QUERY WITH t AS ({_TALLY})
    UPDATE batch b SET {_SET_TALLY},
        state = (CASE WHEN t.queued_count > 0 THEN 'ready'
                      WHEN t.sending_count + t.in_doubt_count + t.accepted_count + t.sent_count
                           + t.buffered_count > 0 THEN 'tracking'
                      ELSE 'done' END)::batch_state,
        leased_until = NULL, leased_for = NULL, leased_by = NULL,
        send_at = CASE WHEN h.send_in IS NULL THEN b.send_at
                       ELSE now() + make_interval(secs => h.send_in) END,
        poll_at = CASE WHEN t.pollable_count = 0 AND (t.in_doubt_count = 0 OR NOT h.asks_doubt) THEN NULL
                       WHEN h.poll_in IS NULL THEN coalesce(b.poll_at, now())
                       ELSE now() + make_interval(secs => h.poll_in) END,
        retry_count = coalesce(h.retry_count, b.retry_count),
        poll_count = coalesce(h.poll_count, b.poll_count),
        trouble = h.trouble,
        crash_count = coalesce(h.crash_count, b.crash_count)
    FROM t JOIN unnest({_HOW_VALUES})
        AS h(id, send_in, poll_in, retry_count, poll_count, trouble, give_up_in, crash_count, asks_doubt)
        ON h.id = t.batch_id
    WHERE b.id = t.batch_id
    RETURNING b.id, b.state::text;
""",
    # Writes the answers of requests down, of the batches held alone: a row for all messages of a batch that
    # were told the same, with their positions and, where they got any, the provider's ids, each at its
    # message's position (from 1, as arrays are counted here). A receipt may have outrun the answer: then the
    # message is already higher, and keeps its state. A word on an earlier attempt is none on this.
    f"write_messages_v2(p_held bigint[], {_WRITTEN}) RETURNS void": f"""
BEGIN
    UPDATE message m SET
        state = CASE WHEN m.state = 'sending' THEN w.state
                     ELSE greatest(m.state, w.state) END,
        provider_message_id = coalesce(w.message_ids[m.position + 1], m.provider_message_id),
        provider_state = CASE WHEN m.state = 'sending' THEN w.word
                              ELSE coalesce(m.provider_state, w.word) END,
        provider_reason = CASE WHEN m.state = 'sending' THEN NULL ELSE m.provider_reason END,
        provider_changed_at = CASE WHEN m.state = 'sending' THEN NULL ELSE m.provider_changed_at END,
        {_SET_FACTS},
        reason = w.reason,
        attempt = m.attempt - CASE WHEN w.spends_attempt OR m.state <> 'sending' THEN 0 ELSE 1 END,
        updated_at = now()
    FROM (
        SELECT batch_id, positions::smallint[] AS positions, message_ids::text[] AS message_ids,
               state::message_state AS state, word, cost, segment_count, reason, spends_attempt,
               {_CURRENCY} AS currency
        FROM unnest({_WRITTEN_VALUES})
             AS g(batch_id, positions, message_ids, state, word, cost, segment_count, reason, spends_attempt,
                  by_id, currency)
        WHERE batch_id = ANY(p_held)
        OFFSET 0  -- read once, not once a message
    ) w
    WHERE m.batch_id = w.batch_id AND m.position = ANY (w.positions) AND m.state >= 'sending';
    IF true = ANY(p_by_id) THEN
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT t.message_id, g.batch_id, t.place - 1
        FROM unnest(p_batch_ids, p_message_ids, p_by_id) AS g(batch_id, message_ids, by_id)
        CROSS JOIN LATERAL unnest(g.message_ids::text[]) WITH ORDINALITY AS t(message_id, place)
        WHERE g.by_id AND t.message_id IS NOT NULL AND g.batch_id = ANY(p_held)
        ON CONFLICT DO NOTHING;
    END IF;
""",
    # Answers, keeping the leases. Gives the batches that were held.
    f"write_outcomes_v2({_HOLDERS}, {_WRITTEN}, p_give_up_in float8[]) RETURNS bigint[]": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    PERFORM write_messages_v2(v_held, {_WRITTEN_VALUES});
    PERFORM recount_batches(v_held, p_ids, p_give_up_in);
    RETURN v_held;
""",
    # The last answers, and the leases back.
    f"release_batches_v2({_HOLDERS}, {_WRITTEN}, {_HOW})"
    " RETURNS TABLE (batch_id bigint, batch_state text)": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    PERFORM write_messages_v2(v_held, {_WRITTEN_VALUES});
    RETURN QUERY SELECT * FROM let_go_batches(v_held, {_HOW_VALUES});
""",
    # Merges evidence into messages of locked batches, a row for all positions of a batch that were told the
    # same. The higher state counts, with its word, reason and moment. Of the same rank the later moment
    # stands, and a reason is added. What a message cost, by what it went and in how many segments does not
    # hang on the state. So repeated, late and reordered words end the same. Only where a hand-over was
    # tried; a queued message that was handed over before (the provider had said it knew no such thing) takes
    # a word too: else it would be sent again. Only rows that change are written.
    f"merge_evidence(p_held bigint[], {_EVIDENCE}) RETURNS void": f"""
BEGIN
    IF true = ANY(p_by_id) THEN
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT g.message_id, m.batch_id, m.position
        FROM unnest(p_batch_ids, p_positions, p_message_ids, p_by_id)
             AS g(batch_id, positions, message_id, by_id)
        JOIN message m ON m.batch_id = g.batch_id AND m.position = ANY (g.positions::smallint[])
        WHERE g.by_id AND g.message_id IS NOT NULL AND g.batch_id = ANY(p_held)
          AND m.provider_message_id IS NULL AND m.attempt >= 1
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE message m SET
        state = greatest(m.state, w.state),
        provider_state = CASE WHEN {_TAKES_WORD} THEN w.word ELSE m.provider_state END,
        provider_reason = CASE WHEN w.state > m.state THEN w.reason
                               WHEN w.state = m.state THEN greatest(m.provider_reason, w.reason)
                               ELSE m.provider_reason END,
        provider_changed_at = CASE WHEN w.state > m.state THEN w.changed_at
                                   WHEN w.state = m.state THEN greatest(m.provider_changed_at, w.changed_at)
                                   ELSE m.provider_changed_at END,
        provider_message_id = CASE WHEN greatest(m.state, w.state) >= 'accepted'
            THEN coalesce(m.provider_message_id, w.message_id) ELSE m.provider_message_id END,
        channel = greatest(m.channel, w.channel),
        {_SET_FACTS},
        updated_at = now()
    FROM (
        SELECT batch_id, positions::smallint[] AS positions, state::message_state AS state, word, message_id,
               reason, changed_at, cost, segment_count, channel, {_CURRENCY} AS currency
        FROM unnest({_EVIDENCE_VALUES})
             AS g(batch_id, positions, state, word, message_id, by_id, reason, changed_at, cost, currency,
                  segment_count, channel)
        WHERE batch_id = ANY(p_held)
        OFFSET 0
    ) w
    WHERE m.batch_id = w.batch_id AND m.position = ANY (w.positions)
      AND m.state >= 'queued' AND m.attempt >= 1
      AND (w.state > m.state
           OR ({_TAKES_WORD} AND m.provider_state IS DISTINCT FROM w.word)
           OR (w.state = m.state AND (
               greatest(m.provider_reason, w.reason) IS DISTINCT FROM m.provider_reason
               OR greatest(m.provider_changed_at, w.changed_at) IS DISTINCT FROM m.provider_changed_at))
           OR greatest(m.channel, w.channel) IS DISTINCT FROM m.channel
           OR {_IS_HIGHER}
           OR (w.segment_count IS NOT NULL
               AND (NOT m.is_counted_by_provider OR w.segment_count > m.segment_count)));
""",
    # What polls brought, merged by rank, and the leases back. What is in doubt and the provider certainly
    # does not have is queued again, but not for ever: at most so many attempts.
    f"merge_polled_v2({_HOLDERS}, {_EVIDENCE}, p_absent_ids bigint[], p_absent_positions smallint[],"
    f" p_most_attempts int, {_HOW}) RETURNS TABLE (batch_id bigint, batch_state text)": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    PERFORM merge_evidence(v_held, {_EVIDENCE_VALUES});
    UPDATE message m SET state = 'queued', updated_at = now(),
        reason = 'the provider does not know it: ' || coalesce(m.reason, 'in doubt')
    FROM unnest(p_absent_ids, p_absent_positions) AS a(batch_id, position)
    WHERE m.batch_id = a.batch_id AND m.position = a.position AND m.state = 'in_doubt'
      AND m.attempt < p_most_attempts AND a.batch_id = ANY(v_held);
    RETURN QUERY SELECT * FROM let_go_batches(v_held, {_HOW_VALUES});
""",
}


def upgrade() -> None:
    op.add_column("batch", sa.Column("priced_count", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("unpriced_count", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("other_costs", JSONB(), nullable=True))
    op.create_table(
        "account_currency",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    # A million messages are counted once. (No `transaction_timeout` before PostgreSQL 17.)
    op.execute(
        "SELECT set_config(name, '0', true) FROM pg_settings"
        " WHERE name IN ('statement_timeout', 'transaction_timeout')"
    )
    op.execute(
        "UPDATE batch b SET priced_count = t.priced, unpriced_count = t.unpriced FROM ("
        " SELECT batch_id, count(cost) AS priced,"
        " count(*) FILTER (WHERE provider_message_id IS NOT NULL AND cost IS NULL) AS unpriced"
        " FROM message GROUP BY batch_id) t WHERE b.id = t.batch_id AND t.priced + t.unpriced > 0"
    )
    for signature in _OLD:
        op.execute(f"DROP FUNCTION {signature}")
    for signature, body in _FUNCTIONS.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {signature} LANGUAGE plpgsql AS $$\n#variable_conflict use_column\n"
            f"{body}END $$"
        )
