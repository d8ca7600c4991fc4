"""Campaigns, and whether anybody works on them."""

from typing import Any, Literal, Self

from pydantic import Field

from campaigns import reading
from campaigns.domain.states import SETTLED, CampaignState, MessageState
from campaigns.store.progress import Point
from campaigns.store.reading.overviews import Overview
from campaigns.watching import Working as FoundWorking
from worker.shapes.base import Amount, Id, Moment, Shape, Text


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
    follow_up_of: Id | None = Field(description="The campaign to whose recipients it sends again.")

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


class ProgressPoint(Shape):
    """A campaign's totals at a moment."""

    at: Moment
    totals: dict[MessageState, int] = Field(description="Messages by state; every state is named.")
    settled_count: int = Field(description="Messages with a final state.")
    cost: Cost = Field(description="What was charged in the campaign's own currency.")

    @classmethod
    def of(cls, point: Point, currency: str | None) -> Self:
        """A point as it is shown."""
        settled_count = sum(count for state, count in point.totals.items() if state in SETTLED)
        return cls.like(point, settled_count=settled_count, cost=Cost(amount=point.cost, currency=currency))


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
