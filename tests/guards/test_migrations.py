"""A migration runs beside workers: it holds no lock that stops them, and lifts time limits where it must.

squawk reads the SQL that a migration would run and knows PostgreSQL's locks; what it does not look for (rows
rewritten by the million) is looked for here. The first schema makes everything, and stops nobody.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory

from campaigns.store import schema

# Matters of taste, and limits that `schema.migrate` sets for every migration.
_NOT_ASKED = (
    *("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-text-field", "prefer-identity"),
    *("prefer-robust-stmts", "prefer-timestamptz", "require-lock-timeout", "require-statement-timeout"),
)

# By the name of a rule of ours: what it finds, outside of functions' bodies.
_OURS = {
    "rewrites-rows": re.compile(r"\bUPDATE\s+(ONLY\s+)?\w+(\s+(AS\s+)?\w+)?\s+SET\b|\bDELETE\s+FROM\b"),
    "locks-a-table": re.compile(r"\bLOCK\s+(TABLE\s+)?\w+|\bVACUUM\s+FULL\b|^\s*CLUSTER\b", re.MULTILINE),
}
_BODIES = re.compile(r"(\$\w*\$).*?\1|--[^\n]*", re.DOTALL)


def squawk(sql: str, *more: str) -> set[str]:
    """The rules that this SQL breaks."""
    asked = [
        *(str(Path(sys.executable).with_name("squawk")), "--pg-version", "15", "--reporter", "json"),
        *("--exclude", ",".join(_NOT_ASKED), "--stdin-filepath", "migration.sql", *more),
    ]
    done = subprocess.run(asked, input=sql, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return {finding["rule_name"] for finding in json.loads(done.stdout or "[]")}


def broken_by(sql: str) -> set[str]:
    """The rules that a migration's SQL breaks, squawk's and ours."""
    found: set[str] = set()
    # In one transaction, but for what stands in an `autocommit_block`: between COMMIT and BEGIN.
    for number, part in enumerate(re.split(r"^\s*(?:COMMIT|BEGIN);\s*$", sql, flags=re.MULTILINE)):
        found |= squawk(part, *(() if number % 2 else ("--assume-in-transaction",)))
    bare = _BODIES.sub("", sql)
    found |= {rule for rule, pattern in _OURS.items() if pattern.search(bare)}
    if "rewrites-rows" in found and "statement_timeout" not in bare:
        found.add("keeps-its-time-limits")
    return found


def sql_of(script: Script) -> str:
    """What a migration runs, as text."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    with Operations.context(context):
        script.module.upgrade()
    return written.getvalue()


def migrations() -> list[Script]:
    """All of them, oldest first."""
    configuration = Config()
    configuration.set_main_option("script_location", str(schema._MIGRATIONS).replace("%", "%%"))
    scripts = list(ScriptDirectory.from_config(configuration).walk_revisions())[::-1]
    assert scripts, "there is a first schema"
    return scripts


def test_no_migration_stops_those_who_work(subtests: pytest.Subtests) -> None:
    """Where it breaks a rule for a reason, it says so: `ACCEPTED = {"rule": "why it stops nobody here"}`."""
    for script in migrations()[1:]:
        with subtests.test(script.revision):
            accepted: dict[str, str] = getattr(script.module, "ACCEPTED", {})
            assert broken_by(sql_of(script)) == set(accepted)
            assert all(len(why.split()) > 3 for why in accepted.values()), "say why"


def test_each_migration_says_whose_code_may_still_work_on_it() -> None:
    """Its own or one before; code that is older refuses the schema with a sentence."""
    known = []
    for script in migrations():
        known.append(script.revision)
        assert script.module.OLDEST_CODE in known


STOPS = {
    "ALTER TABLE batch ADD COLUMN at timestamptz DEFAULT clock_timestamp()": "adding-field-with-default",
    "ALTER TABLE message ALTER COLUMN cost TYPE numeric(20, 8)": "changing-column-type",
    "ALTER TABLE message ALTER COLUMN cost SET NOT NULL": "adding-not-nullable-field",
    "ALTER TABLE batch ADD CONSTRAINT c CHECK (number > 0)": "constraint-missing-not-valid",
    "ALTER TABLE batch ADD FOREIGN KEY (number) REFERENCES batch (id)": "adding-foreign-key-constraint",
    "ALTER TABLE batch ADD UNIQUE (number)": "disallowed-unique-constraint",
    "CREATE INDEX i ON message (phone)": "require-concurrent-index-creation",
    "SELECT 1; CREATE INDEX CONCURRENTLY i ON b (c)": "ban-concurrent-index-creation-in-transaction",
    "DROP INDEX i": "require-concurrent-index-deletion",
    "ALTER TABLE message DROP COLUMN phone": "ban-drop-column",
    "ALTER TABLE message RENAME COLUMN phone TO number": "renaming-column",
    "ALTER TABLE message RENAME TO text_message": "renaming-table",
    "DROP TABLE suppression": "ban-drop-table",
    "DROP FUNCTION release_batches(jsonb)": "ban-drop-function",
    "UPDATE message m SET channel = 'sms' WHERE channel IS NULL": "rewrites-rows",
    "WITH old AS (SELECT 1) DELETE FROM message": "rewrites-rows",
    "UPDATE batch SET number = 1": "keeps-its-time-limits",
    "LOCK TABLE message": "locks-a-table",
    "VACUUM FULL message": "locks-a-table",
}


@pytest.mark.parametrize("sql", STOPS)
def test_what_would_stop_them_is_seen(sql: str) -> None:
    assert STOPS[sql] in broken_by(f"{sql};\n")


def test_what_stops_nobody_passes() -> None:
    """A new state with its tally, a table with its index, an index beside those who write, a function."""
    assert (
        broken_by("""
            ALTER TYPE message_state ADD VALUE 'clicked' AFTER 'read';
            ALTER TABLE batch ADD COLUMN clicked_count smallint DEFAULT 0 NOT NULL;
            ALTER TABLE batch ADD CONSTRAINT c CHECK (clicked_count >= 0) NOT VALID;
            CREATE TABLE click (id bigint PRIMARY KEY, at timestamptz);
            CREATE INDEX click_at ON click (at);
            CREATE OR REPLACE FUNCTION f(p jsonb) RETURNS void LANGUAGE plpgsql AS $$
            BEGIN UPDATE message SET channel = 'sms'; DELETE FROM click; END $$;
            COMMIT;
            CREATE INDEX CONCURRENTLY i ON message (phone);
            BEGIN;
        """)
        == set()
    )
