"""Messages, as we know them and as their provider does; and the lines of an export."""

from typing import Any, Self

from pydantic import Field

from campaigns.domain.provider import Sighting as SeenMessage
from campaigns.domain.said import reason_of
from campaigns.domain.states import MessageState
from campaigns.domain.timeline import Source
from campaigns.store.reading.messages import MessageRow
from worker.shapes.base import Amount, Id, Moment, Shape, Text
from worker.shapes.campaigns import Cost


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
    def of(cls, row: MessageRow, **more: Any) -> Self:
        """A message as it is shown; `more`: the fields that a larger shape has besides."""
        cost = None if row.cost is None else Cost(amount=row.cost, currency=row.currency)
        return cls.like(row, cost=cost, **more)


class TimelineStep(Shape):
    """Something that became of a message."""

    at: Moment = Field(description="When we learned of it.")
    source: Source = Field(description="How we learned of it: `rule` is a deadline or a cancellation.")
    state: MessageState | None = Field(description="What it means to us; null: nothing.")
    provider_state: Text | None = Field(description="The provider's own word.")
    attempt: int | None = Field(description="Of a hand-over: the first is 1.")
    provider_message_id: Text | None = Field(description="By which the provider accepted it.")


class TracedMessage(Message):
    """One message as we know it, with its timeline."""

    timeline: list[TimelineStep] = Field(
        description="The oldest first. A word that changed nothing is not in it, nor what a release before "
        "this one wrote; of very many steps the newest are kept."
    )

    @classmethod
    def of(cls, row: MessageRow, **more: Any) -> Self:
        """A message and its timeline as they are shown."""
        return super().of(row, timeline=[TimelineStep.like(step) for step in row.steps], **more)


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

    messages: list[TracedMessage]
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
