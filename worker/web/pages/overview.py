"""The first page: what needs somebody, what runs, and who works."""

from campaigns.domain.access import Scope
from campaigns.domain.states import SENDABLE, CampaignState, MessageState
from worker import shapes
from worker.web.pages.frame import N_, Page, View, Visit

_OPEN = (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.ACCEPTED)
_MOST = 20  # campaigns of each state


async def show(visit: Visit) -> View:
    """What is going on, as far as the key may see it."""
    campaigns: list[shapes.OwnedCampaign] = []
    for state in _OPEN:
        query = {"state": state.value, "limit": str(_MOST)}
        campaigns += (await visit.ask("listCampaigns", shapes.CampaignPage, query=query)).items
    accounts = await visit.ask("listAccounts", shapes.AccountPage)
    working = await visit.ask("getWorking", shapes.Working)
    newest = await visit.ask("listCampaigns", shapes.CampaignPage, query={"limit": "5"})
    context = {
        "campaigns": campaigns,
        "accounts": accounts.items,
        "working": working,
        "newest": newest.items,
        "queued": sum(each.totals[MessageState.QUEUED] for each in campaigns if each.state in SENDABLE),
        "in_doubt": sum(each.totals[MessageState.IN_DOUBT] for each in campaigns),
    }
    return View("overview.html", context)


PAGES = (Page("/", show, Scope.READ, menu=N_("Overview"), is_live=True),)
