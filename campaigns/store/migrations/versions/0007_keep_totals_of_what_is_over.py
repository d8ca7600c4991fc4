"""Keep the totals of campaigns that are over, so that nobody sums a million messages' batches again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("totals", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "campaign_to_sum_up",
        "campaign",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL AND totals IS NULL"),
    )
    # A late word may still change what was done. Whoever sums up holds all batches meanwhile, so this comes
    # either before, and is summed, or after, and finds the totals there. Costs nothing before the end.
    op.execute(
        """
        CREATE FUNCTION forget_totals() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE campaign SET totals = NULL WHERE id = NEW.campaign_id AND totals IS NOT NULL;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER batch_changed_when_done AFTER UPDATE ON batch"
        " FOR EACH ROW WHEN (OLD.state = 'done') EXECUTE FUNCTION forget_totals()"
    )
