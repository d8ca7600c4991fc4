"""States as people call them, and what pages say."""

from collections.abc import Mapping

from campaigns.domain.states import BatchState, CampaignState, MessageState
from worker.shapes import OwnedCampaign
from worker.web.pages.frame import N_

MESSAGE_STATES: Mapping[MessageState, str] = {
    MessageState.SUPPRESSED: N_("suppressed"),
    MessageState.CANCELLED: N_("cancelled"),
    MessageState.QUEUED: N_("queued"),
    MessageState.SENDING: N_("sending"),
    MessageState.IN_DOUBT: N_("in doubt"),
    MessageState.ACCEPTED: N_("accepted"),
    MessageState.SENT: N_("sent"),
    MessageState.BUFFERED: N_("buffered"),
    MessageState.UNKNOWN: N_("unknown"),
    MessageState.EXPIRED: N_("expired"),
    MessageState.UNDELIVERED: N_("undelivered"),
    MessageState.FAILED: N_("failed"),
    MessageState.REJECTED: N_("rejected"),
    MessageState.DELIVERED: N_("delivered"),
    MessageState.READ: N_("read"),
}

CAMPAIGN_STATES: Mapping[CampaignState, str] = {
    CampaignState.ACCEPTED: N_("ready"),
    CampaignState.RUNNING: N_("running"),
    CampaignState.PAUSED: N_("paused"),
    CampaignState.FINISHED: N_("finished"),
    CampaignState.CANCELLED: N_("campaign cancelled"),
    CampaignState.FAILED: N_("nobody reached"),
}

BATCH_STATES: Mapping[BatchState, str] = {
    BatchState.READY: N_("waits to be handed over"),
    BatchState.LEASED: N_("is worked on"),
    BatchState.TRACKING: N_("is followed"),
    BatchState.DONE: N_("is done"),
}

GROUPS: Mapping[str, str] = {
    "delivered": N_("Delivered"),
    "away": N_("On the way"),
    "doubt": N_("In doubt"),
    "unknown": N_("Unknown"),
    "missed": N_("Not delivered"),
    "left": N_("Left out"),
    "queued": N_("Queued"),
}
"""How groups of states are called."""

DONE: dict[str, str] = {
    "signed-out": N_("You are signed out."),
    "link-over": N_("This link was used before, or is too old. Sign in with a key instead."),
    "paused": N_("Paused. What was handed over already is followed to its end."),
    "resumed": N_("Resumed."),
    "cancelled": N_("Cancelled. What was handed over already is followed to its end."),
    "resolved": N_("Done. The numbers below show it."),
    "followed-up": N_("This is a new campaign, for those whom the other one did not reach."),
    "sent": N_("The campaign is accepted. This page follows it to its end."),
    "sent-before": N_("It was submitted before: nothing is sent twice. This is the campaign."),
    "account-probed": N_("The provider is being asked. If all is well, sending resumes in a moment."),
    "account-resumed": N_("The hold is lifted. Sending resumes."),
    "suppressed": N_("They are on the list: nothing is sent to them any more."),
    "unsuppressed": N_("Removed from the list."),
    "not-suppressed": N_("None of them was on the list."),
    "webhook-enabled": N_("Delivery is on again, starting with what waits."),
    "webhook-disabled": N_("Nothing more is delivered to it."),
    "webhook-deleted": N_("The webhook is deleted."),
    "webhook-tested": N_("A test is on its way. What the receiver answers is seen below in a moment."),
    "replayed": N_("The event is on its way once more."),
    "recovered": N_("What it missed is on its way, in order."),
    "revoked": N_("The key is revoked."),
    "renamed": N_("Renamed."),
}
"""What a page says of what was just done, by the word in its address (`?done=`)."""

FOREIGN_FORM = N_(
    "This form is too old, or does not come from a page of ours. Go back, reload it, and try again."
)

PROBLEMS: dict[int, str] = {
    400: N_("The request cannot be read."),
    403: N_("Your key may not do that."),
    404: N_("There is no such page."),
    405: N_("There is no such page."),
    409: N_("Its present state does not allow that."),
    413: N_("That is too large."),
    421: N_("This host name is not served here."),
    422: N_("That cannot be used as it is."),
    429: N_("Too many requests. Wait a little, and try again."),
    500: N_("This is an error of ours. It is in the log."),
    502: N_("The provider gave no usable answer."),
    503: N_("The database is away. Nothing is lost; try again in a moment."),
}
"""What happened, by the status of the answer."""

OTHER = N_("That did not work.")


def why(campaign: OwnedCampaign) -> str | None:
    """Why a campaign does not go on, as a sentence of the catalogue or in the words of those who hold it."""
    if campaign.finished_at is not None:
        return None
    if campaign.needs_approval:
        return N_("waits for approval")
    if campaign.campaign_held is not None:
        return campaign.campaign_held.reason
    if campaign.held is not None:
        return campaign.held
    if campaign.waits_for == "send_at":
        return N_("waits for its time")
    return campaign.trouble
