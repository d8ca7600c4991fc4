-- Merges what providers say into messages of locked batches. The higher state counts, with its status word,
-- reason and moment. Of the same rank the later moment stands, and a reason is added. What a message cost, by
-- what it went and in how many segments does not hang on the state. So repeated, late and reordered evidence
-- ends the same. Only where a hand-over was tried; a queued message that was handed over before (the provider
-- had said it knew no such thing) takes evidence too: else it would be sent again. Only rows that change are
-- written. What raises the state, or is another word for it, is a step of the timeline.
--
-- Takes of each batch: id; lease, under which its provider was asked (none: it called); and evidence, an object
-- for all messages that were told the same: positions; state (none: it says nothing of one); provider_state,
-- provider_message_id; by_id, whether callbacks name them by that alone; reason, changed_at, cost and its
-- currency, segment_count, channel; learned_at (none: now).
CREATE OR REPLACE FUNCTION merge_evidence(p_group jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_group) AS g(id bigint));
BEGIN
    IF jsonb_path_exists(p_group, '$[*].evidence[*] ? (@.by_id == true)') THEN
        INSERT INTO message_by_provider_id (provider_message_id, batch_id, position)
        SELECT w.provider_message_id, m.batch_id, m.position
        FROM jsonb_to_recordset(p_group) AS g(id bigint, evidence jsonb)
        CROSS JOIN LATERAL jsonb_to_recordset(g.evidence)
            AS w(positions smallint[], provider_message_id text, by_id boolean)
        JOIN message m ON m.batch_id = g.id AND m.position = ANY (w.positions)
        WHERE m.batch_id = ANY (v_ids) AND w.by_id AND w.provider_message_id IS NOT NULL
          AND m.provider_message_id IS NULL AND m.attempt >= 1
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE message m SET
        state = greatest(m.state, e.state),
        provider_state = CASE WHEN is_later_word(e.state, e.changed_at, m.state, m.provider_changed_at)
                              THEN e.provider_state ELSE m.provider_state END,
        provider_reason = CASE WHEN e.state > m.state THEN e.reason
                               WHEN e.state = m.state THEN greatest(m.provider_reason, e.reason)
                               ELSE m.provider_reason END,
        provider_changed_at = CASE WHEN e.state > m.state THEN e.changed_at
                                   WHEN e.state = m.state THEN greatest(m.provider_changed_at, e.changed_at)
                                   ELSE m.provider_changed_at END,
        provider_message_id = CASE WHEN greatest(m.state, e.state) >= 'accepted'
                                   THEN coalesce(m.provider_message_id, e.provider_message_id)
                                   ELSE m.provider_message_id END,
        channel = greatest(m.channel, e.channel),
        cost = CASE WHEN is_higher_cost(e.cost, e.currency, m.cost, m.currency)
                    THEN e.cost ELSE m.cost END,
        currency = CASE WHEN is_higher_cost(e.cost, e.currency, m.cost, m.currency)
                        THEN e.currency ELSE m.currency END,
        segment_count = CASE WHEN e.segment_count IS NULL THEN m.segment_count  -- see write_messages
                             WHEN m.is_counted_by_provider THEN greatest(m.segment_count, e.segment_count)
                             ELSE e.segment_count END,
        is_counted_by_provider = m.is_counted_by_provider OR e.segment_count IS NOT NULL,
        timeline = CASE WHEN e.state > m.state
                             OR (is_later_word(e.state, e.changed_at, m.state, m.provider_changed_at)
                                 AND m.provider_state IS DISTINCT FROM e.provider_state)
                        THEN {{evidence_noted}} ELSE m.timeline END,
        updated_at = now()
    FROM (
        SELECT g.id AS batch_id, g.lease IS NOT NULL AS was_asked, {{evidence_moment}} AS moment,
               {{evidence_code}} AS code, {{evidence_pieces}} AS pieces,
               w.positions, w.state, w.provider_state, w.provider_message_id, w.reason, w.changed_at, w.cost,
               w.segment_count, w.channel, own_currency(g.id, w.currency) AS currency
        FROM jsonb_to_recordset(p_group) AS g(id bigint, lease int, evidence jsonb)
        CROSS JOIN LATERAL jsonb_to_recordset(g.evidence) AS w(
            positions smallint[], state message_state, provider_state text, provider_message_id text,
            reason text, changed_at timestamptz, cost numeric, currency text, segment_count smallint,
            channel text, learned_at timestamptz
        )
        OFFSET 0  -- read once, not once a message
    ) e
    WHERE m.batch_id = ANY (v_ids) AND m.batch_id = e.batch_id AND m.position = ANY (e.positions)
      AND m.state >= 'queued' AND m.attempt >= 1
      AND (e.state > m.state
           OR (is_later_word(e.state, e.changed_at, m.state, m.provider_changed_at)
               AND m.provider_state IS DISTINCT FROM e.provider_state)
           OR (e.state = m.state AND (
               greatest(m.provider_reason, e.reason) IS DISTINCT FROM m.provider_reason
               OR greatest(m.provider_changed_at, e.changed_at) IS DISTINCT FROM m.provider_changed_at))
           OR greatest(m.channel, e.channel) IS DISTINCT FROM m.channel
           OR is_higher_cost(e.cost, e.currency, m.cost, m.currency)
           OR (e.segment_count IS NOT NULL
               AND (NOT m.is_counted_by_provider OR e.segment_count > m.segment_count)));
END
$$;
