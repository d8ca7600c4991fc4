"""A database's schema as its catalogue tells it."""

from campaigns.store.session import Database
from tests.integration.rows import Row, query

# What there is, by what it is called: everything that decides what the database takes and how it finds it.
CATALOGUE = {
    "columns": """
        SELECT table_name, column_name, ordinal_position, udt_name, is_nullable, column_default,
               is_identity, identity_generation, numeric_precision, character_maximum_length, collation_name
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text AS table_name, conname, contype::text,
               pg_get_constraintdef(oid) AS definition, condeferrable, convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype NOT IN ('n', 't')""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "states": """
        SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS words
        FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname""",
    "others": """
        SELECT relname, relkind::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 't')""",
}


async def catalogue(database: Database) -> dict[str, list[Row]]:
    """All of it, without what alembic keeps for itself."""
    found = {}
    for what, sql in CATALOGUE.items():
        rows = [row for row in await query(database, sql) if "alembic" not in repr(row)]
        # Columns in their order; the rest by whatever they are called.
        found[what] = sorted(rows, key=lambda row: [str(value) for value in row.values()])
    return found
