-- Gives the webhooks that are to hear of an event: those of its owner, and those for all owners, that asked for
-- its type or for all. Of an account also those whose owner has a campaign under way on it.
--
-- Takes one event: type, owner, account.
CREATE OR REPLACE FUNCTION hearing_webhooks(p_group jsonb)
RETURNS TABLE(webhook_id uuid, is_disabled boolean)
LANGUAGE sql
STABLE
AS $$
    SELECT w.id, w.disabled_at IS NOT NULL
    FROM webhook w
    WHERE (w.event_types IS NULL OR p_group->>'type' = ANY (w.event_types))
      AND (w.is_for_all_owners
           OR CASE WHEN p_group->>'type' LIKE 'account.%'
                   THEN EXISTS (SELECT FROM campaign c WHERE c.account = p_group->>'account'
                                AND c.owner = w.owner AND c.finished_at IS NULL)
                   ELSE w.owner = p_group->>'owner' END)
$$;
