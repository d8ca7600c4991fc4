"""Write what a round of batches brought in one call: no transaction waits for a busy event loop."""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# A batch's tally and what follows from it: counted anew whenever its messages change, under its row's lock.
_TALLY = """
    SELECT m.batch_id,
           count(*) FILTER (WHERE m.state = 'suppressed') AS suppressed_count,
           count(*) FILTER (WHERE m.state = 'cancelled') AS cancelled_count,
           count(*) FILTER (WHERE m.state = 'queued') AS queued_count,
           count(*) FILTER (WHERE m.state = 'sending') AS sending_count,
           count(*) FILTER (WHERE m.state = 'in_doubt') AS in_doubt_count,
           count(*) FILTER (WHERE m.state = 'accepted') AS accepted_count,
           count(*) FILTER (WHERE m.state = 'sent') AS sent_count,
           count(*) FILTER (WHERE m.state = 'buffered') AS buffered_count,
           count(*) FILTER (WHERE m.state = 'unknown') AS unknown_count,
           count(*) FILTER (WHERE m.state = 'expired') AS expired_count,
           count(*) FILTER (WHERE m.state = 'undelivered') AS undelivered_count,
           count(*) FILTER (WHERE m.state = 'failed') AS failed_count,
           count(*) FILTER (WHERE m.state = 'rejected') AS rejected_count,
           count(*) FILTER (WHERE m.state = 'delivered') AS delivered_count,
           count(*) FILTER (WHERE m.state = 'read') AS read_count,
           count(*) FILTER (WHERE m.provider_message_id IS NOT NULL
                            AND m.state IN ('accepted', 'sent', 'buffered')) AS pollable_count,
           coalesce(sum(m.cost) FILTER (WHERE m.provider_message_id IS NOT NULL), 0) AS cost,
           coalesce(sum(m.segment_count) FILTER (WHERE m.provider_message_id IS NOT NULL), 0) AS segment_count
    FROM message m WHERE m.batch_id = ANY(p_ids) GROUP BY m.batch_id
"""
_SET_TALLY = """
    suppressed_count = t.suppressed_count, cancelled_count = t.cancelled_count,
    queued_count = t.queued_count, sending_count = t.sending_count, in_doubt_count = t.in_doubt_count,
    accepted_count = t.accepted_count, sent_count = t.sent_count, buffered_count = t.buffered_count,
    unknown_count = t.unknown_count, expired_count = t.expired_count,
    undelivered_count = t.undelivered_count, failed_count = t.failed_count,
    rejected_count = t.rejected_count, delivered_count = t.delivered_count, read_count = t.read_count,
    cost = t.cost, segment_count = t.segment_count,
    -- The deadline moves on only when something was handed over: a provider that is down for ever must not
    -- push it away attempt by attempt.
    give_up_at = CASE WHEN h.give_up_in IS NULL THEN b.give_up_at
                      ELSE now() + make_interval(secs => h.give_up_in) END
"""

_HOW = """p_how_ids bigint[], p_send_in float8[], p_poll_in float8[], p_retry_count smallint[],
    p_poll_count smallint[], p_trouble text[], p_give_up_in float8[], p_crash_count smallint[],
    p_asks_doubt bool[]"""
_HOW_VALUES = """p_how_ids, p_send_in, p_poll_in, p_retry_count, p_poll_count, p_trouble, p_give_up_in,
    p_crash_count, p_asks_doubt"""
_HOLDERS = "p_ids bigint[], p_leases int[], p_workers text[]"
_WRITTEN = """p_batch_ids bigint[], p_positions smallint[], p_states text[], p_message_ids text[],
    p_words text[], p_costs numeric[], p_segment_counts smallint[], p_reasons text[], p_spend bool[]"""
_WRITTEN_VALUES = """p_batch_ids, p_positions, p_states, p_message_ids, p_words, p_costs, p_segment_counts,
    p_reasons, p_spend"""

# Each statement of a plpgsql function sees what was committed before it began, so what is read under a lock
# is what is there.
_FUNCTIONS = {
    # Counts the tallies of locked batches anew.
    "recount_batches(p_ids bigint[], p_how_ids bigint[], p_give_up_in float8[]) RETURNS void": f"""
    WITH t AS ({_TALLY})
    UPDATE batch b SET {_SET_TALLY}
    FROM t JOIN unnest(p_how_ids, p_give_up_in) AS h(id, give_up_in) ON h.id = t.batch_id
    WHERE b.id = t.batch_id;
""",
    # Counts locked batches anew, gives each lease back as said, and puts each where its messages belong.
    f"let_go_batches(p_ids bigint[], {_HOW}) RETURNS TABLE (batch_id bigint, batch_state text)": f"""
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
    # Locks batches in order of id and gives those whose lease is still its holder's: first in every write.
    f"hold_leases({_HOLDERS}) RETURNS bigint[]": """
    RETURN ARRAY(
        SELECT b.id FROM batch b
        JOIN unnest(p_ids, p_leases, p_workers) AS l(id, lease, worker)
            ON l.id = b.id AND l.lease = b.lease AND l.worker = b.leased_by
        WHERE b.state = 'leased' ORDER BY b.id FOR NO KEY UPDATE OF b
    );
""",
    # Writes the answers of requests down, of the batches held alone. A receipt may have outrun the answer:
    # then the message is already higher, and keeps its state. A word on an earlier attempt is none on this.
    f"write_messages(p_held bigint[], {_WRITTEN}) RETURNS void": f"""
    UPDATE message m SET
        state = CASE WHEN m.state = 'sending' THEN w.state::message_state
                     ELSE greatest(m.state, w.state::message_state) END,
        provider_message_id = coalesce(w.provider_message_id, m.provider_message_id),
        provider_state = CASE WHEN m.state = 'sending' THEN w.provider_state
                              ELSE coalesce(m.provider_state, w.provider_state) END,
        cost = coalesce(w.cost, m.cost),
        segment_count = coalesce(w.segment_count, m.segment_count),
        reason = w.reason,
        attempt = m.attempt - CASE WHEN w.spends_attempt OR m.state <> 'sending' THEN 0 ELSE 1 END,
        updated_at = now()
    FROM unnest({_WRITTEN_VALUES})
         AS w(batch_id, position, state, provider_message_id, provider_state, cost, segment_count, reason,
              spends_attempt)
    WHERE m.batch_id = w.batch_id AND m.position = w.position AND m.state >= 'sending'
      AND w.batch_id = ANY(p_held);
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
    # told the same. What is in doubt and the provider certainly
    # does not have is queued again, but not for ever: at most so many attempts.
    f"merge_polled({_HOLDERS}, p_batch_ids bigint[], p_positions text[], p_states text[], p_words text[],"
    " p_message_ids text[], p_segment_counts smallint[], p_costs numeric[], p_absent_ids bigint[],"
    f" p_absent_positions smallint[], p_most_attempts int, {_HOW})"
    " RETURNS TABLE (batch_id bigint, batch_state text)": f"""
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
    UPDATE message m SET state = 'queued', updated_at = now(),
        reason = 'the provider does not know it: ' || coalesce(m.reason, 'in doubt')
    FROM unnest(p_absent_ids, p_absent_positions) AS a(batch_id, position)
    WHERE m.batch_id = a.batch_id AND m.position = a.position AND m.state = 'in_doubt'
      AND m.attempt < p_most_attempts AND a.batch_id = ANY(v_held);
    RETURN QUERY SELECT * FROM let_go_batches(v_held, {_HOW_VALUES});
""",
}


def upgrade() -> None:
    for signature, body in _FUNCTIONS.items():
        begins = "" if body.startswith("\nDECLARE") else "BEGIN"
        op.execute(
            f"CREATE FUNCTION {signature} LANGUAGE plpgsql AS $$\n#variable_conflict use_column\n"
            f"{begins}{body}END $$"
        )
