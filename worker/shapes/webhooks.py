"""Webhooks, as commands show them, and what they are told."""

from typing import Literal

from pydantic import Field

from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.webhooks import EventType
from worker.shapes.api import Page
from worker.shapes.base import Id, Moment, Shape, Text


class Webhook(Shape):
    """A webhook as it is; its secret is shown once, when it is made."""

    id: Id
    url: Text
    owner: str | None = Field(description="Whose campaigns it hears of; None: everybody's.")
    event_types: list[str] | None = Field(description="What it hears of; None: all.")
    with_numbers: bool = Field(description="Whether it is told numbers, beside references.")
    created_at: Moment
    disabled_at: Moment | None = Field(description="Since when nothing is delivered.")
    disabled_reason: Text | None
    failing_since: Moment | None = Field(description="Since when it has taken nothing.")
    retry_at: Moment | None = Field(description="When it is tried again.")
    last_success_at: Moment | None
    previous_secret_until: Moment | None = Field(description="Until when the secret of before signs too.")
    waiting_count: int = Field(description="Events that wait to be delivered.")
    waiting_since: Moment | None = Field(description="Since when the oldest of them waits.")


class WebhookDelivery(Shape):
    """One event at one webhook, and what the last answer was."""

    event_id: Id
    type: str
    at: Moment = Field(description="When it happened.")
    campaign_id: Id | None
    state: Literal["waiting", "succeeded", "given_up"]
    attempt: int = Field(description="How often it was tried.")
    is_replay: bool
    due_at: Moment = Field(description="When it is tried next, where it waits.")
    tried_at: Moment | None
    status: int | None = Field(description="Of the last answer.")
    took_milliseconds: int | None
    trouble: Text | None = Field(description="Why it was not taken.")
    answer: Text | None = Field(description="The first 1,000 bytes of the last answer.")


class WebhookPage(Page):
    """Webhooks, oldest first."""

    items: list[Webhook]


class NewWebhook(Webhook):
    """A webhook that was just made: its secret is shown this once."""

    secret: str = Field(description="whsec_ and base64, as Standard Webhooks wants it.")


class WebhookDeliveryPage(Page):
    """Deliveries of one webhook, newest first."""

    items: list[WebhookDelivery]


class WebhookDetail(Webhook):
    """A webhook and its newest deliveries."""

    deliveries: list[WebhookDelivery]


class WebhookSecret(Shape):
    """A secret, shown once."""

    id: Id
    secret: str = Field(description="whsec_ and base64, as Standard Webhooks wants it.")
    previous_secret_until: Moment | None = Field(
        default=None, description="Until when the secret of before signs as well."
    )


class WebhookDone(Shape):
    """What was done with a webhook."""

    id: Id
    event_id: Id | None = Field(default=None, description="What is on its way, where it is one event.")
    event_count: int | None = Field(default=None, description="How many events are on their way.")


class EventHold(Shape):
    """Why a campaign or an account is on hold."""

    about: str | None = Field(default=None, description="Of a campaign: sender or text.")
    code: Text
    reason: Text


class CampaignEvent(Shape):
    """What an event of a campaign says: how it was at that moment. What is true now is at `link`."""

    campaign_id: Id
    name: Text
    account: str
    state: CampaignState
    recipient_count: int
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    hold: EventHold | None = Field(default=None, description="Of campaign.held.")
    link: str = Field(description="The campaign's path in the API.")


class SettledMessage(Shape):
    """A message that was settled."""

    reference: str
    state: MessageState
    phone: str | None = Field(default=None, description="Only where the webhook was made with numbers.")


class SettledEvent(Shape):
    """What message.settled says: at most 100 messages. The same may come again, also with a higher state."""

    campaign_id: Id
    messages: list[SettledMessage]
    link: str


class AccountEvent(Shape):
    """What account.held and account.resumed say."""

    account: str
    hold: EventHold | None = Field(default=None, description="Of account.held.")


class NothingEvent(Shape):
    """What webhook.test says."""

    webhook_id: Id


class Event(Shape):
    """The body of a request to a webhook."""

    type: EventType
    timestamp: Moment = Field(description="When it happened.")


class ToldOfCampaign(Event):
    """Something happened to a campaign."""

    data: CampaignEvent


class ToldOfMessages(Event):
    """Messages of one batch were settled."""

    data: SettledEvent


class ToldOfAccount(Event):
    """Nothing is handed over on an account, or it goes on."""

    data: AccountEvent


class ToldOfNothing(Event):
    """Somebody wanted to see whether events arrive."""

    data: NothingEvent


_TOLD = {
    "campaign": ToldOfCampaign,
    "message": ToldOfMessages,
    "account": ToldOfAccount,
    "webhook": ToldOfNothing,
}


def event_shape(event_type: EventType) -> type[Event]:
    """What is sent for an event of this type."""
    return _TOLD[event_type.partition(".")[0]]
