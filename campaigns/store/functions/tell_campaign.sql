-- Writes what became of a campaign into the outbox, in the transaction in which it became so, whichever
-- statement and whichever release did it. Costs one look at the webhooks where there is none that hears of it.
--
-- A campaign that was cancelled is told of twice: when somebody cancels it, and as finished with the state
-- cancelled when its last message is settled.
CREATE OR REPLACE FUNCTION tell_campaign()
RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_type text := CASE
        WHEN TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN 'campaign.finished'
        WHEN NEW.state = {{running}} AND OLD.state = {{accepted}} THEN 'campaign.started'
        WHEN NEW.state = {{running}} THEN 'campaign.resumed'
        ELSE 'campaign.' || NEW.state END;
BEGIN
    PERFORM write_campaign_event(jsonb_build_object('campaign_id', NEW.id, 'type', v_type));
    RETURN NULL;
END
$$;
