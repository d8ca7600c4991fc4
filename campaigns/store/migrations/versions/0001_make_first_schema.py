"""Make the first schema: campaign, batch, message, refusal, suppression, account_hold."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "account_hold",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "accepted", "running", "paused", "finished", "cancelled", "failed", name="campaign_state"
            ),
            nullable=False,
        ),
        sa.Column("recipient_count", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("submission_key", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("refused", JSONB(), nullable=False),
        sa.CheckConstraint(
            "state NOT IN ('finished', 'failed') OR finished_at IS NOT NULL",
            name="campaign_finished_at_check",
        ),
        sa.CheckConstraint("recipient_count >= 0", name="campaign_recipient_count_check"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("submission_key"),
    )
    op.create_index(
        "campaign_open", "campaign", ["id"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "message",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "suppressed",
                "cancelled",
                "queued",
                "sending",
                "in_doubt",
                "accepted",
                "sent",
                "buffered",
                "unknown",
                "expired",
                "undelivered",
                "failed",
                "rejected",
                "delivered",
                "read",
                name="message_state",
            ),
            nullable=False,
        ),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("segment_count", sa.SmallInteger(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("fields", JSONB(), nullable=True),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("provider_message_id", sa.Text(), nullable=True),
        sa.Column("provider_state", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "provider_message_id IS NULL OR state >= 'accepted'", name="message_provider_message_id_check"
        ),
        sa.CheckConstraint(
            "state < 'sending' OR attempt >= 1 OR state = 'failed'", name="message_attempt_check"
        ),
        sa.PrimaryKeyConstraint("batch_id", "position"),
    )
    op.create_table(
        "suppression",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("phone"),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("poll_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "state", sa.Enum("ready", "leased", "tracking", "done", name="batch_state"), nullable=False
        ),
        sa.Column("lease", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_for", sa.Text(), nullable=True),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("message_count", sa.SmallInteger(), nullable=False),
        sa.Column("retry_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("poll_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("cost", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("segment_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("suppressed_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("cancelled_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("queued_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("sending_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("in_doubt_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("accepted_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("sent_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("buffered_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("unknown_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("expired_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("undelivered_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("failed_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("rejected_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("delivered_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("read_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "(state = 'leased') = (leased_until IS NOT NULL)", name="batch_leased_until_check"
        ),
        sa.CheckConstraint(
            "state <> 'leased' OR leased_for IN ('sending', 'polling')", name="batch_leased_for_check"
        ),
        sa.CheckConstraint(
            "state NOT IN ('tracking', 'done') OR queued_count = 0", name="batch_queued_check"
        ),
        sa.CheckConstraint("message_count BETWEEN 1 AND 100", name="batch_message_count_check"),
        sa.CheckConstraint(
            "suppressed_count + cancelled_count + queued_count + sending_count + in_doubt_count"
            " + accepted_count + sent_count + buffered_count + unknown_count + expired_count"
            " + undelivered_count + failed_count + rejected_count + delivered_count + read_count"
            " = message_count",
            name="batch_tally_sums_check",
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "batch_deadline",
        "batch",
        ["give_up_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready', 'tracking')"),
    )
    op.create_index(
        "batch_leased", "batch", ["leased_until"], unique=False, postgresql_where=sa.text("state = 'leased'")
    )
    op.create_index("batch_number", "batch", ["campaign_id", "number"], unique=True)
    op.create_index(
        "batch_open", "batch", ["campaign_id"], unique=False, postgresql_where=sa.text("state <> 'done'")
    )
    op.create_index(
        "batch_to_poll",
        "batch",
        ["campaign_id", "poll_at", "id"],
        unique=False,
        postgresql_where=sa.text("poll_at IS NOT NULL AND state IN ('ready', 'tracking')"),
    )
    op.create_index(
        "batch_to_send",
        "batch",
        ["campaign_id", "send_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_table(
        "refusal",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("campaign_id", "row"),
    )
    # Room on each page for the next version of a row: with no index on what changes, updates are HOT.
    op.execute("ALTER TABLE message SET (fillfactor = 75)")
    op.execute("ALTER TABLE batch SET (fillfactor = 50)")
    # A queue's dead rows are its slowness: vacuum at 1% dead, not at the default 20%.
    for table in ("message", "batch"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.01,"
            " autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)"
        )
