-- Writes an event of a campaign into the outbox, with its totals as this transaction sees them, if any webhook
-- hears of it.
--
-- Takes: campaign_id, type; hold, why it is on hold (none: it is not told).
CREATE OR REPLACE FUNCTION write_campaign_event(p_group jsonb)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM write_event(jsonb_build_object(
        'type', p_group->>'type', 'owner', c.owner, 'campaign_id', c.id, 'account', c.account,
        'data', jsonb_build_object(
            'campaign_id', c.id, 'name', c.name, 'account', c.account, 'state', c.state,
            'recipient_count', c.recipient_count,
            'totals', (SELECT {{totals_by_state}} FROM batch b WHERE b.campaign_id = c.id)
        ) || CASE WHEN p_group ? 'hold' THEN jsonb_build_object('hold', p_group->'hold') ELSE '{}' END))
    FROM campaign c
    WHERE c.id = (p_group->>'campaign_id')::uuid
      AND EXISTS (SELECT FROM hearing_webhooks(p_group || jsonb_build_object('owner', c.owner)));
END
$$;
