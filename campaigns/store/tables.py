"""The tables. Their types and CHECKs repeat the laws of `domain/states.py`.

Rows are narrow: a message is rewritten three or four times. Nothing that changes on a message is in an index
or its predicate, so that updates stay HOT. What is due is found by batches, a hundred times fewer.
"""

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
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from campaigns.domain.states import UNLEASED, BatchState, CampaignState, MessageState
from campaigns.store.law import TALLY_COLUMNS, in_list
from campaigns.store.person import person_key


def _enumeration(states: type[CampaignState | BatchState | MessageState], name: str) -> Enum:
    # A PostgreSQL enum compares in the order of its labels: GREATEST(state, evidence) is the law of rank.
    return Enum(states, name=name, values_callable=lambda members: [member.value for member in members])


def _moment(*, nullable: bool = False, default: bool = False) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable, server_default=func.now() if default else None)


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
        # What the tick looks at: campaigns in which something may still happen.
        Index("campaign_open", "id", postgresql_where=text("finished_at IS NULL")),
        Index(
            "campaign_to_sum_up",
            "id",
            postgresql_where=text("finished_at IS NOT NULL AND totals IS NULL"),
        ),
    )

    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    created_at: datetime = Field(sa_column=_moment(default=True))
    finished_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    state: CampaignState = Field(
        sa_column=Column(_enumeration(CampaignState, "campaign_state"), nullable=False)
    )
    recipient_count: int = Field(sa_column=Column(Integer, nullable=False))
    name: str = Field(sa_column=Column(Text, nullable=False))
    account: str = Field(sa_column=Column(Text, nullable=False))
    sender_id: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False), repr=False)
    submission_key: str | None = Field(default=None, sa_column=Column(Text, unique=True))
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
    send_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    not_after: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


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
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    campaign_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    )
    send_at: datetime = Field(sa_column=_moment())
    poll_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    # The moment by which every message of it is settled, come what may; moved on at each hand-over.
    give_up_at: datetime = Field(sa_column=_moment())
    leased_until: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    number: int = Field(sa_column=Column(Integer, nullable=False))
    state: BatchState = Field(sa_column=Column(_enumeration(BatchState, "batch_state"), nullable=False))
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
    updated_at: datetime = Field(sa_column=_moment(default=True))
    row: int = Field(sa_column=Column(Integer, nullable=False))  # where it stood in the submission
    state: MessageState = Field(sa_column=Column(_enumeration(MessageState, "message_state"), nullable=False))
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
    provider_changed_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    currency: str | None = Field(default=None, sa_column=Column(Text))  # of `cost`; NULL: the campaign's
    channel: str | None = Field(default=None, sa_column=Column(Text))
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
    received_at: datetime = Field(sa_column=_moment(default=True))
    look_at: datetime = Field(sa_column=_moment(default=True))
    account: str = Field(sa_column=Column(Text, nullable=False))
    provider_message_id: str | None = Field(default=None, sa_column=Column(Text))
    # Our reference, where the callback named it: campaign, batch number, position.
    campaign_id: UUID | None = Field(default=None, sa_column=Column(Uuid))
    number: int | None = Field(default=None, sa_column=Column(Integer))
    position: int | None = Field(default=None, sa_column=Column(SmallInteger))
    evidence: MessageState | None = Field(
        default=None, sa_column=Column(_enumeration(MessageState, "message_state"))
    )
    provider_state: str = Field(sa_column=Column(Text, nullable=False))
    is_coarse: bool = Field(sa_column=Column(Boolean, nullable=False, server_default="false"))
    look_count: int = Field(sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    # What the provider says beside its status word.
    reason: str | None = Field(default=None, sa_column=Column(Text))
    changed_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    segment_count: int | None = Field(default=None, sa_column=Column(SmallInteger))
    channel: str | None = Field(default=None, sa_column=Column(Text))
    # One that cannot be merged: nobody looks at it until a person has it tried again, or drops it.
    set_aside_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    set_aside_reason: str | None = Field(default=None, sa_column=Column(Text))


class Suppression(SQLModel, table=True):
    """A number that nothing is sent to. Read at submission, and again when an intent is written."""

    __tablename__ = "suppression"
    # One entry a person, whatever form of the number came first.
    __table_args__ = (Index("suppression_person", text(f"(\n{person_key('phone')})"), unique=True),)

    phone: str = Field(sa_column=Column(Text, primary_key=True), repr=False)
    created_at: datetime = Field(sa_column=_moment(default=True))
    reason: str = Field(sa_column=Column(Text, nullable=False))


class AccountCurrency(SQLModel, table=True):
    """In what an account is charged, as its provider named it with the balance; NULL: it named none."""

    __tablename__ = "account_currency"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    currency: str | None = Field(default=None, sa_column=Column(Text))
    asked_at: datetime = Field(sa_column=_moment(default=True))


class NewHold(SQLModel, table=True):
    """An account nothing is handed over on: no money, bad credentials. Lifted by a probe or a person."""

    __tablename__ = "account_hold"

    account: str = Field(sa_column=Column(Text, primary_key=True))
    since: datetime = Field(sa_column=_moment(default=True))
    probe_at: datetime = Field(sa_column=_moment())
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
    seen_at: datetime = Field(sa_column=_moment(default=True))


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
    held_at: datetime = Field(sa_column=_moment(default=True))
    lifted_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
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
    said_at: datetime = Field(sa_column=_moment(default=True))
    message_count: int = Field(sa_column=Column(Integer, nullable=False))
    word: str = Field(sa_column=Column(Text, nullable=False))
    operator: str = Field(sa_column=Column(Text, nullable=False))
