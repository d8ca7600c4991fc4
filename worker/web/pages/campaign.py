"""The page of one campaign: how it goes, why not everybody got it, and what can be done."""

from typing import Any

from campaigns.domain.access import Scope
from campaigns.domain.following import CONFIRMATION
from campaigns.domain.states import FOLLOWED_UP, CampaignState, MessageState
from worker import shapes
from worker.web.api.streams import CSV
from worker.web.pages import charts, pace
from worker.web.pages.frame import UUID_PATTERN, Done, Page, View, Visit
from worker.web.pages.reasons import REASONS

_PATH = f"/campaigns/{{id:{UUID_PATTERN}}}"
_HISTORY = 20  # entries
_MAY_PAUSE = frozenset({CampaignState.ACCEPTED, CampaignState.RUNNING})
_MAY_CANCEL = _MAY_PAUSE | {CampaignState.PAUSED}


def _path(visit: Visit) -> dict[str, str]:
    return {"id": visit.path("id")}


def _here(visit: Visit) -> str:
    return f"/campaigns/{visit.path('id')}"


async def show_parts(visit: Visit) -> View:
    """What of the page changes by itself."""
    campaign = await visit.ask("getCampaign", shapes.OwnedCampaign, path=_path(visit))
    progress = await visit.recent("listProgress", shapes.Progress, path=_path(visit))
    rate = pace.per_second(campaign, progress.items)
    context = {
        "campaign": campaign,
        "rate": rate,
        "seconds_left": pace.seconds_left(campaign, rate),
        "counts": pace.counts(campaign.totals),
        "area": charts.area(progress.items, campaign.totals, progress.stops, campaign.finished_at),
        "may_pause": campaign.state in _MAY_PAUSE,
        "may_resume": campaign.state is CampaignState.PAUSED or campaign.campaign_held is not None,
        "may_cancel": campaign.state in _MAY_CANCEL,
        "follow_up_count": sum(campaign.totals[state] for state in FOLLOWED_UP),
        "unknown_count": campaign.totals[MessageState.UNKNOWN],
        "refused_count": sum(campaign.refused.values()),
    }
    return View("campaign.html", context, is_over=campaign.finished_at is not None)


async def show(visit: Visit) -> View:
    """The whole page."""
    view = await show_parts(visit)
    more: dict[str, Any] = {"content": None, "history": None, "confirmation": CONFIRMATION}
    if visit.may(Scope.READ_RECIPIENTS):
        more["content"] = await visit.ask("getContent", shapes.Content, path=_path(visit))
    if visit.may(Scope.ADMIN):
        query = {"subject": f"campaign/{visit.path('id').lower()}", "limit": str(_HISTORY)}
        more["history"] = (await visit.ask("listAudit", shapes.AuditPage, query=query)).items
    return View(view.template, {**view.context, **more}, is_over=view.is_over)


async def list_batches(visit: Visit) -> View:
    """Its batches."""
    campaign = await visit.recent("getCampaign", shapes.OwnedCampaign, path=_path(visit))
    query = visit.query("cursor")
    found = await visit.ask("listBatches", shapes.BatchPage, path=_path(visit), query=query)
    return View("campaign_batches.html", {"campaign": campaign, "batches": found, "query": query})


async def list_refused(visit: Visit) -> View:
    """The rows that were not taken in."""
    campaign = await visit.recent("getCampaign", shapes.OwnedCampaign, path=_path(visit))
    query = visit.query("cursor")
    found = await visit.ask("listRefused", shapes.RefusalPage, path=_path(visit), query=query)
    return View(
        "campaign_refused.html", {"campaign": campaign, "refused": found, "query": query, "reasons": REASONS}
    )


async def list_messages(visit: Visit) -> View:
    """Its messages, of one state or for one reason."""
    campaign = await visit.recent("getCampaign", shapes.OwnedCampaign, path=_path(visit))
    query = visit.query("state", "reason", "cursor")
    found = await visit.ask("listMessages", shapes.MessagePage, path=_path(visit), query=query)
    return View("campaign_messages.html", {"campaign": campaign, "messages": found, "query": query})


async def export(visit: Visit) -> Any:
    """Every message and what became of it, as CSV."""
    query = {"format": "csv", **visit.query("state")}
    return await visit.stream("exportMessages", path=_path(visit), query=query)


async def export_refused(visit: Visit) -> Any:
    """The rows that were not taken in, as CSV."""
    return await visit.stream("listRefused", accept=CSV, path=_path(visit))


async def pause(visit: Visit) -> Done:
    """Hand over nothing more."""
    await visit.ask("pauseCampaign", shapes.OwnedCampaign, path=_path(visit))
    return Done(_here(visit), "paused")


async def resume(visit: Visit) -> Done:
    """Go on, perhaps as another sender."""
    body = visit.filled("sender_id")
    await visit.ask("resumeCampaign", shapes.OwnedCampaign, path=_path(visit), body=body)
    return Done(_here(visit), "resumed")


async def cancel(visit: Visit) -> Done:
    """Never hand over what is queued."""
    await visit.ask("cancelCampaign", shapes.OwnedCampaign, path=_path(visit))
    return Done(_here(visit), "cancelled")


async def resolve(visit: Visit) -> Done:
    """Decide what becomes of messages in doubt."""
    body = visit.filled("decision", "confirm")
    await visit.ask("resolveDoubt", shapes.Count, path=_path(visit), body=body)
    return Done(_here(visit), "resolved")


async def rename(visit: Visit) -> Done:
    """Call it otherwise."""
    await visit.ask("renameCampaign", shapes.OwnedCampaign, path=_path(visit), body=visit.filled("name"))
    return Done(_here(visit), "renamed")


async def follow_up(visit: Visit) -> Done:
    """Send to those whom it did not reach: a campaign of its own."""
    body: dict[str, Any] = {
        "states": ["not_reached", "never_handed_over"],
        **visit.filled("in_doubt", "text"),
    }
    made = await visit.ask("followCampaignUp", shapes.OwnedCampaign, path=_path(visit), body=body)
    return Done(f"/campaigns/{made.id}", "followed-up")


PAGES = (
    Page(_PATH, show, Scope.READ, live=show_parts),
    Page(f"{_PATH}/batches", list_batches, Scope.READ),
    Page(f"{_PATH}/refused", list_refused, Scope.READ),
    Page(f"{_PATH}/refused.csv", export_refused, Scope.READ),
    Page(f"{_PATH}/messages", list_messages, Scope.READ_RECIPIENTS),
    Page(f"{_PATH}/export.csv", export, Scope.READ_RECIPIENTS),
    Page(f"{_PATH}/pause", pause, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/resume", resume, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/cancel", cancel, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/resolve", resolve, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/rename", rename, Scope.OPERATE, method="POST"),
    Page(f"{_PATH}/follow-up", follow_up, Scope.SUBMIT, method="POST"),
)
