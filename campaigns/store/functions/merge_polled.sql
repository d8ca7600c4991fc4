-- Merges what polls brought, and gives the leases back. Gives the new states of batches that were held.
--
-- Takes of each batch what hold_leases, merge_evidence and let_go_batches take, and: absent, the positions
-- that are in doubt and the provider certainly does not have; most_attempts, how often a message is handed
-- over at most.
CREATE OR REPLACE FUNCTION merge_polled(p_group jsonb)
RETURNS TABLE(batch_id bigint, batch_state text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_held jsonb := hold_leases(p_group);
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(v_held) AS g(id bigint));
BEGIN
    PERFORM merge_evidence(v_held);
    -- What the provider does not have is queued again, but not for ever.
    IF jsonb_path_exists(v_held, '$[*].absent[*]') THEN
        UPDATE message m SET state = 'queued', updated_at = now(),
            timeline = {{absence_noted}},
            reason = 'the provider does not know it: ' || coalesce(m.reason, 'in doubt')
        FROM jsonb_to_recordset(v_held) AS g(id bigint, absent smallint[], most_attempts int)
        WHERE m.batch_id = ANY (v_ids) AND m.batch_id = g.id AND m.position = ANY (g.absent)
          AND m.state = 'in_doubt' AND m.attempt < g.most_attempts;
    END IF;
    RETURN QUERY SELECT * FROM let_go_batches(v_held);
END
$$;
