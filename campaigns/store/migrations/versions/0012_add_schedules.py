"""Add when a campaign may be sent: from when, and until when."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("send_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("campaign", sa.Column("not_after", sa.DateTime(timezone=True), nullable=True))
    # What was not handed over in time is expired without an attempt. Not checked for what is there: the old
    # rule was stricter.
    op.execute("ALTER TABLE message DROP CONSTRAINT message_attempt_check")
    op.execute(
        "ALTER TABLE message ADD CONSTRAINT message_attempt_check"
        " CHECK (state < 'sending' OR attempt >= 1 OR state IN ('failed', 'expired')) NOT VALID"
    )
    op.execute("ALTER TABLE message VALIDATE CONSTRAINT message_attempt_check")
