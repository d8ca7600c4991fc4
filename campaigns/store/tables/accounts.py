"""Accounts, and the processes that work for them."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
)
from sqlmodel import Field, SQLModel

from campaigns.domain.states import MessageState
from campaigns.store.tables.columns import enumeration, moment


class AccountCurrency(SQLModel, table=True):
    """In what an account is charged, as its provider named it with the balance (NULL: it named none), and
    what was left on it then (NULL: it never told).
    """

    __tablename__ = "account_currency"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    asked_at: datetime = Field(sa_column=moment(default=True))
    balance: Decimal | None = Field(default=None, sa_column=Column(Numeric))
    balance_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class NewHold(SQLModel, table=True):
    """An account nothing is handed over on: no money, bad credentials. Lifted by a probe or a person."""

    __tablename__ = "account_hold"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    since: datetime = Field(sa_column=moment(default=True))
    probe_at: datetime = Field(sa_column=moment())
    probe_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    code: str = Field(sa_column=Column(Text, nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))


class AccountStop(SQLModel, table=True):
    """When an account was on hold, of holds that were lifted: for the charts of its campaigns."""

    __tablename__ = "account_stop"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    held_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    lifted_at: datetime = Field(sa_column=moment())


class Pulse(SQLModel, table=True):
    """When a worker, a beat or a tick was seen last, and as which one this database knows itself."""

    __tablename__ = "pulse"
    __table_args__ = (
        CheckConstraint("kind IN ('worker', 'beat', 'tick', 'database')", name="pulse_kind_check"),
    )

    kind: str = Field(sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=Column(Text, primary_key=True))
    seen_at: datetime = Field(sa_column=moment(default=True))


class AccountDay(SQLModel, table=True):
    """What a campaign that is over handed over through an account on a day in UTC: `store/days.py`. No
    foreign key: what was sent and paid stays true where the campaign is erased.
    """

    __tablename__ = "account_day"
    __table_args__ = (Index("account_day_of_account", "account", "day"),)

    campaign_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    account: str = Field(sa_column=Column(Text, primary_key=True))
    day: date = Field(sa_column=Column(Date, primary_key=True))
    currency: str = Field(sa_column=Column(Text, primary_key=True))  # "": not known
    state: MessageState = Field(
        sa_column=Column(enumeration(MessageState, "message_state"), primary_key=True)
    )
    message_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    taken_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    segment_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    unsure_segment_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    unpriced_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost: Decimal = Field(sa_column=Column(Numeric, nullable=False))
