"""Who changed what."""

from campaigns.domain.access import Scope
from worker import shapes
from worker.web.pages.frame import N_, Page, View, Visit


async def show(visit: Visit) -> View:
    """The audit, newest first; of one thing, where that is asked."""
    query = visit.query("subject", "cursor")
    found = await visit.ask("listAudit", shapes.AuditPage, query=query)
    return View("audit.html", {"entries": found, "query": query})


PAGES = (Page("/audit", show, Scope.ADMIN, menu=N_("Audit")),)
