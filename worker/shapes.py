"""Everything that other programs read of us: every `--json`, a line of the export, `/health`.

One model each, with what its fields mean, so that an API and its documentation need no second source. A field
keeps its name and its form: moments are ISO 8601 with an offset, money is decimal text with a currency beside
it, ids are text. `public()` gives what `json` writes.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SkipValidation, WithJsonSchema

from campaigns import reading
from campaigns.domain.provider import Money, StopListEntry
from campaigns.domain.provider import Sighting as SeenMessage
from campaigns.domain.said import reason_of
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.reading.messages import MessageRow
from campaigns.store.reading.overviews import Overview
from campaigns.store.receipts.aside import AsideReceipt as KeptReceipt
from campaigns.watching import Working as FoundWorking


def amount_text(amount: Decimal) -> str:
    """Money as people write it: at least two decimals, no exponent, nothing rounded away."""
    plain = f"{amount:f}"
    whole, _, decimals = plain.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


Moment = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Id = Annotated[
    UUID, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string", "format": "uuid"})
]
Amount = Annotated[
    Decimal,
    SkipValidation,
    PlainSerializer(amount_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["12.50"]}),
]
Text = Annotated[str, SkipValidation]
"""Text of others as it came, also where it holds half a character: that is no mistake of ours to raise."""


class Shape(BaseModel):
    """A public object."""

    # Built when it is first used: a command needs few of them, and waits for none of the others.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def like(cls, source: object, **more: Any) -> Self:
        """What `source` has under the names of the fields, and what it has not."""
        found = {
            name: getattr(source, name)
            for name in cls.model_fields
            if name not in more and hasattr(source, name)
        }
        return cls(**found, **more)

    def public(self) -> dict[str, Any]:
        """Plain values for `json`, in the order of the fields. One with a default is left out unless it was
        given.
        """
        return self.model_dump(exclude_unset=True)


# --- campaigns ---------------------------------------------------------------------------------------


class Cost(Shape):
    """An amount in one currency."""

    amount: Amount | None = Field(description="None where it is not known.")
    currency: str | None = Field(description="ISO 4217; None where neither settings nor provider name it.")


class Hold(Shape):
    """Why a campaign is on hold: its provider refuses its sender or its text."""

    about: str = Field(description="sender or text")
    code: Text = Field(description="The provider's code.")
    reason: Text
    since: Moment


class Reason(Shape):
    """What so many messages have in common that reached nobody."""

    code: Text | None = Field(description="The provider's code.")
    reason: Text | None
    count: int = Field(description="Messages.")


class StatusLag(Shape):
    """Questions about what became of messages are more than a minute late."""

    waiting_count: int = Field(description="Messages whose question is due and was not asked.")
    open_count: int = Field(description="Messages without a final state.")
    oldest_due_at: Moment


class Campaign(Shape):
    """A campaign and its totals at one moment."""

    id: Id
    name: str
    account: str
    state: CampaignState
    recipient_count: int = Field(description="Recipients that were taken in, which is messages.")
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    segment_count: int
    cost: Cost = Field(description="What was charged in the campaign's own currency.")
    created_at: Moment
    finished_at: Moment | None = Field(description="When every message was settled.")
    refused: dict[str, int] = Field(description="Rows that were not taken in, by reason.")
    noted: dict[str, int] = Field(description="Rows that were taken in and are worth a look, by note.")
    held: str | None = Field(description="Why its account is on hold.")
    trouble: str | None = Field(description="What its batches last ran into.")
    send_at: Moment | None = Field(description="Nothing is handed over before.")
    not_after: Moment | None = Field(description="Nothing is handed over after.")
    waits_for: Literal["send_at"] | None
    campaign_held: Hold | None
    reasons: list[Reason] = Field(description="Why messages reached nobody, the commonest first.")
    costs: list[Cost] = Field(description="What was charged, a currency each, the own one first.")
    priced_count: int = Field(description="Messages whose cost is known.")
    unpriced_count: int = Field(description="Messages that the provider took and named no cost for.")
    status_lag: StatusLag | None = Field(description="None where statuses come as they should.")

    @classmethod
    def of(cls, overview: Overview, **more: Any) -> Self:
        """A campaign as it is shown; `more`: the fields that a larger shape has besides."""
        main, lag = reading.main_cost(overview), overview.status_lag
        return cls.like(
            overview,
            cost=Cost.like(main) if main else Cost(amount=None, currency=overview.currency),
            waits_for="send_at" if overview.is_waiting else None,
            campaign_held=overview.hold and Hold.like(overview.hold),
            reasons=[Reason.like(each) for each in overview.reasons],
            costs=[Cost.like(cost) for cost in reading.costs(overview)],
            priced_count=sum(cost.message_count for cost in overview.costs),
            status_lag=lag and StatusLag.like(lag),
            **more,
        )


class Working(Shape):
    """Whether anybody works on what is due, in any campaign."""

    last_tick_at: Moment | None
    worker_seen_at: Moment | None
    worker_count: int = Field(description="Workers that were seen within a minute.")
    due_since: Moment | None = Field(description="Since when the oldest of what is due waits.")
    trouble: str | None = Field(description="Why nobody works on it, in one sentence.")

    @classmethod
    def of(cls, found: FoundWorking) -> Self:
        """What was found, as it is shown."""
        return cls.like(
            found.work,
            last_tick_at=found.work.ticked_at,
            due_since=found.due_since,
            trouble=found.trouble(),
        )


class CampaignStatus(Campaign):
    """A campaign, and whether anybody works."""

    working: Working


# --- messages ----------------------------------------------------------------------------------------


class Message(Shape):
    """One message as we know it."""

    reference: str = Field(description="Ours: what the provider may know it by.")
    campaign_id: Id
    row: int = Field(description="Of the recipient in what was submitted, as a person counts.")
    phone: str = Field(description="E.164 with +.")
    account: str
    state: MessageState
    provider_message_id: Text | None
    provider_state: Text | None = Field(description="The provider's own word for its state.")
    attempt: int = Field(description="How often it was handed over.")
    segment_count: int
    cost: Cost | None
    reason: Text | None
    channel: Text | None = Field(description="What it was sent by, where the provider says.")
    provider_changed_at: Moment | None = Field(description="When its state changed, says the provider.")
    updated_at: Moment = Field(description="When we last learned something of it.")

    @classmethod
    def of(cls, row: MessageRow) -> Self:
        """A message as it is shown."""
        cost = None if row.cost is None else Cost(amount=row.cost, currency=row.currency)
        return cls.like(row, cost=cost)


class Sighting(Shape):
    """One message as the provider has it now."""

    provider_message_id: Text
    reference: Text | None = Field(description="Ours, as the provider repeats it.")
    phone: Text | None
    state: MessageState | None = Field(description="What its word means to us; None: nothing.")
    provider_state: Text
    segment_count: int | None
    cost: Amount | None
    accepted_at: Moment | None
    changed_at: Moment | None
    reason: Text | None
    currency: Text | None
    channel: Text | None
    service: Text | None = Field(description="What it was sent for, as the provider repeats it.")
    action: Text | None

    @classmethod
    def of(cls, seen: SeenMessage) -> Self:
        """What was seen, as it is shown."""
        reason = reason_of(seen.code, seen.reason)
        return cls.like(seen, reference=seen.message_ref, state=seen.evidence, reason=reason)


class Live(Shape):
    """What an account's provider says now, newest first."""

    account: str | None
    sightings: list[Sighting]


class Messages(Shape):
    """The messages that were looked for, newest first."""

    messages: list[Message]
    live: Live | None = Field(description="None where the provider was not asked, or did not answer.")


class ExportLine(Shape):
    """A message in an export, beside the recipient's own columns. Its columns have this order."""

    row: int = Field(description="Of the recipient in what was submitted, as a person counts.")
    phone: str = Field(description="E.164 with +.")
    state: MessageState
    provider_state: Text | None = Field(description="The provider's own word for its state.")
    provider_message_id: Text | None
    batch: int = Field(description="The number of its batch in the campaign.")
    attempt: int = Field(description="How often it was handed over.")
    segments: int
    cost: str | None = Field(description="Decimal text.")
    reason: Text | None
    updated_at: str = Field(description="ISO 8601, UTC, with microseconds.")
    provider_changed_at: str | None = Field(description="When its state changed, says the provider.")
    currency: str | None = Field(description="Of the cost; None where there is none.")
    channel: Text | None = Field(description="What it was sent by, where the provider says.")


# --- accounts ----------------------------------------------------------------------------------------


class Balance(Shape):
    """What is left on an account, says its provider."""

    account: str
    amount: Amount
    currency: Text | None

    @classmethod
    def of(cls, account: str, money: Money) -> Self:
        """A balance as it is shown."""
        return cls.like(money, account=account)


class Day(Shape):
    """One line of a provider's own statistics."""

    date: Text = Field(description="YYYY-MM-DD")
    provider_state: Text
    cost: Annotated[
        Decimal, SkipValidation, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
    ] = Field(description="With the decimals that the provider gives.")
    segment_count: int


class StopListing(Shape):
    """Whether a number stands on a provider's own stop list; `since` and `reason` only where it does."""

    account: str
    phone: str = Field(description="E.164 with +.")
    is_listed: bool
    since: Text | None = Field(default=None, description="In the provider's own words.")
    reason: Text | None = None

    @classmethod
    def of(cls, account: str, phone: str, entry: StopListEntry | None) -> Self:
        """What the provider said, as it is shown."""
        return cls.like(entry, account=account, phone=phone, is_listed=entry is not None)


# --- what is set aside, and what the doctor and /health say --------------------------------------------


class Aside(Shape):
    """One thing that is set aside."""

    id: str = Field(description="KIND:NUMBER")
    set_aside_at: Moment
    reason: Text


class AsideReceipt(Aside):
    """A receipt that could not be merged."""

    account: str
    received_at: Moment
    provider_message_id: Text | None
    reference: str | None = Field(description="Ours.")
    state: MessageState | None = Field(description="What its word means to us.")
    provider_state: Text

    @classmethod
    def of(cls, kept: KeptReceipt) -> Self:
        """A receipt as it is shown."""
        return cls.like(kept, id=f"receipt:{kept.id}", reference=kept.message_ref, state=kept.evidence)


class AsideTask(Aside):
    """A Celery message that no worker can take; text that could not be read is empty."""

    task: Text
    task_id: Text
    queue: Text
    bytes: int


class AsideDone(Shape):
    """What became of the ids that were given."""

    done: list[str]
    missing: list[str] = Field(description="Those that are not set aside.")


class Finding(Shape):
    """What the doctor looked at."""

    name: str
    status: Literal["ok", "note", "fail", "skip"]
    sentence: Text


class Findings(Shape):
    """All that the doctor says."""

    healthy: bool = Field(description="Whether nothing failed.")
    findings: list[Finding]


class Health(Shape):
    """Whether callbacks can be taken; an age is there where it is known."""

    service: Literal["campaigns"]
    status: str = Field(description="ok, or why not.")
    oldest_receipt_seconds: int | None = Field(default=None, description="Of what is due to be merged.")
    last_tick_seconds: int | None = None


def public(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    """Several, for `json`."""
    return [shape.public() for shape in shapes]
