"""Which numbers are one person's, in SQL: as `domain.phone.person_key`, to which a test holds it."""


def person_key(column: str) -> str:
    """An expression for the key of the number in `column` (E.164). Immutable: an index may be on it.

    Written as PostgreSQL writes it out, for that is what alembic compares an index's expression with.
    """
    head = f"substr({column}, 1, 4)"
    tail = f"substr({column}, 5)"
    return (
        "CASE\n"
        f" WHEN length({column}) = 14 AND ({head} = '+549' OR {head} = '+521')"
        f" THEN substr({column}, 1, 3) || {tail}\n"
        f" WHEN length({column}) = 12 AND {head} = '+229' THEN '+22901' || {tail}\n"
        f" ELSE {column}\n"
        "END"
    )


IS_LISTED = f"{person_key('s.phone')} = {person_key('{phone}')}"
"""SQL: whether row `s` of `suppression` speaks of the person who has `{phone}`. The only comparison there is;
at most one row does.
"""

IS_KEPT = "m.phone <> ''"
"""SQL: whether the number of message `m` was not erased."""
