-- Forgets the kept totals of a campaign that is over, and that its days were counted, when a batch that was done changes all the same: a late
-- receipt may come. Whoever sums up holds all batches meanwhile, so this comes either before, and is summed,
-- or after, and finds the totals there. Costs nothing before the end.
CREATE OR REPLACE FUNCTION forget_totals()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE campaign SET totals = NULL, is_counted_by_day = false
    WHERE id = NEW.campaign_id AND (totals IS NOT NULL OR is_counted_by_day);
    RETURN NULL;
END
$$;
