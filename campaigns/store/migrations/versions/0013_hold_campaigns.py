"""Hold a campaign whose sender or text is refused, and record who let it go on."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "campaign_hold",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("new_sender_id", sa.Text(), nullable=True),
        sa.CheckConstraint("about IN ('sender', 'text')", name="campaign_hold_about_check"),
        sa.CheckConstraint(
            "(lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NOT NULL OR new_sender_id IS NULL)",
            name="campaign_hold_lifted_check",
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("campaign_hold_of_campaign", "campaign_hold", ["campaign_id", "id"])
    op.create_index(
        "campaign_hold_open",
        "campaign_hold",
        ["campaign_id"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
