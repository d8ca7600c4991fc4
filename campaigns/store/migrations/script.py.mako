"""${message}"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}

# The revision of the oldest code that may work on this schema: the head of the release before.
OLDEST_CODE = ${repr(down_revision)}

# What the lint (tests/guards/test_migrations.py) finds and is meant, by its rule: why it stops nobody here.
ACCEPTED: dict[str, str] = {}

# For what takes longer than 30 seconds: op.execute(TAKES_LONG) before it.
TAKES_LONG = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('statement_timeout', 'transaction_timeout')
"""


def upgrade() -> None:
    ${upgrades if upgrades else "raise NotImplementedError"}
