-- Counts locked batches anew, gives each lease back as said, and puts each where its messages belong.
--
-- Takes of each batch: id; send_in, poll_in and give_up_in, in seconds from now; retry_count, poll_count and
-- crash_count; asked_positions, which are not to be asked again in this cycle of polling, [] at its end (none
-- of these: as it was). And trouble, a sentence for people (none: all went well); asks_doubt,
-- whether the provider can be asked about what is in doubt (none: it can).
-- Gives each batch's new state.
CREATE OR REPLACE FUNCTION let_go_batches(p_group jsonb)
RETURNS TABLE(batch_id bigint, batch_state text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[] := ARRAY(SELECT id FROM jsonb_to_recordset(p_group) AS g(id bigint));
BEGIN
    RETURN QUERY UPDATE batch b SET
        {{set_tally}},
        give_up_at = CASE WHEN g.give_up_in IS NULL THEN b.give_up_at  -- see recount_batches
                          ELSE now() + make_interval(secs => g.give_up_in) END,
        state = (CASE WHEN t.queued_count > 0 THEN 'ready'
                      WHEN {{open_count}} > 0 THEN 'tracking'
                      ELSE 'done' END)::batch_state,
        leased_until = NULL, leased_for = NULL, leased_by = NULL,
        send_at = CASE WHEN g.send_in IS NULL THEN b.send_at
                       ELSE now() + make_interval(secs => g.send_in) END,
        poll_at = CASE WHEN t.pollable_count = 0
                            AND (t.in_doubt_count = 0 OR NOT coalesce(g.asks_doubt, true)) THEN NULL
                       WHEN g.poll_in IS NULL THEN coalesce(b.poll_at, now())
                       ELSE now() + make_interval(secs => g.poll_in) END,
        retry_count = coalesce(g.retry_count, b.retry_count),
        poll_count = coalesce(g.poll_count, b.poll_count),
        crash_count = coalesce(g.crash_count, b.crash_count),
        asked_positions = CASE WHEN g.asked_positions IS NULL THEN b.asked_positions
                               ELSE nullif(g.asked_positions, '{}') END,
        trouble = g.trouble
    FROM count_messages(v_ids) t
    JOIN jsonb_to_recordset(p_group) AS g(
        id bigint, send_in float8, poll_in float8, give_up_in float8, retry_count smallint,
        poll_count smallint, crash_count smallint, asked_positions smallint[], trouble text,
        asks_doubt boolean
    ) ON g.id = t.batch_id
    WHERE b.id = ANY (v_ids) AND b.id = t.batch_id
    RETURNING b.id, b.state::text;
END
$$;
