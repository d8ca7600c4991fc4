"""Webhooks: who is told what happens, whether they take it, and having them told once more."""

from datetime import UTC, datetime
from typing import Any

from campaigns.domain.access import Scope
from campaigns.domain.webhooks import CHOOSABLE
from worker import shapes
from worker.web.pages.frame import N_, UUID_PATTERN, Done, Page, View, Visit

_PATH = f"/webhooks/{{webhook:{UUID_PATTERN}}}"
STATES = {
    "waiting": N_("waits"),
    "succeeded": N_("delivered"),
    "given_up": N_("given up"),
}
"""What became of a delivery, as people call it."""

_CHIPS = {"waiting": "running", "succeeded": "finished", "given_up": "failed"}


def _path(visit: Visit) -> dict[str, str]:
    return {"id": visit.path("webhook")}


def _here(visit: Visit) -> str:
    return f"/webhooks/{visit.path('webhook')}"


async def show(visit: Visit) -> View:
    """The webhooks and how they do."""
    query = visit.query("cursor")
    found = await visit.ask("listWebhooks", shapes.WebhookPage, query=query)
    return View("webhooks.html", {"webhooks": found, "query": query, "choosable": CHOOSABLE})


async def create(visit: Visit) -> View:
    """Make one, and show its secret this once."""
    body: dict[str, Any] = visit.filled("url", "with_numbers")
    if chosen := [each.value for each in CHOOSABLE if f"event:{each}" in visit.form]:
        body["event_types"] = chosen
    made = await visit.ask("createWebhook", shapes.NewWebhook, body=body)
    return await _one(visit, str(made.id), secret=made.secret)


async def show_one(visit: Visit) -> View:
    """One webhook and its deliveries."""
    return await _one(visit, visit.path("webhook"))


async def _one(visit: Visit, webhook: str, **more: Any) -> View:
    query = visit.query("state", "cursor")
    found = await visit.ask("getWebhook", shapes.Webhook, path={"id": webhook})
    deliveries = await visit.ask(
        "listDeliveries", shapes.WebhookDeliveryPage, path={"id": webhook}, query={**query, "limit": "25"}
    )
    context: dict[str, Any] = {
        "webhook": found,
        "deliveries": deliveries,
        "query": query,
        "states": STATES,
        "chips": _CHIPS,
        "secret": None,
        "today": f"{datetime.now(UTC):%Y-%m-%d}T00:00",
    }
    return View("webhook.html", context | more)


async def change(visit: Visit) -> Done:
    """Deliver nothing, or deliver again."""
    body = visit.filled("enabled")
    await visit.ask("updateWebhook", shapes.Webhook, path=_path(visit), body=body)
    return Done(_here(visit), "webhook-enabled" if body.get("enabled") == "true" else "webhook-disabled")


async def delete(visit: Visit) -> Done:
    """Forget it."""
    await visit.ask("deleteWebhook", shapes.WebhookDone, path=_path(visit))
    return Done("/webhooks", "webhook-deleted")


async def rotate(visit: Visit) -> View:
    """Sign by a new secret, and show it this once."""
    made = await visit.ask("rotateWebhookSecret", shapes.WebhookSecret, path=_path(visit))
    return await _one(visit, visit.path("webhook"), secret=made.secret)


async def test(visit: Visit) -> Done:
    """Send an event of no meaning."""
    await visit.ask("testWebhook", shapes.WebhookDone, path=_path(visit))
    return Done(_here(visit), "webhook-tested")


async def replay(visit: Visit) -> Done:
    """Deliver one event once more."""
    path = {**_path(visit), "event_id": visit.path("event")}
    await visit.ask("replayDelivery", shapes.WebhookDone, path=path)
    return Done(_here(visit), "replayed")


async def recover(visit: Visit) -> Done:
    """Deliver what it missed since a moment; without a script that is in UTC."""
    since = visit.form.get("since", "")
    body = {"since": since if since.endswith("Z") else f"{since}Z", **visit.filled("all")}
    await visit.ask("recoverWebhook", shapes.WebhookDone, path=_path(visit), body=body)
    return Done(_here(visit), "recovered")


PAGES = (
    Page("/webhooks", show, Scope.ADMIN, menu=N_("Webhooks")),
    Page("/webhooks", create, Scope.ADMIN, method="POST"),
    Page(_PATH, show_one, Scope.ADMIN),
    Page(f"{_PATH}/change", change, Scope.ADMIN, method="POST"),
    Page(f"{_PATH}/delete", delete, Scope.ADMIN, method="POST"),
    Page(f"{_PATH}/rotate", rotate, Scope.ADMIN, method="POST"),
    Page(f"{_PATH}/test", test, Scope.ADMIN, method="POST"),
    Page(f"{_PATH}/replay/{{event:{UUID_PATTERN}}}", replay, Scope.ADMIN, method="POST"),
    Page(f"{_PATH}/recover", recover, Scope.ADMIN, method="POST"),
)
