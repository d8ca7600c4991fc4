"""Databases for tests: each has one of its own, as if copied from a template just now.

To copy one costs PostgreSQL 200 ms of processor time, and thousands of tests ask. So one in which a test
changed nothing but rows is emptied and given to the next; any other is dropped.
"""

import asyncio
import itertools
from collections.abc import Mapping
from urllib.parse import urlsplit

import asyncpg

from tests import law_trigger


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


# What is there besides rows. A row of a catalog that was changed has another xmin; pg_class is told apart by
# its columns, for TRUNCATE changes its rows. Objects of the system's own have ids below 16384; it makes
# schemas for temporary tables by itself.
_NOT_ROWS = """
    SELECT md5(concat_ws(';',
        (SELECT string_agg((c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relacl, c.reloptions,
                            c.relchecks, c.relrowsecurity)::text, ',' ORDER BY c.oid)
         FROM pg_class c WHERE c.oid >= 16384 AND c.relkind <> 't'),
        (SELECT string_agg(concat_ws(' ', tableoid, oid, xmin), ',' ORDER BY tableoid, oid, xmin::text) FROM (
            SELECT tableoid, oid, xmin FROM pg_proc WHERE oid >= 16384
            UNION ALL SELECT tableoid, oid, xmin FROM pg_type WHERE oid >= 16384
            UNION ALL SELECT tableoid, oid, xmin FROM pg_enum
            UNION ALL SELECT tableoid, oid, xmin FROM pg_constraint WHERE oid >= 16384
            UNION ALL SELECT tableoid, oid, xmin FROM pg_trigger
            UNION ALL SELECT tableoid, oid, xmin FROM pg_attrdef
            UNION ALL SELECT tableoid, indexrelid, xmin FROM pg_index WHERE indexrelid >= 16384
            UNION ALL SELECT tableoid, attrelid, xmin FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
            UNION ALL SELECT tableoid, oid, xmin FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'
            UNION ALL SELECT tableoid, oid, xmin FROM pg_extension
            UNION ALL SELECT tableoid, oid, xmin FROM pg_event_trigger
            UNION ALL SELECT tableoid, oid, xmin FROM pg_policy
            UNION ALL SELECT tableoid, oid, xmin FROM pg_publication
            UNION ALL SELECT tableoid, oid, xmin FROM pg_default_acl) x),
        (SELECT (datdba, datallowconn, datconnlimit, datacl)::text FROM pg_database
         WHERE datname = current_database()),
        (SELECT string_agg((setrole, setconfig)::text, ',' ORDER BY setrole) FROM pg_db_role_setting s
         JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database())))
"""
_TABLES = """
    SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' ORDER BY 1
"""
# TRUNCATE forgets how many rows they had, also where none is left.
_COUNTED_TABLES = """
    SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.reltuples >= 0
"""
_PATIENCE_SECONDS = 10.0


class Databases:
    """The copies of one template on one server. For one test at a time."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._numbers = itertools.count(1)
        self._empty: list[str] = []
        self._as_made: dict[str, tuple[str, dict[str, str | None]]] = {}

    async def take(self) -> str:
        """The name of one that is as the template is."""
        if self._empty:
            return self._empty.pop()
        name = f"{self._template}_{next(self._numbers)}"
        await self._on_server(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        connection = await asyncpg.connect(with_database(self._server_url, name))
        try:
            kept = await _filled(connection)
            contents = {table: await _content(connection, table) for table in kept}
            self._as_made[name] = await connection.fetchval(_NOT_ROWS), contents
        finally:
            await connection.close()
        return name

    async def give_back(self, name: str) -> None:
        """Whatever was done to it. Fails where the law of states was broken in it."""
        url = with_database(self._server_url, name)
        refused_count = await law_trigger.refused_count(url)
        if not refused_count and await _emptied(url, *self._as_made[name]):
            self._empty.append(name)
        else:
            await self._on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        assert not refused_count, f"{refused_count} change(s) that domain/states.py does not allow"

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(with_database(self._server_url, "postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _emptied(url: str, not_rows: str, contents: Mapping[str, str | None]) -> bool:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if await connection.fetchval(_NOT_ROWS) != not_rows:
                return False
            for table, content in contents.items():
                if await _content(connection, table) != content:
                    return False
            known = {record["name"] for record in await connection.fetch(_COUNTED_TABLES)}
            if used := (known | {*await _filled(connection)}) - contents.keys():
                # A trigger refuses to empty the audit: not here.
                await connection.execute("SET session_replication_role = replica")
                await connection.execute(f"TRUNCATE {', '.join(sorted(used))} RESTART IDENTITY CASCADE")
            # What ANALYZE learned in one test would be the plan of the next.
            await connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")
            await connection.execute("SELECT pg_stat_reset()")
            return True
    except (asyncpg.PostgresError, TimeoutError):
        return False  # something holds a lock in it, or has taken it away
    finally:
        await connection.close(timeout=_PATIENCE_SECONDS)


async def _filled(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    tables = [record["name"] for record in await connection.fetch(_TABLES)]
    if not tables:
        return []
    looks = (f"CASE WHEN EXISTS (SELECT FROM {table}) THEN '{table}' END" for table in tables)
    found: list[str | None] = await connection.fetchval(f"SELECT ARRAY[{', '.join(looks)}]")
    return [table for table in found if table is not None]


async def _content(connection: "asyncpg.Connection[asyncpg.Record]", table: str) -> str | None:
    content: str | None = await connection.fetchval(
        f"SELECT md5(string_agg(t::text, ';')) FROM {table} t"  # noqa: S608  a name of the catalog's
    )
    return content
