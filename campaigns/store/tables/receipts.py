"""Receipts of callbacks that wait to be merged."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from campaigns.domain.states import MessageState
from campaigns.store.tables.columns import enumeration, moment


class WaitingReceipt(SQLModel, table=True):
    """A receipt of a callback as it came: durable before the provider hears that we have it, gone when it
    is merged. One that matches no message yet waits: callbacks outrun answers.
    """

    __tablename__ = "waiting_receipt"
    __table_args__ = (
        CheckConstraint(
            "provider_message_id IS NOT NULL OR campaign_id IS NOT NULL", name="waiting_receipt_names_check"
        ),
        CheckConstraint(
            "(campaign_id IS NULL) = (number IS NULL) AND (campaign_id IS NULL) = (position IS NULL)",
            name="waiting_receipt_reference_check",
        ),
        CheckConstraint(
            "(set_aside_at IS NULL) = (set_aside_reason IS NULL)", name="waiting_receipt_set_aside_check"
        ),
        Index("waiting_receipt_next", "look_at", "id", postgresql_where=text("set_aside_at IS NULL")),
        Index("waiting_receipt_aside", "id", postgresql_where=text("set_aside_at IS NOT NULL")),
        # One question at a time about a message, however often it is called for.
        Index(
            "waiting_receipt_coarse_by_reference",
            "account",
            "campaign_id",
            "number",
            "position",
            unique=True,
            postgresql_where=text("is_coarse AND campaign_id IS NOT NULL AND set_aside_at IS NULL"),
        ),
        Index(
            "waiting_receipt_coarse_by_id",
            "account",
            "provider_message_id",
            unique=True,
            postgresql_where=text("is_coarse AND campaign_id IS NULL AND set_aside_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    received_at: datetime = Field(sa_column=moment(default=True))
    look_at: datetime = Field(sa_column=moment(default=True))
    account: str = Field(sa_column=Column(Text, nullable=False))
    provider_message_id: str | None = Field(default=None, sa_column=Column(Text))
    # Our reference, where the callback named it: campaign, batch number, position.
    campaign_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    number: int | None = Field(default=None, sa_column=Column(Integer))
    position: int | None = Field(default=None, sa_column=Column(SmallInteger))
    evidence: MessageState | None = Field(
        default=None, sa_column=Column(enumeration(MessageState, "message_state"))
    )
    provider_state: str = Field(sa_column=Column(Text, nullable=False))
    is_coarse: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    look_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # What the provider says beside its status word.
    reason: str | None = Field(default=None, sa_column=Column(Text))
    changed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    segment_count: int | None = Field(default=None, sa_column=Column(SmallInteger))
    channel: str | None = Field(default=None, sa_column=Column(Text))
    # One that cannot be merged: nobody looks at it until a person has it tried again, or drops it.
    set_aside_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    set_aside_reason: str | None = Field(default=None, sa_column=Column(Text))
