-- Writes into the outbox that a campaign is on hold, or that its hold was lifted. Where it is paused as well, it
-- goes on when that ends: the campaign's own row tells of it.
CREATE OR REPLACE FUNCTION tell_campaign_hold()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM write_campaign_event(jsonb_build_object(
            'campaign_id', NEW.campaign_id, 'type', 'campaign.held',
            'hold', jsonb_build_object('about', NEW.about, 'code', NEW.code, 'reason', NEW.reason)));
    ELSIF EXISTS (SELECT FROM campaign WHERE id = NEW.campaign_id AND state <> {{paused}}) THEN
        PERFORM write_campaign_event(
            jsonb_build_object('campaign_id', NEW.campaign_id, 'type', 'campaign.resumed'));
    END IF;
    RETURN NULL;
END
$$;
