"""Whether the PostgreSQL there is will do: what any role can ask of it, and a sentence for each lack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from campaigns.domain.errors import DatabaseUnfit
from campaigns.store.session import SETTINGS, Connection, Database

_FEWEST_CONNECTIONS = 10  # one worker has about eight, and commands come beside it
_OLDEST = 15
_FORGETS = "what it confirmed may be gone after a crash, and is then sent twice"

# The first release of each major version in which what is known to be exploitable is mended.
_SOUND = {15: 20, 16: 16, 17: 12, 18: 7}

_FACTS = """
    SELECT current_database() AS database, current_user::text AS role, current_schema()::text AS schema,
           current_setting('search_path') AS search_path,
           current_setting('server_version') AS version,
           current_setting('server_version_num')::int AS version_number,
           pg_is_in_recovery() AS is_standby,
           current_setting('default_transaction_read_only')::bool AS is_read_only,
           current_setting('fsync')::bool AS has_fsync,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('log_min_duration_statement')::text <> '-1'
               OR current_setting('log_statement') IN ('mod', 'all')
               OR current_setting('log_duration')::bool AS logs_statements,
           current_setting('log_parameter_max_length', true) AS logged_parameters,
           has_database_privilege(current_database(), 'TEMPORARY') AS may_make_temporary,
           has_schema_privilege(current_schema(), 'CREATE') AS may_create,
           (SELECT min(n) FROM unnest(ARRAY[
               current_setting('max_connections')::int
                   - current_setting('superuser_reserved_connections')::int,
               (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
               (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
           ]) AS n) AS connection_count,
           (SELECT min(c.relnamespace::regnamespace::text) FROM pg_class c
            WHERE c.relname = 'alembic_version' AND c.relkind = 'r' AND NOT EXISTS (
                SELECT FROM pg_class v WHERE v.oid = to_regclass('alembic_version')
            )) AS hidden_in
"""

_MISSING_RIGHTS = """
    SELECT c.relname AS name, array_agg(p ORDER BY p) AS rights
    FROM pg_class v
    JOIN pg_class c ON c.relnamespace = v.relnamespace AND c.relkind = 'r'
    CROSS JOIN LATERAL unnest(CASE WHEN c.oid = v.oid THEN ARRAY['SELECT']
                              ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END) p
    WHERE v.oid = to_regclass('alembic_version') AND NOT has_table_privilege(c.oid, p)
    GROUP BY c.relname ORDER BY c.relname
"""

_FOREIGN_OWNERS = """
    SELECT DISTINCT pg_get_userbyid(c.relowner)::text AS owner
    FROM pg_class v JOIN pg_class c ON c.relnamespace = v.relnamespace AND c.relkind = 'r'
    WHERE v.oid = to_regclass('alembic_version') AND NOT pg_has_role(c.relowner, 'USAGE')
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What PostgreSQL and our role in it are like."""

    database: str
    role: str
    schema: str | None
    search_path: str
    version: str
    version_number: int
    is_standby: bool
    is_read_only: bool
    has_fsync: bool
    synchronous_commit: str
    logs_statements: bool
    logged_parameters: str | None
    may_make_temporary: bool
    may_create: bool | None
    connection_count: int
    hidden_in: str | None
    missing_rights: Mapping[str, Sequence[str]]
    unheld: Mapping[str, str]

    def unfit(self) -> Iterator[str]:
        """Why we cannot work on it at all, whoever asks: one sentence each."""
        major = self.version_number // 10_000
        if major < _OLDEST:
            yield f"it is PostgreSQL {self.version}: {_OLDEST} or newer is needed"
        if self.is_standby or self.is_read_only:
            kind = "a standby" if self.is_standby else "set to read only (default_transaction_read_only)"
            yield f"it is {kind}: CAMPAIGNS_DATABASE_URL must lead to the primary, which can be written to"
        yield from self.hidden()

    def hidden(self) -> Iterator[str]:
        """Where the tables are that our role does not see; nothing where it sees them or there are none."""
        if self.hidden_in is not None:
            yield (
                f"the tables are in schema {self.hidden_in}, which {self.role} does not see "
                f"(search_path: {self.search_path}): GRANT USAGE ON SCHEMA {self.hidden_in} TO {self.role}; "
                f"ALTER ROLE {self.role} IN DATABASE {self.database} SET search_path = {self.hidden_in}"
            )

    def lacks(self) -> Iterator[str]:
        """What a worker and a submission lack besides: one sentence each."""
        yield from self.unfit()
        if not self.may_make_temporary:
            yield (
                f"role {self.role} may make no temporary table, which a submission needs: "
                f"GRANT TEMPORARY ON DATABASE {self.database} TO {self.role}"
            )
        if self.missing_rights:
            table, rights = next(iter(self.missing_rights.items()))
            others = len(self.missing_rights) - 1
            more = f" (and rights on {others} more tables)" if others else ""
            yield (
                f"role {self.role} may not {', '.join(rights)} in table {table}{more}: GRANT SELECT, INSERT, "
                f"UPDATE, DELETE ON ALL TABLES IN SCHEMA {self.schema} TO {self.role}; see deploy/roles.sql"
            )
        if self.connection_count < _FEWEST_CONNECTIONS:
            yield (
                f"role {self.role} may have {self.connection_count} connections, and a worker needs about "
                "eight: raise max_connections, or the CONNECTION LIMIT of the role or database"
            )
        if self.synchronous_commit == "off":
            yield f"synchronous_commit is off: {_FORGETS}"
        if self.unheld:
            found = ", ".join(f"{name} is {value}" for name, value in self.unheld.items())
            yield f"our settings do not hold ({found}): let the pooler before it have pool_mode = session"

    def remarks(self) -> Iterator[str]:
        """What is worth knowing and keeps nobody from working."""
        major, minor = divmod(self.version_number, 10_000)
        sound = _SOUND.get(major)
        if sound is not None and minor < sound:
            yield f"PostgreSQL {major}.{minor} has known holes: {major}.{sound} mends them"
        if not self.has_fsync:
            yield f"fsync is off: {_FORGETS}"
        if self.logs_statements and self.logged_parameters == "-1":
            yield (
                "it logs statements with their parameters, numbers and texts among them: "
                f"ALTER ROLE {self.role} SET log_parameter_max_length = 0 (by a superuser)"
            )


async def look(database: Database) -> Server:
    """What PostgreSQL is like. Raises DatabaseUnavailable. Writes nothing, needs no right but to connect."""
    async with database.connection() as connection:
        facts = await connection.fetchrow(_FACTS)
        missing = await connection.fetch(_MISSING_RIGHTS)
        held = await connection.fetch(
            "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name", list(SETTINGS)
        )
    return Server(
        **dict(facts or {}),
        missing_rights={record["name"]: record["rights"] for record in missing},
        unheld={r["name"]: r["value"] for r in held if r["value"] != SETTINGS[r["name"]]},
    )


async def refuse_to_migrate(database: Database, connection: Connection) -> None:
    """Raises DatabaseUnfit, with the GRANT that is missing, where `campaigns migrate` could not work."""
    server = await look(database)
    for sentence in server.unfit():
        raise DatabaseUnfit(f"PostgreSQL cannot be used: {sentence}")
    if server.schema is None:
        raise DatabaseUnfit(
            f"role {server.role} sees no schema in database {server.database} to make tables in "
            f"(search_path: {server.search_path}): GRANT USAGE, CREATE ON SCHEMA public TO {server.role}, "
            f"or make a schema of its own, and ALTER ROLE {server.role} IN DATABASE {server.database} "
            "SET search_path to it"
        )
    if not server.may_create:
        raise DatabaseUnfit(
            f"role {server.role} may create nothing in schema {server.schema} of database {server.database}: "
            f"GRANT CREATE ON SCHEMA {server.schema} TO {server.role}"
        )
    owners = [record["owner"] for record in await connection.fetch(_FOREIGN_OWNERS)]
    if owners:
        raise DatabaseUnfit(
            f"the tables belong to role {', '.join(owners)}, and only their owner may change them: "
            f"run `campaigns migrate` as {owners[0]}, not as {server.role}"
        )
