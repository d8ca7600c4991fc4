-- Writes into the outbox that an account is on hold, is on hold for another reason, or was resumed.
CREATE OR REPLACE FUNCTION tell_account_hold()
RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_account text := CASE WHEN TG_OP = 'DELETE' THEN OLD.account ELSE NEW.account END;
    v_type text := CASE WHEN TG_OP = 'DELETE' THEN 'account.resumed' ELSE 'account.held' END;
BEGIN
    PERFORM write_event(jsonb_build_object(
        'type', v_type, 'account', v_account,
        'data', jsonb_build_object('account', v_account) || CASE WHEN TG_OP = 'DELETE' THEN '{}'
            ELSE jsonb_build_object('hold', jsonb_build_object('code', NEW.code, 'reason', NEW.reason)) END))
    WHERE EXISTS (SELECT FROM hearing_webhooks(jsonb_build_object('type', v_type, 'account', v_account)));
    RETURN NULL;
END
$$;
