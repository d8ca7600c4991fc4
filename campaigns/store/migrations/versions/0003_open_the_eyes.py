"""Open the eyes: browsers that are signed in to the dashboard, what went through an account by day, what is
left on it and when it was on hold, and the trace that asked for a campaign.

The release before (0001) knows nothing of the new tables, which are not in its way. The days of campaigns
that ended before are counted afterwards, a campaign at a time, as are those that a worker of the release
before ends: it leaves `is_counted_by_day` as it is made.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The revision of the oldest code that may work on this schema: the head of the release before.
OLDEST_CODE = "0001"

# What the lint (tests/guards/test_migrations.py) finds and is meant, by its rule: why it stops nobody here.
_FEW = "a row for a campaign, an act or a delivery, not for a message: 100,000 take a tenth of a second"
ACCEPTED = {"require-concurrent-index-creation": _FEW}

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


_DAYS = """
CREATE TABLE account_day (
    campaign_id uuid NOT NULL,
    account text NOT NULL,
    day date NOT NULL,
    currency text NOT NULL,
    state message_state NOT NULL,
    message_count bigint NOT NULL,
    taken_count bigint NOT NULL,
    segment_count bigint NOT NULL,
    unsure_segment_count bigint NOT NULL,
    unpriced_count bigint NOT NULL,
    cost numeric NOT NULL,
    PRIMARY KEY (campaign_id, account, day, currency, state)
);

CREATE INDEX account_day_of_account ON account_day (account, day);

ALTER TABLE campaign ADD COLUMN is_counted_by_day boolean NOT NULL DEFAULT false;

CREATE INDEX campaign_to_count_by_day ON campaign (id) WHERE NOT is_counted_by_day
"""


# What is looked for among very many: batches in doubt, the acts of one owner, deliveries that were given up.
_LOOKS = """
CREATE INDEX batch_in_doubt ON batch (campaign_id, id) WHERE in_doubt_count > 0;

CREATE INDEX audit_of_owner ON audit (owner, id);

CREATE INDEX webhook_delivery_given_up ON webhook_delivery (webhook_id, id) WHERE state = 'given_up'
"""


_TRACES = "ALTER TABLE campaign ADD COLUMN trace_parent text"


_BALANCES = "ALTER TABLE account_currency ADD COLUMN balance numeric, ADD COLUMN balance_at timestamptz"


_STOPS = """
CREATE TABLE account_stop (
    account text NOT NULL,
    held_at timestamptz NOT NULL,
    lifted_at timestamptz NOT NULL,
    PRIMARY KEY (account, held_at)
)
"""


def upgrade() -> None:
    for part in (_SESSIONS, _DAYS, _LOOKS, _TRACES, _BALANCES, _STOPS):
        for statement in part.split(";\n\n"):
            op.execute(statement)
