-- Counts the tallies of locked batches anew.
--
-- Takes of each batch: id, and give_up_in, its new deadline in seconds from now (none: as it was).
CREATE OR REPLACE FUNCTION recount_batches(p_group jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_group) AS g(id bigint));
BEGIN
    UPDATE batch b SET
        {{set_tally}},
        -- The deadline moves on only when something was handed over: a provider that is down for ever must
        -- not push it away attempt by attempt.
        give_up_at = CASE WHEN g.give_up_in IS NULL THEN b.give_up_at
                          ELSE now() + make_interval(secs => g.give_up_in) END
    FROM count_messages(v_ids) t
    JOIN jsonb_to_recordset(p_group) AS g(id bigint, give_up_in float8) ON g.id = t.batch_id
    WHERE b.id = ANY (v_ids) AND b.id = t.batch_id;
END
$$;
