-- Locks the batches of a group, in order of id, and gives the part of the group whose leases are still their
-- holders': first in every write, so that a worker that was frozen past its lease overwrites nothing.
--
-- Takes of each batch: id, lease, worker.
CREATE OR REPLACE FUNCTION hold_leases(p_group jsonb)
RETURNS jsonb
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_group) AS g(id bigint));
    v_held bigint[];
BEGIN
    -- The state as text: no index of leases answers it, so the id does. Every lease goes through that index,
    -- and it holds all that were leased since the last VACUUM.
    v_held := ARRAY(
        SELECT b.id FROM batch b
        JOIN jsonb_to_recordset(p_group) AS g(id bigint, lease int, worker text)
            ON g.id = b.id AND g.lease = b.lease AND g.worker = b.leased_by
        WHERE b.id = ANY (v_ids) AND b.state::text = 'leased'
        ORDER BY b.id FOR NO KEY UPDATE OF b
    );
    IF cardinality(v_held) = cardinality(v_ids) THEN
        RETURN p_group;
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(g.batch), '[]') FROM jsonb_array_elements(p_group) AS g(batch)
        WHERE (g.batch ->> 'id')::bigint = ANY (v_held)
    );
END
$$;
