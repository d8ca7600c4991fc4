"""Campaigns, batches and messages: what is sent."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from campaigns.domain.states import UNLEASED, BatchState, CampaignState, MessageState
from campaigns.store.law import TALLY_COLUMNS, in_list
from campaigns.store.tables.columns import enumeration, moment


class Campaign(SQLModel, table=True):
    """One text for many recipients from one sender id through one account."""

    __tablename__ = "campaign"
    __table_args__ = (
        CheckConstraint("recipient_count >= 0", name="campaign_recipient_count_check"),
        CheckConstraint("on_doubt IN ('hold', 'resend')", name="campaign_on_doubt_check"),
        CheckConstraint(
            "state NOT IN ('finished', 'failed') OR finished_at IS NOT NULL",
            name="campaign_finished_at_check",
        ),
        CheckConstraint(
            "CASE WHEN owner = '' THEN owner_key IS NULL ELSE submission_key IS NULL END",
            name="campaign_owner_key_check",
        ),
        Index("campaign_owner_key", "owner", "owner_key", unique=True),
        Index("campaign_newest", text("created_at DESC"), text("id DESC")),
        Index("campaign_follow_up_of", "follow_up_of", postgresql_where=text("follow_up_of IS NOT NULL")),
        # What the tick looks at: campaigns in which something may still happen.
        Index("campaign_open", "id", postgresql_where=text("finished_at IS NULL")),
        Index(
            "campaign_to_sum_up",
            "id",
            postgresql_where=text("finished_at IS NOT NULL AND totals IS NULL"),
        ),
        Index("campaign_to_count_by_day", "id", postgresql_where=text("NOT is_counted_by_day")),
    )

    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    created_at: datetime = Field(sa_column=moment(default=True))
    finished_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    state: CampaignState = Field(
        sa_column=Column(enumeration(CampaignState, "campaign_state"), nullable=False)
    )
    recipient_count: int = Field(sa_column=Column(Integer, nullable=False))
    name: str = Field(sa_column=Column(Text, nullable=False))
    account: str = Field(sa_column=Column(Text, nullable=False))
    sender_id: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False), repr=False)
    # Whose it is: the owner of the key that made it; '' is the operators and Celery's tasks.
    owner: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    # The submitter's own name for it. It is unique per owner, in two columns for one release: that of the
    # release before has ON CONFLICT (submission_key), and needs that column unique by itself.
    submission_key: str | None = Field(default=None, sa_column=Column(Text, unique=True))  # where owner = ''
    owner_key: str | None = Field(default=None, sa_column=Column(Text))  # where there is an owner
    # Segments of its messages when it was taken in, of those suppressed too; the release before says 0.
    segment_count: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    # Whether its key may not let it go on: it is paused until somebody who may does.
    needs_approval: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    content_hash: str = Field(sa_column=Column(Text, nullable=False))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    refused: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))
    # Rows that were taken in and are worth a look, by what is to be said of them.
    noted: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    # The sums over its batches once it is over, NULL where they are to be summed: a trigger forgets them when
    # a batch that was done changes all the same.
    totals: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    # What becomes of a message in doubt: `hold` waits for evidence, a person or the deadline; `resend`
    # sends it again after a while, for people who prefer a second text to none.
    on_doubt: str = Field(sa_column=Column(Text, nullable=False, server_default="hold"))
    # Nothing is handed over before the one or after the other; NULL: no bound.
    send_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    not_after: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # Whose recipients it sends to again. No foreign key: that campaign may be erased before this one.
    follow_up_of: UUID | None = Field(default=None, sa_column=Column(Uuid))
    # Whether `account_day` has what it sent; the trigger that forgets its totals forgets this too.
    is_counted_by_day: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    # The span that asked for it, as W3C writes it: each batch's span links to it.
    trace_parent: str | None = Field(default=None, sa_column=Column(Text))


class Refusal(SQLModel, table=True):
    """A recipient that was not taken in: where it stood in the submission, and why."""

    __tablename__ = "refusal"

    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    row: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    column_name: str | None = Field(
        default=None, sa_column=Column(Text)
    )  # what it is about, as the text has it


class CampaignProgress(SQLModel, table=True):
    """What a campaign's totals were at a moment, for its curve over time."""

    __tablename__ = "campaign_progress"

    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True)
    )
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    totals: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))  # by state, read by name
    cost: Decimal = Field(sa_column=Column(Numeric, nullable=False, server_default="0"))


_SENDABLE = text("state = 'ready'")
_POLLABLE = text(f"poll_at IS NOT NULL AND state IN {in_list(UNLEASED)}")


class Batch(SQLModel, table=True):
    """At most 100 messages of one campaign: the unit of handing over and of polling.

    A batch may want two kinds of work at once (some messages throttled back to queued, others to be
    polled), so it has two clocks: `send_at` and `poll_at`.
    """

    __tablename__ = "batch"
    __table_args__ = (
        CheckConstraint("message_count BETWEEN 1 AND 100", name="batch_message_count_check"),
        CheckConstraint(" + ".join(TALLY_COLUMNS) + " = message_count", name="batch_tally_sums_check"),
        CheckConstraint("(state = 'leased') = (leased_until IS NOT NULL)", name="batch_leased_until_check"),
        CheckConstraint(
            "state <> 'leased' OR leased_for IN ('sending', 'polling')", name="batch_leased_for_check"
        ),
        CheckConstraint("state NOT IN ('tracking', 'done') OR queued_count = 0", name="batch_queued_check"),
        Index("batch_number", "campaign_id", "number", unique=True),
        Index("batch_to_send", "campaign_id", "account", "send_at", "id", postgresql_where=_SENDABLE),
        Index("batch_to_poll", "campaign_id", "account", "poll_at", "id", postgresql_where=_POLLABLE),
        Index("batch_leased", "leased_until", postgresql_where=text("state = 'leased'")),
        Index("batch_deadline", "give_up_at", postgresql_where=text(f"state IN {in_list(UNLEASED)}")),
        Index("batch_open", "campaign_id", "account", postgresql_where=text("state <> 'done'")),
        # Few batches ever have doubt, and each tick looks for them.
        Index("batch_in_doubt", "campaign_id", "id", postgresql_where=text("in_doubt_count > 0")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    send_at: datetime = Field(sa_column=moment())
    poll_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # The moment by which every message of it is settled, come what may; moved on at each hand-over.
    give_up_at: datetime = Field(sa_column=moment())
    leased_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    number: int = Field(sa_column=Column(Integer, nullable=False))
    state: BatchState = Field(sa_column=Column(enumeration(BatchState, "batch_state"), nullable=False))
    lease: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))
    # What it goes through: at first its campaign's.
    account: str = Field(sa_column=Column(Text, nullable=False))
    leased_for: str | None = Field(default=None, sa_column=Column(Text))
    leased_by: str | None = Field(default=None, sa_column=Column(Text))
    message_count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    retry_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    poll_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # Which messages were asked about in the cycle of polling that is under way; NULL between cycles.
    asked_positions: list[int] | None = Field(default=None, sa_column=Column(ARRAY(SmallInteger)))
    # Leases in a row that ran out under a worker: a batch that kills its worker is set aside by it.
    crash_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    trouble: str | None = Field(default=None, sa_column=Column(Text))
    # What is known to have been charged, in the campaign's currency, and for how many messages; how many
    # the provider took without a price; what was charged in other currencies, each with amount and count.
    cost: Decimal = Field(sa_column=Column(Numeric, nullable=False, server_default="0"))
    priced_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    unpriced_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    other_costs: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    # Why messages reached nobody: the provider's code, a sentence, and how many. None: not counted yet.
    reasons: list[Any] | None = Field(default=None, sa_column=Column(JSONB, nullable=True))
    segment_count: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))
    suppressed_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    cancelled_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    queued_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    sending_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    in_doubt_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    accepted_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    sent_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    buffered_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    unknown_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    expired_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    undelivered_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    failed_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    rejected_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    delivered_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    read_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))


class Message(SQLModel, table=True):
    """One text to one number: the unit of state, receipt and money.

    No foreign key to `batch`, which costs a trigger a row: both are written in one transaction.
    """

    __tablename__ = "message"
    __table_args__ = (
        CheckConstraint(
            "provider_message_id IS NULL OR state >= 'accepted'", name="message_provider_message_id_check"
        ),
        CheckConstraint(
            "state < 'sending' OR attempt >= 1 OR state IN ('failed', 'expired')",
            name="message_attempt_check",
        ),
    )

    batch_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    updated_at: datetime = Field(sa_column=moment(default=True))
    row: int = Field(sa_column=Column(Integer, nullable=False))  # where it stood in the submission
    state: MessageState = Field(sa_column=Column(enumeration(MessageState, "message_state"), nullable=False))
    position: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    attempt: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    segment_count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    phone: str = Field(sa_column=Column(Text, nullable=False), repr=False)
    # NULL: the campaign's text, word for word.
    text: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    fields: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB), repr=False)
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric))
    provider_message_id: str | None = Field(default=None, sa_column=Column(Text))
    provider_state: str | None = Field(default=None, sa_column=Column(Text))
    reason: str | None = Field(default=None, sa_column=Column(Text))  # ours, or a refusal's at hand-over
    # Beside `provider_state`: why it is so, and since when, as the provider says.
    provider_reason: str | None = Field(default=None, sa_column=Column(Text))
    provider_changed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    currency: str | None = Field(default=None, sa_column=Column(Text))  # of `cost`; NULL: the campaign's
    channel: str | None = Field(default=None, sa_column=Column(Text))
    # What became of it, the oldest first, as `domain/timeline.py` has it.
    timeline: bytes | None = Field(default=None, sa_column=Column(LargeBinary), repr=False)
    # Whether `segment_count` is the provider's: of its own counts the highest stands, ours gives way.
    is_counted_by_provider: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))


class MessageByProviderId(SQLModel, table=True):
    """Where a message stands that callbacks name by the provider's id alone: written with that id, where the
    provider calls back so.
    """

    __tablename__ = "message_by_provider_id"

    provider_message_id: str = Field(sa_column=Column(Text, primary_key=True))
    batch_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    position: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
