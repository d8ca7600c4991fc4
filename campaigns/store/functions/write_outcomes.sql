-- Writes the answers of requests down, keeping the leases. Gives the batches whose leases were held.
--
-- Takes of each batch what hold_leases, write_messages and recount_batches take.
CREATE OR REPLACE FUNCTION write_outcomes(p_group jsonb)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_held jsonb := hold_leases(p_group);
BEGIN
    PERFORM write_messages(v_held);
    PERFORM recount_batches(v_held);
    RETURN ARRAY(SELECT id FROM jsonb_to_recordset(v_held) AS g(id bigint));
END
$$;
