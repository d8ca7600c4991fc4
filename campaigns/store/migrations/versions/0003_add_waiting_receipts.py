"""Add receipts that wait to be merged, and find a message by the provider's id."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "waiting_receipt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=True),
        sa.Column("evidence", ENUM(name="message_state", create_type=False), nullable=True),
        sa.Column("provider_state", sa.Text(), nullable=False),
        sa.Column("is_coarse", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("look_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "provider_message_id IS NOT NULL OR campaign_id IS NOT NULL", name="waiting_receipt_names_check"
        ),
        sa.CheckConstraint(
            "(campaign_id IS NULL) = (number IS NULL) AND (campaign_id IS NULL) = (position IS NULL)",
            name="waiting_receipt_reference_check",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("waiting_receipt_next", "waiting_receipt", ["look_at", "id"], unique=False)
    op.create_index(
        "message_provider_message_id",
        "message",
        ["provider_message_id"],
        unique=False,
        postgresql_where=sa.text("provider_message_id IS NOT NULL"),
    )
