-- Whether what is told costs more than what is known: of two costs the higher counts, whichever came first.
-- Both with their currencies, NULL the campaign's.
CREATE OR REPLACE FUNCTION is_higher_cost(
    told numeric, told_currency text, known numeric, known_currency text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT told IS NOT NULL AND (
        known IS NULL OR (told, coalesce(told_currency, '')) > (known, coalesce(known_currency, ''))
    )
$$;
