-- Leases the batches to be handed over next, fairly over campaigns: `store/deal.py` has the query, and says why it
-- is planned so. Gives them with their leases; none where another process deals: what is due is being dealt, and
-- two would count the same slots as free and fill them twice.
--
-- Takes in_flight, how many may be under lease at once; accounts, each with its name and the most of it; most,
-- how many are dealt now (none: as many as may be); lease_seconds.
CREATE OR REPLACE FUNCTION deal_sending(p_wanted jsonb)
RETURNS TABLE(batch_id bigint, batch_lease integer)
LANGUAGE plpgsql
SET enable_bitmapscan TO 'off'
SET enable_sort TO 'off'
AS $$
#variable_conflict use_column
DECLARE
    v_in_flight integer := p_wanted ->> 'in_flight';
    v_most integer := coalesce((p_wanted ->> 'most')::integer, v_in_flight);
    v_lease_seconds float8 := p_wanted ->> 'lease_seconds';
BEGIN
    IF NOT pg_try_advisory_xact_lock(7266484) THEN
        RETURN;
    END IF;
    RETURN QUERY
    {{deal_sending}};
END
$$;
