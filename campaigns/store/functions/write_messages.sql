-- Writes the answers of requests down, into messages of locked batches.
--
-- Takes of each batch: id, and answers, an object for all messages that were told the same: positions; state;
-- provider_message_ids, one for each of the positions, where they got any; by_id, whether callbacks name them
-- by those alone; provider_state, reason; cost and its currency, segment_count; spends_attempt.
CREATE OR REPLACE FUNCTION write_messages(p_group jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_group) AS g(id bigint));
BEGIN
    -- A receipt may have outrun the answer: then the message is already higher, and keeps its state. What was
    -- said of an earlier attempt is not said of this one.
    UPDATE message m SET
        state = CASE WHEN m.state = 'sending' THEN a.state ELSE greatest(m.state, a.state) END,
        provider_message_id = coalesce(
            a.provider_message_ids[array_position(a.positions, m.position)], m.provider_message_id
        ),
        provider_state = CASE WHEN m.state = 'sending' THEN a.provider_state
                              ELSE coalesce(m.provider_state, a.provider_state) END,
        provider_reason = CASE WHEN m.state = 'sending' THEN NULL ELSE m.provider_reason END,
        provider_changed_at = CASE WHEN m.state = 'sending' THEN NULL ELSE m.provider_changed_at END,
        cost = CASE WHEN is_higher_cost(a.cost, a.currency, m.cost, m.currency)
                    THEN a.cost ELSE m.cost END,
        currency = CASE WHEN is_higher_cost(a.cost, a.currency, m.cost, m.currency)
                        THEN a.currency ELSE m.currency END,
        -- The provider's count stands before ours; of two of the provider's the higher.
        segment_count = CASE WHEN a.segment_count IS NULL THEN m.segment_count
                             WHEN m.is_counted_by_provider THEN greatest(m.segment_count, a.segment_count)
                             ELSE a.segment_count END,
        is_counted_by_provider = m.is_counted_by_provider OR a.segment_count IS NOT NULL,
        reason = a.reason,
        attempt = m.attempt - CASE WHEN a.spends_attempt OR m.state <> 'sending' THEN 0 ELSE 1 END,
        timeline = {{answer_noted}},
        updated_at = now()
    FROM (
        SELECT g.id AS batch_id, w.positions, w.provider_message_ids, w.state, w.provider_state, w.reason,
               w.cost, own_currency(g.id, w.currency) AS currency, w.segment_count, w.spends_attempt,
               {{answer_step}} AS step
        FROM jsonb_to_recordset(p_group) AS g(id bigint, answers jsonb)
        CROSS JOIN LATERAL jsonb_to_recordset(g.answers) AS w(
            positions smallint[], provider_message_ids text[], state message_state, provider_state text,
            reason text, cost numeric, currency text, segment_count smallint, spends_attempt boolean
        )
        OFFSET 0  -- read once, not once a message
    ) a
    WHERE m.batch_id = ANY (v_ids) AND m.batch_id = a.batch_id AND m.position = ANY (a.positions)
      AND m.state >= 'sending';
    IF jsonb_path_exists(p_group, '$[*].answers[*] ? (@.by_id == true)') THEN
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT p.provider_message_id, g.id, p.position
        FROM jsonb_to_recordset(p_group) AS g(id bigint, answers jsonb)
        CROSS JOIN LATERAL jsonb_to_recordset(g.answers)
            AS w(positions smallint[], provider_message_ids text[], by_id boolean)
        CROSS JOIN LATERAL unnest(w.positions, w.provider_message_ids) AS p(position, provider_message_id)
        WHERE w.by_id AND p.provider_message_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;
