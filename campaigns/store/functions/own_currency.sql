-- A currency as messages keep it: none where it is their campaign's own.
CREATE OR REPLACE FUNCTION own_currency(p_batch_id bigint, p_currency text)
RETURNS text
LANGUAGE sql
STABLE
AS $$
    SELECT CASE WHEN p_currency IS NOT NULL THEN nullif(p_currency, (
        SELECT c.currency FROM batch b JOIN campaign c ON c.id = b.campaign_id WHERE b.id = p_batch_id
    )) END
$$;
