"""Alembic's way in. Always called by `store.schema` with an open connection; there is no alembic.ini."""

from alembic import context
from sqlmodel import SQLModel

from campaigns.store import tables  # noqa: F401  makes the tables known to SQLModel's metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
