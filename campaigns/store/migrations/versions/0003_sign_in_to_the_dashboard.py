"""Sign in to the dashboard: browsers that are signed in with a key.

The release before (0001) knows nothing of the new table, which is not in its way.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The revision of the oldest code that may work on this schema: the head of the release before.
OLDEST_CODE = "0001"

_SESSIONS = """
CREATE TABLE dashboard_session (
    secret_hash bytea PRIMARY KEY,
    key_id text NOT NULL REFERENCES api_key (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dashboard_session_secret_hash_check CHECK (octet_length(secret_hash) = 32)
);

CREATE INDEX dashboard_session_of_key ON dashboard_session (key_id)
"""


def upgrade() -> None:
    for part in (_SESSIONS,):
        for statement in part.split(";\n\n"):
            op.execute(statement)
