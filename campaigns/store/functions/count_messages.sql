-- The tallies of batches, counted from their messages: what a batch keeps of them, and how many can be
-- polled.
--
-- Costs in another currency than the campaign's are kept by currency: they are never in one sum with others.
-- Of what reached nobody, or may not have: each provider's code and sentence, and how many it is said of.
CREATE OR REPLACE FUNCTION count_messages(p_ids bigint[])
RETURNS TABLE(
    batch_id bigint, {{tally_types}},
    pollable_count bigint, segment_count bigint, cost numeric, priced_count bigint, unpriced_count bigint,
    other_costs jsonb, reasons jsonb
)
LANGUAGE sql
STABLE ROWS 20
AS $$
    SELECT m.batch_id,
        {{tally}},
        count(*) FILTER (WHERE m.provider_message_id IS NOT NULL AND m.state IN {{pollable}}),
        coalesce(sum(m.segment_count) FILTER (WHERE m.provider_message_id IS NOT NULL), 0),
        coalesce(sum(m.cost) FILTER (WHERE m.currency IS NULL), 0),
        count(m.cost) FILTER (WHERE m.currency IS NULL),
        count(*) FILTER (WHERE m.provider_message_id IS NOT NULL AND m.cost IS NULL),
        CASE WHEN count(m.cost) FILTER (WHERE m.currency IS NOT NULL) > 0 THEN (
            SELECT jsonb_object_agg(o.currency, jsonb_build_object('amount', o.amount::text, 'count', o.n))
            FROM (
                SELECT x.currency, sum(x.cost) AS amount, count(*) AS n FROM message x
                WHERE x.batch_id = m.batch_id AND x.cost IS NOT NULL AND x.currency IS NOT NULL
                GROUP BY x.currency
            ) o
        ) END,
        CASE WHEN {{with_reason_count}} > 0 THEN (
            SELECT coalesce(jsonb_agg(jsonb_build_array(r.code, r.reason, r.n)), '[]')
            FROM (
                SELECT x.provider_state AS code, {{counted_reason}} AS reason, count(*) AS n FROM message x
                WHERE x.batch_id = m.batch_id AND {{has_reason}}
                GROUP BY 1, 2
            ) r
        ) ELSE '[]' END
    FROM message m WHERE m.batch_id = ANY (p_ids) GROUP BY m.batch_id
$$;
