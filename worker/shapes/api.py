"""What the API alone answers: lists in pages, keys, the audit, single campaigns with whose they are."""

from typing import Any, Literal, Self

from pydantic import Field

from campaigns import reading
from campaigns.domain.holds import Hold as FoundHold
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.auditing import AuditRow
from campaigns.store.keys import KeyRow
from campaigns.store.reading.contents import Content as FoundContent
from campaigns.store.reading.lately import Day as FoundDay
from campaigns.store.reading.overviews import Overview
from campaigns.store.reading.pages import BatchRow, RefusalRow
from campaigns.store.submission import TakenIn
from worker.shapes.accounts import Day
from worker.shapes.base import Day as CalendarDay
from worker.shapes.base import Moment, Shape, Text
from worker.shapes.campaigns import Campaign, Cost, ProgressPoint, Reason
from worker.shapes.messages import Message, TracedMessage
from worker.shapes.work import AsideEvent, AsideReceipt, AsideTask

Cursor = str | None


class Page(Shape):
    """One page of a list."""

    next_cursor: Cursor = Field(description="Ask again with it; null: that was all.")


class OwnedCampaign(Campaign):
    """A campaign, and whose it is."""

    owner: str = Field(description="Of the key that submitted it; empty: an operator, or a task.")
    settled_count: int = Field(description="Messages with a final state.")
    needs_approval: bool = Field(description="Whether a key that may submit as many is to resume it.")

    @classmethod
    def of(cls, overview: Overview, **more: Any) -> Self:
        """A campaign as the API shows it."""
        return super().of(
            overview,
            settled_count=reading.settled_count(overview),
            **more,
        )


class SubmittedCampaign(OwnedCampaign):
    """A campaign as it was just taken in, and what would make it cheaper."""

    costly: list[Text] = Field(description="Characters for which its texts need more segments.")
    saved_segment_count: int = Field(description="How many segments fewer without them.")

    @classmethod
    def taken(cls, overview: Overview, taken: TakenIn) -> Self:
        """What a submission is answered with."""
        return cls.of(overview, costly=list(taken.costly), saved_segment_count=taken.saved_segment_count)


class CampaignPage(Page):
    """Campaigns, newest first."""

    items: list[OwnedCampaign]


class MessagePage(Page):
    """Messages of one campaign, in order of batch and position."""

    items: list[Message]


class FoundMessages(Page):
    """The messages that were looked for, newest first."""

    items: list[TracedMessage]


class Stop(Shape):
    """Nothing of a campaign was handed over meanwhile."""

    kind: Literal["paused", "held"] = Field(
        description="By a person, or by us: its sender or text is refused, or its account is on hold."
    )
    begins_at: Moment
    ends_at: Moment | None = Field(description="null: it is so now, or was until its end.")


class Progress(Shape):
    """How a campaign went over time, the oldest point first."""

    items: list[ProgressPoint]
    stops: list[Stop] = Field(description="When it was paused or on hold, itself or its account.")
    next_cursor: Cursor = Field(default=None, description="Always null: there is one page.")


class ReasonPage(Page):
    """Why messages reached nobody, the commonest first."""

    items: list[Reason]


class Refusal(Shape):
    """A row that was not taken in."""

    row: int = Field(description="In what was submitted, as a person counts.")
    reason: str
    column: Text | None = Field(description="What the reason is about; null: the row.")

    @classmethod
    def of(cls, found: RefusalRow) -> Self:
        """A refused row as it is shown."""
        return cls.like(found)


class RefusalPage(Page):
    """Rows that were not taken in, in order of row."""

    items: list[Refusal]


class Batch(Shape):
    """At most 100 messages that are handed over together."""

    number: int
    account: str
    state: BatchState
    message_count: int
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    send_at: Moment = Field(description="When it next wants to be handed over.")
    poll_at: Moment | None = Field(description="When its provider is next asked.")
    leased_until: Moment | None = Field(description="Until when a worker has it; null: none has.")
    leased_for: str | None = Field(description="sending or polling")
    trouble: Text | None

    @classmethod
    def of(cls, found: BatchRow) -> Self:
        """A batch as it is shown."""
        return cls.like(found)


class BatchPage(Page):
    """Batches of one campaign, in order of number."""

    items: list[Batch]


class AccountHold(Shape):
    """Why nothing is handed over through an account."""

    code: Text = Field(description="The provider's code, or our word.")
    reason: Text
    since: Moment

    @classmethod
    def of(cls, found: FoundHold) -> Self:
        """A hold as it is shown."""
        return cls.like(found)


class Account(Shape):
    """Our credentials at one provider."""

    name: str
    requests_per_second: float | None = Field(description="The pace that is set.")
    currency: str | None
    held: AccountHold | None


class DayPage(Page):
    """A provider's own statistics, the first day first."""

    items: list[Day]


class AsidePage(Page):
    """What is set aside, the oldest of each kind first."""

    items: list[AsideReceipt | AsideEvent | AsideTask]


class AccountPage(Page):
    """The accounts that the key may use."""

    items: list[Account]


class Suppressed(Shape):
    """A number that is never sent to."""

    phone: str = Field(description="E.164 with +.")
    reason: Text
    since: Moment


class SuppressionPage(Page):
    """Numbers that are never sent to, in order of number."""

    items: list[Suppressed]


class Erased(Shape):
    """What became of the messages to numbers that were to be erased."""

    erased_count: int = Field(description="Messages that were erased now.")
    open_count: int = Field(description="Messages that are not settled yet: ask again when they are.")


class TakenInDay(Shape):
    """What was taken in on a day, in UTC, of one currency, and what became of it."""

    day: CalendarDay
    campaign_count: int
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    cost: Cost = Field(description="What is known to have been charged.")

    @classmethod
    def of(cls, found: FoundDay) -> Self:
        """A day as it is shown."""
        return cls.like(found, cost=Cost(amount=found.cost, currency=found.currency))


class TakenInDays(Shape):
    """The days on which anything was taken in, the oldest first; one for each currency."""

    items: list[TakenInDay]
    next_cursor: Cursor = Field(default=None, description="Always null: there is one page.")


class Content(Shape):
    """What a campaign says, and as whom."""

    text: Text = Field(description="As it was submitted, with its placeholders.")
    sender_id: Text
    on_doubt: str = Field(description="hold or resend: what becomes of messages in doubt.")

    @classmethod
    def of(cls, found: FoundContent) -> Self:
        """A content as it is shown."""
        return cls.like(found)


class Count(Shape):
    """How many were changed."""

    count: int


class Key(Shape):
    """A key of the API, without its secret."""

    id: str
    owner: str
    scopes: list[str]
    accounts: list[str] | None = Field(description="Those it is limited to; null: all.")
    all: bool = Field(description="Whether it sees every owner's campaigns.")
    recipients_per_day: int | None = Field(description="What its owner may submit with it; null: any number.")
    segments_per_month: int | None = Field(description="The same, of what is paid for.")
    approval_above: int | None = Field(description="Campaigns of more segments wait for approval.")
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None

    @classmethod
    def of(cls, row: KeyRow, **more: Any) -> Self:
        """A key as it is shown."""
        return cls.like(
            row,
            scopes=[*row.scopes],
            accounts=None if row.accounts is None else [*row.accounts],
            all=row.is_for_all_owners,
            recipients_per_day=row.allowance.recipients_per_day,
            segments_per_month=row.allowance.segments_per_month,
            approval_above=row.allowance.approval_above,
            **more,
        )


class NewKey(Key):
    """A key that was just made: its secret is shown this once."""

    key: str


class KeyPage(Page):
    """Keys without their secrets, newest first."""

    items: list[Key]


class AuditEntry(Shape):
    """A change, or an attempt at one that was then refused."""

    id: int
    at: Moment
    actor_kind: str = Field(description="key or operator")
    actor: str = Field(description="A key's id, or an operator's name.")
    owner: str = Field(description="Whose the key is.")
    action: str = Field(description="Such as campaign.pause.")
    subject: str = Field(description="What it was done to, such as campaign/<id>.")
    origin: str = Field(description="From where: an address, or an operator's machine.")
    detail: dict[str, Any]

    @classmethod
    def of(cls, row: AuditRow) -> Self:
        """A row as it is shown."""
        return cls.like(row)


class AuditPage(Page):
    """The audit, newest first."""

    items: list[AuditEntry]
