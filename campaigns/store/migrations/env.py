"""Alembic's way in. Always called by `store.schema` with an open connection; there is no alembic.ini."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import text
from sqlmodel import SQLModel

from campaigns.store import tables  # noqa: F401  makes the tables known to SQLModel's metadata


def note_oldest_code(ctx: MigrationContext, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Write down beside the revision which code may still work on it, in the migration's own transaction."""
    assert ctx.connection is not None  # noqa: S101  there is one whenever SQL is run
    assert isinstance(step.up_revision, Script)  # noqa: S101  migrations are files
    ctx.connection.execute(
        text("UPDATE alembic_version SET oldest_code = :oldest"),
        {"oldest": step.up_revision.module.OLDEST_CODE},
    )


# A transaction for each migration: its locks are held no longer than it takes.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
    on_version_apply=note_oldest_code,
)
with context.begin_transaction():
    context.run_migrations()
