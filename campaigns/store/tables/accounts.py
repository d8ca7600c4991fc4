"""Accounts, and the processes that work for them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, SmallInteger, Text
from sqlmodel import Field, SQLModel

from campaigns.store.tables.columns import moment


class AccountCurrency(SQLModel, table=True):
    """In what an account is charged, as its provider named it with the balance; NULL: it named none."""

    __tablename__ = "account_currency"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    asked_at: datetime = Field(sa_column=moment(default=True))


class NewHold(SQLModel, table=True):
    """An account nothing is handed over on: no money, bad credentials. Lifted by a probe or a person."""

    __tablename__ = "account_hold"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    since: datetime = Field(sa_column=moment(default=True))
    probe_at: datetime = Field(sa_column=moment())
    probe_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    code: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))


class Pulse(SQLModel, table=True):
    """When a worker, a beat or a tick was seen last, and as which one this database knows itself."""

    __tablename__ = "pulse"
    __table_args__ = (
        CheckConstraint("kind IN ('worker', 'beat', 'tick', 'database')", name="pulse_kind_check"),
    )

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    seen_at: datetime = Field(sa_column=moment(default=True))
