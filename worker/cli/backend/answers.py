"""Objects of the API as what commands show of the database: the inverse of `worker.shapes`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from campaigns.domain.holds import CampaignHold
from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.timeline import Source, Step
from campaigns.store.reading.messages import MessageRow
from campaigns.store.reading.overviews import Cost, Overview
from campaigns.store.reading.status_lag import StatusLag
from campaigns.store.reasons import Reason
from campaigns.store.submission import TakenIn

Said = Mapping[str, Any]


def moment(text: str | None) -> datetime | None:
    """A moment, where there is one."""
    return None if text is None else datetime.fromisoformat(text)


def overview(said: Said) -> Overview:
    """A campaign."""
    hold, lag, id_ = said["campaign_held"], said["status_lag"], UUID(said["id"])
    return Overview(
        id=id_,
        name=said["name"],
        account=said["account"],
        state=CampaignState(said["state"]),
        recipient_count=said["recipient_count"],
        totals={state: said["totals"].get(state, 0) for state in MessageState},
        segment_count=said["segment_count"],
        costs=_costs(said),
        unpriced_count=said["unpriced_count"],
        currency=said["cost"]["currency"],
        created_at=datetime.fromisoformat(said["created_at"]),
        finished_at=moment(said["finished_at"]),
        refused=said["refused"],
        noted=said["noted"],
        held=said["held"],
        trouble=said["trouble"],
        send_at=moment(said["send_at"]),
        not_after=moment(said["not_after"]),
        is_waiting=said["waits_for"] is not None,
        hold=None
        if hold is None
        else CampaignHold(
            id_, datetime.fromisoformat(hold["since"]), hold["about"], hold["code"], hold["reason"]
        ),
        reasons=[Reason(**each) for each in said["reasons"]],
        status_lag=None
        if lag is None
        else StatusLag(**lag | {"oldest_due_at": datetime.fromisoformat(lag["oldest_due_at"])}),
        owner=said["owner"],
        needs_approval=said["needs_approval"],
        follow_up_of=None if said["follow_up_of"] is None else UUID(said["follow_up_of"]),
    )


def _costs(said: Said) -> list[Cost]:
    # How many messages each currency has is not said, and of nobody's interest: their sum is.
    counts = [said["priced_count"]] + [0] * len(said["costs"])
    return [
        Cost(Decimal(each["amount"]), each["currency"], count)
        for each, count in zip(said["costs"], counts, strict=False)
        if said["priced_count"]
    ]


def taken_in(said: Said, *, created: bool) -> TakenIn:
    """What a submission became."""
    return TakenIn(
        UUID(said["id"]),
        created,
        said["recipient_count"],
        said["refused"],
        None if created else datetime.fromisoformat(said["created_at"]),
        said["noted"],
        said["costly"],
        said["saved_segment_count"],
    )


def message(said: Said) -> MessageRow:
    """A message."""
    cost = said["cost"]
    return MessageRow(
        campaign_id=UUID(said["campaign_id"]),
        row=said["row"],
        phone=said["phone"],
        account=said["account"],
        state=MessageState(said["state"]),
        provider_message_id=said["provider_message_id"],
        provider_state=said["provider_state"],
        attempt=said["attempt"],
        cost=None if cost is None else Decimal(cost["amount"]),
        currency=None if cost is None else cost["currency"],
        segment_count=said["segment_count"],
        reason=said["reason"],
        channel=said["channel"],
        provider_changed_at=moment(said["provider_changed_at"]),
        updated_at=datetime.fromisoformat(said["updated_at"]),
        reference=said["reference"],
        steps=[_step(each) for each in said["timeline"]],
    )


def _step(said: Said) -> Step:
    return Step(
        at=datetime.fromisoformat(said["at"]),
        source=Source(said["source"]),
        state=None if said["state"] is None else MessageState(said["state"]),
        provider_state=said["provider_state"],
        attempt=said["attempt"],
        provider_message_id=said["provider_message_id"],
    )
