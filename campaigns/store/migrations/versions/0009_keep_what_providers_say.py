"""Keep what providers say beside their word, and set receipts aside that cannot be merged."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Without a value, or with the same for all: no row is rewritten.
    op.add_column("message", sa.Column("provider_reason", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("provider_changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("channel", sa.Text(), nullable=True))
    op.add_column(
        "message",
        sa.Column("is_counted_by_provider", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column("waiting_receipt", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("waiting_receipt", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("waiting_receipt", sa.Column("cost", sa.Numeric(), nullable=True))
    op.add_column("waiting_receipt", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("waiting_receipt", sa.Column("segment_count", sa.SmallInteger(), nullable=True))
    op.add_column("waiting_receipt", sa.Column("channel", sa.Text(), nullable=True))
    op.add_column("waiting_receipt", sa.Column("set_aside_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("waiting_receipt", sa.Column("set_aside_reason", sa.Text(), nullable=True))
    op.create_check_constraint(
        "waiting_receipt_set_aside_check",
        "waiting_receipt",
        "(set_aside_at IS NULL) = (set_aside_reason IS NULL)",
    )
    op.drop_index("waiting_receipt_next", table_name="waiting_receipt")
    op.create_index(
        "waiting_receipt_next",
        "waiting_receipt",
        ["look_at", "id"],
        unique=False,
        postgresql_where=sa.text("set_aside_at IS NULL"),
    )
    op.create_index(
        "waiting_receipt_aside",
        "waiting_receipt",
        ["id"],
        unique=False,
        postgresql_where=sa.text("set_aside_at IS NOT NULL"),
    )
    # Of several coarse ones for one message the first stays to be asked about; the others count as they are.
    op.execute(
        "UPDATE waiting_receipt r SET is_coarse = false, look_count = 0 WHERE is_coarse AND EXISTS ("
        " SELECT 1 FROM waiting_receipt o WHERE o.is_coarse AND o.id < r.id AND o.account = r.account"
        " AND (o.campaign_id, o.number, o.position)"
        " IS NOT DISTINCT FROM (r.campaign_id, r.number, r.position)"
        " AND (r.campaign_id IS NOT NULL OR o.provider_message_id = r.provider_message_id))"
    )
    op.create_index(
        "waiting_receipt_coarse_by_reference",
        "waiting_receipt",
        ["account", "campaign_id", "number", "position"],
        unique=True,
        postgresql_where=sa.text("is_coarse AND campaign_id IS NOT NULL AND set_aside_at IS NULL"),
    )
    op.create_index(
        "waiting_receipt_coarse_by_id",
        "waiting_receipt",
        ["account", "provider_message_id"],
        unique=True,
        postgresql_where=sa.text("is_coarse AND campaign_id IS NULL AND set_aside_at IS NULL"),
    )
