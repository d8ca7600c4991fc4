"""Webhooks: who is told what, what happened (the outbox), and each delivery of one to the other."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from campaigns.store.tables.columns import moment


class Webhook(SQLModel, table=True):
    """An endpoint that is told what happens to its owner's campaigns."""

    __tablename__ = "webhook"
    __table_args__ = (
        CheckConstraint(
            "(previous_secret IS NULL) = (previous_secret_until IS NULL)",
            name="webhook_previous_secret_check",
        ),
        CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name="webhook_disabled_reason_check"
        ),
        Index("webhook_of_owner", "owner"),
    )

    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    created_at: datetime = Field(sa_column=moment(default=True))
    previous_secret_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    disabled_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    last_success_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # Since when nothing was delivered, and when it is tried next; NULL: the last delivery was taken.
    failing_since: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    retry_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    failure_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    owner: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    # Whether it hears of every owner's campaigns, and not of its own alone.
    is_for_all_owners: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    # Whether numbers are told, and not references alone.
    with_numbers: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    url: str = Field(sa_column=Column(Text, nullable=False), repr=False)
    # The types of events it is told of; NULL: all.
    event_types: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    # In clear, because we sign with it. While it is rotated, the one before signs too.
    secret: str = Field(sa_column=Column(Text, nullable=False), repr=False)
    previous_secret: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    disabled_reason: str | None = Field(default=None, sa_column=Column(Text))


class WebhookEvent(SQLModel, table=True):
    """Something that happened, written in the transaction in which it happened."""

    __tablename__ = "webhook_event"
    __table_args__ = (
        Index("webhook_event_to_hand_out", "id", postgresql_where=text("handed_out_at IS NULL")),
        Index("webhook_event_at", "at"),
        # When a campaign's progress was told last: at most once a minute.
        Index(
            "webhook_event_of_progress",
            "campaign_id",
            "at",
            postgresql_where=text("type = 'campaign.progress'"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    # What receivers know it by, over all tries: no number, which a restored backup would give out again.
    event_id: UUID = Field(
        sa_column=Column(Uuid, nullable=False, unique=True, server_default=text("gen_random_uuid()"))
    )
    at: datetime = Field(sa_column=moment(default=True))
    # When a delivery was made of it for each endpoint; NULL: not yet.
    handed_out_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    # No foreign key: what is told of a campaign may be told when it is gone.
    campaign_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    owner: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    type: str = Field(sa_column=Column(Text, nullable=False))
    account: str | None = Field(default=None, sa_column=Column(Text))
    # Never a number: those who may see them get them when the body is made.
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class AsideEvent(SQLModel, table=True):
    """An event that could not be written into `webhook_event`, as it was to be written."""

    __tablename__ = "aside_event"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    set_aside_at: datetime = Field(sa_column=moment(default=True))
    happened_at: datetime = Field(sa_column=moment())
    campaign_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    type: str = Field(sa_column=Column(Text, nullable=False))
    owner: str = Field(sa_column=Column(Text, nullable=False))
    account: str | None = Field(default=None, sa_column=Column(Text))
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))


class WebhookDelivery(SQLModel, table=True):
    """One event for one endpoint: how often it was tried, when next, and what was answered last."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'succeeded', 'given_up')", name="webhook_delivery_state_check"),
        CheckConstraint(
            "(state = 'waiting') = (finished_at IS NULL)", name="webhook_delivery_finished_at_check"
        ),
        # An event is handed out once; a person may have it replayed.
        Index(
            "webhook_delivery_once",
            "webhook_id",
            "event_id",
            unique=True,
            postgresql_where=text("NOT is_replay"),
        ),
        Index("webhook_delivery_due", "webhook_id", "event_id", postgresql_where=text("state = 'waiting'")),
        Index(
            "webhook_delivery_in_order",
            "webhook_id",
            "sequence_key",
            "event_id",
            postgresql_where=text("state = 'waiting' AND sequence_key IS NOT NULL"),
        ),
        Index("webhook_delivery_of_webhook", "webhook_id", "id"),
        Index("webhook_delivery_of_event", "event_id"),
        Index("webhook_delivery_given_up", "webhook_id", "id", postgresql_where=text("state = 'given_up'")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    webhook_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False)
    )
    event_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("webhook_event.id", ondelete="CASCADE"), nullable=False)
    )
    # What has the same (a campaign's id, a hash of an account's name) is delivered in order;
    # NULL: in no order, as what is replayed.
    sequence_key: UUID | None = Field(default=None, sa_column=Column(Uuid))
    created_at: datetime = Field(sa_column=moment(default=True))
    due_at: datetime = Field(sa_column=moment(default=True))
    leased_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    tried_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    finished_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    lease: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))  # a fencing number
    attempt: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    status: int | None = Field(default=None, sa_column=Column(SmallInteger))  # of the last answer
    took_milliseconds: int | None = Field(default=None, sa_column=Column(Integer))
    is_replay: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    state: str = Field(sa_column=Column(Text, nullable=False, server_default="waiting"))
    answer: str | None = Field(default=None, sa_column=Column(Text))  # its first 1,000 bytes
    trouble: str | None = Field(default=None, sa_column=Column(Text))  # why there was none
