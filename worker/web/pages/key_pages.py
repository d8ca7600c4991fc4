"""Keys: who may use the API and these pages."""

from datetime import date, timedelta
from typing import Any

from campaigns.domain.access import Scope
from worker import shapes
from worker.web.pages.frame import N_, Done, Page, View, Visit

MEANINGS = {
    Scope.SUBMIT: N_("submit and check campaigns"),
    Scope.READ: N_("read campaigns, totals and accounts: no numbers, no texts"),
    Scope.READ_RECIPIENTS: N_("read numbers and texts"),
    Scope.OPERATE: N_("pause, resume, cancel, decide doubt, lift holds"),
    Scope.SUPPRESS: N_("read and change who is never sent to"),
    Scope.ADMIN: N_("make keys, manage webhooks, read the audit"),
}
"""What each scope allows, as people call it."""

_SHORT = {"limit": "25"}  # a page with questions for each stays small
_BOUNDS = ("recipients_per_day", "segments_per_month", "approval_above")


async def show(visit: Visit) -> View:
    """The keys, newest first."""
    query = visit.query("cursor")
    found = await visit.ask("listKeys", shapes.KeyPage, query={**query, **_SHORT})
    return View("keys.html", {"keys": found, "query": query, "made": None, "meanings": MEANINGS})


async def create(visit: Visit) -> View:
    """Make one, and show it this once."""
    body: dict[str, Any] = visit.filled("owner", "all", *_BOUNDS)
    if last_day := visit.form.get("last_day"):
        body["expires_at"] = _end_of(last_day)
    body["scopes"] = [scope.value for scope in Scope if f"scope:{scope}" in visit.form]
    if accounts := [name.strip() for name in visit.form.get("accounts", "").split(",") if name.strip()]:
        body["accounts"] = accounts
    made = await visit.ask("createKey", shapes.NewKey, body=body)
    found = await visit.ask("listKeys", shapes.KeyPage, query=_SHORT)
    return View("keys.html", {"keys": found, "query": {}, "made": made, "meanings": MEANINGS})


def _end_of(day: str) -> str:
    """The moment at which a day ends, as operations take it; what is no day is left for them to refuse."""
    try:
        return f"{date.fromisoformat(day) + timedelta(days=1)}T00:00:00Z"
    except (ValueError, OverflowError):
        return day


async def revoke(visit: Visit) -> Done:
    """End one: its next request is refused."""
    await visit.ask("revokeKey", shapes.Key, path={"id": visit.path("key")})
    return Done("/keys", "revoked")


PAGES = (
    Page("/keys", show, Scope.ADMIN, menu=N_("Keys")),
    Page("/keys", create, Scope.ADMIN, method="POST"),
    Page("/keys/{key:[a-z0-9]{8}}/revoke", revoke, Scope.ADMIN, method="POST"),
)
