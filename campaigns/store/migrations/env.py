"""Alembic's way in. Always called by `store.schema` with an open connection; there is no alembic.ini."""

from alembic import context
from sqlmodel import SQLModel

from campaigns.store import tables  # noqa: F401  makes the tables known to SQLModel's metadata

connection = context.config.attributes["connection"]
# A transaction for each migration: its locks are held no longer than it takes.
context.configure(connection=connection, target_metadata=SQLModel.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
