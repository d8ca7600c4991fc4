"""Keep what is worth a look in what was taken in, the column a refusal is about, and one entry for each."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As `store.person.person_key` has it today: a later one gets an index of its own.
_PERSON = (
    "CASE"
    " WHEN length(phone) = 14 AND (substr(phone, 1, 4) = '+549' OR substr(phone, 1, 4) = '+521')"
    " THEN substr(phone, 1, 3) || substr(phone, 5)"
    " WHEN length(phone) = 12 AND substr(phone, 1, 4) = '+229' THEN '+22901' || substr(phone, 5)"
    " ELSE phone END"
)


def upgrade() -> None:
    op.add_column(
        "campaign",
        sa.Column("noted", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
    )
    op.add_column("refusal", sa.Column("column_name", sa.Text(), nullable=True))
    op.execute(
        "DELETE FROM suppression WHERE phone IN (SELECT phone FROM (SELECT phone, row_number() OVER"
        f" (PARTITION BY {_PERSON} ORDER BY created_at, phone) AS nth FROM suppression) s WHERE nth > 1)"
    )
    op.execute(f"CREATE UNIQUE INDEX suppression_person ON suppression (({_PERSON}))")
