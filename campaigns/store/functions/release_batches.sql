-- Writes the last answers down, and gives the leases back. Gives the new states of batches that were held.
--
-- Takes of each batch what hold_leases, write_messages and let_go_batches take.
CREATE OR REPLACE FUNCTION release_batches(p_group jsonb)
RETURNS TABLE(batch_id bigint, batch_state text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_held jsonb := hold_leases(p_group);
BEGIN
    PERFORM write_messages(v_held);
    RETURN QUERY SELECT * FROM let_go_batches(v_held);
END
$$;
