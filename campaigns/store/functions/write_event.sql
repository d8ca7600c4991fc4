-- Writes one event into the outbox. One that PostgreSQL refuses for its content is set aside, with the reason: what
-- happened stands all the same, and so does what happened to others in the same transaction. Of those that were
-- set aside only so many are kept, the first: one cause refuses them all.
--
-- To be called only where a webhook hears of it: the block is a subtransaction.
--
-- Takes: type, owner, campaign_id, account, data; at, when it happened (none: now).
CREATE OR REPLACE FUNCTION write_event(p_group jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_constraint text;
    v_reason text;
BEGIN
    INSERT INTO webhook_event (at, type, owner, campaign_id, account, data)
    VALUES (coalesce((p_group->>'at')::timestamp with time zone, now()), p_group->>'type',
            coalesce(p_group->>'owner', ''), (p_group->>'campaign_id')::uuid, p_group->>'account',
            p_group->'data');
EXCEPTION WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded THEN
    GET STACKED DIAGNOSTICS v_reason = RETURNED_SQLSTATE, v_constraint = CONSTRAINT_NAME;
    IF v_constraint <> '' THEN
        v_reason := v_constraint;
    END IF;
    INSERT INTO aside_event (happened_at, type, owner, campaign_id, account, data, reason)
    SELECT coalesce((p_group->>'at')::timestamp with time zone, now()), coalesce(p_group->>'type', ''),
           coalesce(p_group->>'owner', ''), (p_group->>'campaign_id')::uuid, p_group->>'account',
           coalesce(p_group->'data', '{}'), 'PostgreSQL refuses it: ' || v_reason
    WHERE (SELECT count(*) FROM aside_event) < {{most_aside_events}};
END
$$;
