"""Add what a campaign does with doubt, the crashes of a batch, and operators' words."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("on_doubt", sa.Text(), server_default="hold", nullable=False))
    op.create_check_constraint("campaign_on_doubt_check", "campaign", "on_doubt IN ('hold', 'resend')")
    op.add_column("batch", sa.Column("crash_count", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table(
        "resolution",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.CheckConstraint("word IN ('resend', 'assume_sent')", name="resolution_word_check"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("resolution_of_campaign", "resolution", ["campaign_id", "id"], unique=False)
