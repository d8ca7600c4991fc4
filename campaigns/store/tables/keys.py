"""Who may use the API, and what was changed by whom."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from campaigns.store.tables.columns import moment


class ApiKey(SQLModel, table=True):
    """A key of the API. Its secret part is random and is kept as SHA-256 alone."""

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("octet_length(secret_hash) = 32", name="api_key_secret_hash_check"),
        CheckConstraint("owner <> ''", name="api_key_owner_check"),
    )

    id: str = Field(sa_column=Column(Text, primary_key=True))  # public: part of the key, and in the audit
    created_at: datetime = Field(sa_column=moment(default=True))
    expires_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    owner: str = Field(sa_column=Column(Text, nullable=False))
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False), repr=False)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    # NULL: every account.
    accounts: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    # Whether it sees the campaigns of every owner, and not its own alone.
    is_for_all_owners: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    # How much may be submitted, by all keys of its owner together; NULL: any number.
    recipients_per_day: int | None = Field(default=None, sa_column=Column(BigInteger))
    segments_per_month: int | None = Field(default=None, sa_column=Column(BigInteger))
    # A campaign of more segments waits until somebody else approves it; NULL: none does.
    approval_above: int | None = Field(default=None, sa_column=Column(BigInteger))


class Audit(SQLModel, table=True):
    """A change made by a key or an operator. A trigger refuses to change or delete a row."""

    __tablename__ = "audit"
    __table_args__ = (
        CheckConstraint("actor_kind IN ('key', 'operator')", name="audit_actor_kind_check"),
        Index("audit_of_subject", "subject", "id"),
        Index("audit_of_owner", "owner", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: datetime = Field(sa_column=moment(default=True))
    actor_kind: str = Field(sa_column=Column(Text, nullable=False))
    actor: str = Field(sa_column=Column(Text, nullable=False))  # a key's id, or an operator's name
    owner: str = Field(sa_column=Column(Text, nullable=False, server_default=""))  # whose the key is
    action: str = Field(sa_column=Column(Text, nullable=False))  # such as campaign.pause
    subject: str = Field(sa_column=Column(Text, nullable=False))  # such as campaign/<id>
    origin: str = Field(sa_column=Column(Text, nullable=False))  # an address, or the machine of an operator
    # What was before and what is after, never a number or a text.
    detail: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))


class DashboardSession(SQLModel, table=True):
    """A browser that is signed in with a key. Its secret is random and is kept as SHA-256 alone."""

    __tablename__ = "dashboard_session"
    __table_args__ = (
        CheckConstraint("octet_length(secret_hash) = 32", name="dashboard_session_secret_hash_check"),
        Index("dashboard_session_of_key", "key_id"),
    )

    secret_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True), repr=False)
    key_id: str = Field(sa_column=Column(Text, ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False))
    created_at: datetime = Field(sa_column=moment(default=True))
    used_at: datetime = Field(sa_column=moment(default=True))
