"""What people decided: whom not to send to, what goes on, what becomes of messages in doubt."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from campaigns.store.person import person_key
from campaigns.store.tables.columns import moment


class Suppression(SQLModel, table=True):
    """A number that nothing is sent to. Read at submission, and again when an intent is written."""

    __tablename__ = "suppression"
    # One entry a person, whatever form of the number came first.
    __table_args__ = (Index("suppression_person", text(f"(\n{person_key('phone')})"), unique=True),)

    phone: str = Field(sa_column=Column(Text, primary_key=True), repr=False)
    created_at: datetime = Field(sa_column=moment(default=True))
    reason: str = Field(sa_column=Column(Text, nullable=False))


class CampaignHold(SQLModel, table=True):
    """A campaign nothing is handed over of: its sender or its text is refused. Open until somebody lifts it,
    and kept as the record of who went on, and with which new sender.
    """

    __tablename__ = "campaign_hold"
    __table_args__ = (
        CheckConstraint("about IN ('sender', 'text')", name="campaign_hold_about_check"),
        CheckConstraint(
            "(lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NOT NULL OR new_sender_id IS NULL)",
            name="campaign_hold_lifted_check",
        ),
        Index("campaign_hold_of_campaign", "campaign_id", "id"),
        Index("campaign_hold_open", "campaign_id", unique=True, postgresql_where=text("lifted_at IS NULL")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    held_at: datetime = Field(sa_column=moment(default=True))
    lifted_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    about: str = Field(sa_column=Column(Text, nullable=False))
    code: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    sender_id: str = Field(sa_column=Column(Text, nullable=False))  # the one in use when it was held
    lifted_by: str | None = Field(default=None, sa_column=Column(Text))
    new_sender_id: str | None = Field(default=None, sa_column=Column(Text))


class Resolution(SQLModel, table=True):
    """An operator's decision on messages in doubt: who, when, of how many. Never changed."""

    __tablename__ = "resolution"
    __table_args__ = (
        CheckConstraint("word IN ('resend', 'assume_sent')", name="resolution_word_check"),
        Index("resolution_of_campaign", "campaign_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    said_at: datetime = Field(sa_column=moment(default=True))
    message_count: int = Field(sa_column=Column(Integer, nullable=False))
    word: str = Field(sa_column=Column(Text, nullable=False))
    operator: str = Field(sa_column=Column(Text, nullable=False))
