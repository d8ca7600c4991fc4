-- Writes into the outbox which messages of a batch this transaction settled, and as what: one event for a batch,
-- so a hundred messages at most. A batch's tally is counted in the transaction that changes its messages, so
-- they are those that changed in it. One that only learned more (a price) is told of again.
CREATE OR REPLACE FUNCTION tell_batch()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM webhook) THEN
        PERFORM write_event(jsonb_build_object(
            'type', 'message.settled', 'owner', c.owner, 'campaign_id', c.id, 'account', NEW.account,
            'data', jsonb_build_object(
                'campaign_id', c.id, 'batch_id', NEW.id, 'number', NEW.number, 'messages', m.settled)))
        FROM campaign c
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_array(m.position, m.state) ORDER BY m.position) AS settled
            FROM message m
            WHERE m.batch_id = NEW.id AND m.updated_at = now() AND m.state IN {{settled}}
        ) m
        WHERE c.id = NEW.campaign_id AND m.settled IS NOT NULL
          AND EXISTS (SELECT FROM hearing_webhooks(
              jsonb_build_object('type', 'message.settled', 'owner', c.owner)));
    END IF;
    RETURN NULL;
END
$$;
