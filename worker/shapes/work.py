"""What is set aside, and what the doctor and /health say."""

from typing import Literal, Self

from pydantic import Field

from campaigns.domain.states import MessageState
from campaigns.store.outbox.aside import AsideEvent as KeptEvent
from campaigns.store.receipts.aside import AsideReceipt as KeptReceipt
from worker.shapes.base import Id, Moment, Shape, Text


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


class AsideEvent(Aside):
    """An event for webhooks that could not be written into the outbox."""

    type: str
    owner: str
    campaign_id: Id | None
    account: str | None
    happened_at: Moment

    @classmethod
    def of(cls, kept: KeptEvent) -> Self:
        """An event as it is shown."""
        return cls.like(kept, id=f"event:{kept.id}")


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


class Alive(Shape):
    """That the process answers; nobody else was asked."""

    service: Literal["campaigns"]
    status: Literal["ok"]


class Readiness(Shape):
    """Whether all is well that the work needs, and what of it is not."""

    service: Literal["campaigns"]
    ready: bool
    checks: dict[str, str] = Field(description="database, redis, tick: ok, or what is wrong.")


class Health(Shape):
    """Whether callbacks can be taken; an age is there where it is known."""

    service: Literal["campaigns"]
    status: str = Field(description="ok, or why not.")
    oldest_receipt_seconds: int | None = Field(default=None, description="Of what is due to be merged.")
    last_tick_seconds: int | None = None
