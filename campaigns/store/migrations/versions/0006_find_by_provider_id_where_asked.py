"""Keep the provider's id out of the indexes of `message`, and write what is alike at once.

An index on what changes makes every update of the row write all its indexes. Only where callbacks name a
message by the provider's id alone is it looked for by that; there it is written down beside.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_HOLDERS = "p_ids bigint[], p_leases int[], p_workers text[]"
_HOW = """p_how_ids bigint[], p_send_in float8[], p_poll_in float8[], p_retry_count smallint[],
    p_poll_count smallint[], p_trouble text[], p_give_up_in float8[], p_crash_count smallint[],
    p_asks_doubt bool[]"""
_HOW_VALUES = """p_how_ids, p_send_in, p_poll_in, p_retry_count, p_poll_count, p_trouble, p_give_up_in,
    p_crash_count, p_asks_doubt"""
_WRITTEN = """p_batch_ids bigint[], p_positions text[], p_message_ids text[], p_states text[], p_words text[],
    p_costs numeric[], p_segment_counts smallint[], p_reasons text[], p_spend bool[], p_by_id bool[]"""
_WRITTEN_VALUES = """p_batch_ids, p_positions, p_message_ids, p_states, p_words, p_costs, p_segment_counts,
    p_reasons, p_spend, p_by_id"""
_EVIDENCE = """p_batch_ids bigint[], p_positions text[], p_states text[], p_words text[],
    p_message_ids text[], p_segment_counts smallint[], p_costs numeric[], p_by_id bool[]"""

_OLD = (
    "write_messages(bigint[], bigint[], smallint[], text[], text[], text[], numeric[], smallint[], text[],"
    " bool[])",
    "write_outcomes(bigint[], int[], text[], bigint[], smallint[], text[], text[], text[], numeric[],"
    " smallint[], text[], bool[], float8[])",
    "release_batches(bigint[], int[], text[], bigint[], smallint[], text[], text[], text[], numeric[],"
    " smallint[], text[], bool[], bigint[], float8[], float8[], smallint[], smallint[], text[], float8[],"
    " smallint[], bool[])",
    "merge_polled(bigint[], int[], text[], bigint[], text[], text[], text[], text[], smallint[], numeric[],"
    " bigint[], smallint[], int, bigint[], float8[], float8[], smallint[], smallint[], text[], float8[],"
    " smallint[], bool[])",
)

_FUNCTIONS = {
    # Writes the answers of requests down, of the batches held alone: a row for all messages of a batch that
    # were told the same, with their positions and, where they got any, the provider's ids, each at its
    # message's position (from 1, as arrays are counted here). A receipt may have outrun the answer: then the
    # message is already higher, and keeps its state. A word on an earlier attempt is none on this.
    f"write_messages(p_held bigint[], {_WRITTEN}) RETURNS void": f"""
BEGIN
    UPDATE message m SET
        state = CASE WHEN m.state = 'sending' THEN w.state
                     ELSE greatest(m.state, w.state) END,
        provider_message_id = coalesce(w.message_ids[m.position + 1], m.provider_message_id),
        provider_state = CASE WHEN m.state = 'sending' THEN w.word
                              ELSE coalesce(m.provider_state, w.word) END,
        cost = coalesce(w.cost, m.cost),
        segment_count = coalesce(w.segment_count, m.segment_count),
        reason = w.reason,
        attempt = m.attempt - CASE WHEN w.spends_attempt OR m.state <> 'sending' THEN 0 ELSE 1 END,
        updated_at = now()
    FROM (
        SELECT batch_id, positions::smallint[] AS positions, message_ids::text[] AS message_ids,
               state::message_state AS state, word, cost, segment_count, reason, spends_attempt
        FROM unnest({_WRITTEN_VALUES})
             AS g(batch_id, positions, message_ids, state, word, cost, segment_count, reason, spends_attempt,
                  by_id)
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
    f"write_outcomes({_HOLDERS}, {_WRITTEN}, p_give_up_in float8[]) RETURNS bigint[]": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    PERFORM write_messages(v_held, {_WRITTEN_VALUES});
    PERFORM recount_batches(v_held, p_ids, p_give_up_in);
    RETURN v_held;
""",
    # The last answers, and the leases back.
    f"release_batches({_HOLDERS}, {_WRITTEN}, {_HOW}) RETURNS TABLE (batch_id bigint, batch_state text)": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    PERFORM write_messages(v_held, {_WRITTEN_VALUES});
    RETURN QUERY SELECT * FROM let_go_batches(v_held, {_HOW_VALUES});
""",
    # What polls brought, merged by rank, and the leases back: a row for all positions of a batch that were
    # told the same. What is in doubt and the provider certainly does not have is queued again, but not for
    # ever: at most so many attempts.
    f"merge_polled({_HOLDERS}, {_EVIDENCE}, p_absent_ids bigint[], p_absent_positions smallint[],"
    f" p_most_attempts int, {_HOW}) RETURNS TABLE (batch_id bigint, batch_state text)": f"""
DECLARE v_held bigint[] := hold_leases(p_ids, p_leases, p_workers);
BEGIN
    UPDATE message m SET
        state = greatest(m.state, e.state::message_state),
        provider_state = e.provider_state,
        provider_message_id = coalesce(m.provider_message_id, e.provider_message_id),
        segment_count = coalesce(e.segment_count, m.segment_count),
        cost = coalesce(m.cost, e.cost),
        updated_at = now()
    FROM unnest(p_batch_ids, p_positions, p_states, p_words, p_message_ids, p_segment_counts, p_costs)
         AS e(batch_id, positions, state, provider_state, provider_message_id, segment_count, cost)
    WHERE m.batch_id = e.batch_id AND m.position = ANY (e.positions::smallint[]) AND m.state >= 'sending'
      AND (e.state::message_state > m.state
           OR (coalesce(e.state::message_state, m.state) = m.state
               AND m.provider_state IS DISTINCT FROM e.provider_state))
      AND e.batch_id = ANY(v_held);
    IF true = ANY(p_by_id) THEN
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT e.message_id, e.batch_id, t.position
        FROM unnest(p_batch_ids, p_positions, p_message_ids, p_by_id)
             AS e(batch_id, positions, message_id, by_id)
        CROSS JOIN LATERAL unnest(e.positions::smallint[]) AS t(position)
        WHERE e.by_id AND e.message_id IS NOT NULL AND e.batch_id = ANY(v_held)
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE message m SET state = 'queued', updated_at = now(),
        reason = 'the provider does not know it: ' || coalesce(m.reason, 'in doubt')
    FROM unnest(p_absent_ids, p_absent_positions) AS a(batch_id, position)
    WHERE m.batch_id = a.batch_id AND m.position = a.position AND m.state = 'in_doubt'
      AND m.attempt < p_most_attempts AND a.batch_id = ANY(v_held);
    RETURN QUERY SELECT * FROM let_go_batches(v_held, {_HOW_VALUES});
""",
}


def upgrade() -> None:
    op.create_table(
        "message_by_provider_id",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider_message_id", "batch_id", "position"),
    )
    # A million ids take their time. (No `transaction_timeout` before PostgreSQL 17.)
    op.execute(
        "SELECT set_config(name, '0', true) FROM pg_settings"
        " WHERE name IN ('statement_timeout', 'transaction_timeout')"
    )
    # Whose provider calls back so is not known here: all are written down, once.
    op.execute(
        "INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)"
        " SELECT provider_message_id, batch_id, position FROM message WHERE provider_message_id IS NOT NULL"
    )
    op.drop_index("message_provider_message_id", table_name="message")
    for signature in _OLD:
        op.execute(f"DROP FUNCTION {signature}")
    for signature, body in _FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION {signature} LANGUAGE plpgsql AS $$\n#variable_conflict use_column\n{body}END $$"
        )
