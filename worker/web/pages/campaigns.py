"""The list of campaigns."""

from campaigns.domain.access import Scope
from worker import shapes
from worker.web.pages.frame import N_, Page, View, Visit

_FILTERS = ("state", "account", "owner", "q", "cursor")


async def show(visit: Visit) -> View:
    """Campaigns, newest first, those that are asked for."""
    query = visit.query(*_FILTERS)
    found = await visit.ask("listCampaigns", shapes.CampaignPage, query=query)
    accounts = await visit.ask("listAccounts", shapes.AccountPage)
    return View("campaigns.html", {"campaigns": found, "query": query, "accounts": accounts.items})


PAGES = (Page("/campaigns", show, Scope.READ, menu=N_("Campaigns")),)
