-- Whether a provider's status word stands instead of the one that is known: with a higher state, or beside
-- the same state (or none) unless what is known is known to be newer.
CREATE OR REPLACE FUNCTION is_later_word(
    told message_state, told_at timestamp with time zone,
    known message_state, known_at timestamp with time zone
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT told > known OR (coalesce(told, known) = known AND NOT coalesce(known_at > told_at, false))
$$;
