"""Single messages: looked for by POST, so that no number is in an address; and one with its timeline."""

from campaigns.domain.access import Scope
from campaigns.domain.timeline import Source
from worker import shapes
from worker.web.pages.frame import N_, Page, View, Visit

_BY = {
    "phone": N_("Number"),
    "reference": N_("Reference"),
    "provider_message_id": N_("The provider's id"),
}

SOURCES = {
    Source.SUBMISSION: N_("Submitted"),
    Source.HAND_OVER: N_("Handed over"),
    Source.ANSWER: N_("The provider answered"),
    Source.LATE_ANSWER: N_("The provider answered late"),
    Source.CALLBACK: N_("The provider called back"),
    Source.POLL: N_("We asked the provider"),
    Source.LOOK_UP: N_("We looked it up at the provider"),
    Source.RESCUE: N_("A worker was lost while it was handed over"),
    Source.PERSON: N_("A person decided"),
    Source.RULE: N_("A deadline passed, or the campaign was cancelled"),
}
"""How something became known, as people call it."""


async def show(visit: Visit) -> View:
    """An empty search."""
    return View("messages.html", {"by": _BY, "given": {}, "found": None})


async def search(visit: Visit) -> View:
    """What was found."""
    given = visit.filled("by", "value", "region")
    by = given.get("by", "phone")
    body = {by if by in _BY else "phone": given.get("value", ""), **visit.filled("region")}
    found = await visit.ask("searchMessages", shapes.FoundMessages, body=body)
    return View("messages.html", {"by": _BY, "given": given, "found": found.items})


async def show_one(visit: Visit) -> View:
    """One message and what became of it."""
    path = {"reference": visit.path("reference")}
    message = await visit.ask("getMessage", shapes.TracedMessage, path=path)
    campaign = await visit.ask("getCampaign", shapes.OwnedCampaign, path={"id": str(message.campaign_id)})
    return View("message.html", {"message": message, "campaign": campaign, "sources": SOURCES})


PAGES = (
    Page("/messages", show, Scope.READ_RECIPIENTS, menu=N_("Messages")),
    Page("/messages", search, Scope.READ_RECIPIENTS, method="POST"),
    Page("/messages/{reference:[0-9a-f]{32}-[0-9]{1,9}-[0-9]{1,2}}", show_one, Scope.READ_RECIPIENTS),
)
