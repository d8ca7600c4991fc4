"""What commands want of webhooks: by the database, or by the API."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from campaigns import outbox
from campaigns.domain.errors import NotFound
from campaigns.domain.webhooks import EventType, check_url
from campaigns.store.outbox.webhooks import no_such_delivery, no_such_webhook
from campaigns.store.session import Database
from worker import shapes
from worker.cli.operator import login, record
from worker.settings.model import Settings
from worker.settings.safety import read_networks

if TYPE_CHECKING:
    from worker.cli.backend.client import Client

_MOST_SHOWN = 100  # deliveries of one webhook


class Webhooks(Protocol):
    """Each raises CampaignError: one sentence."""

    async def create(
        self, url: str, owner: str | None, event_types: Sequence[EventType], *, with_numbers: bool
    ) -> shapes.WebhookSecret:
        """Make a webhook. `owner` None: it hears of every owner's campaigns."""

    async def listed(self) -> Sequence[shapes.Webhook]:
        """All, the oldest first."""

    async def show(self, webhook_id: UUID) -> shapes.WebhookDetail:
        """One, with its newest deliveries."""

    async def rotate(self, webhook_id: UUID) -> shapes.WebhookSecret:
        """Sign by a new secret, and for a day by the one of before as well."""

    async def send_test(self, webhook_id: UUID) -> UUID:
        """Send an event of no meaning. Gives its id."""

    async def replay(self, webhook_id: UUID, event_id: UUID) -> None:
        """Deliver one event once more."""

    async def recover(self, webhook_id: UUID, since: datetime, *, all_of_them: bool) -> int:
        """Deliver what was missed since then. Gives how many events."""

    async def enable(self, webhook_id: UUID) -> None:
        """Deliver again."""

    async def disable(self, webhook_id: UUID) -> None:
        """Deliver nothing more until it is enabled."""

    async def delete(self, webhook_id: UUID) -> None:
        """Forget it, and what waits for it."""


class WebhooksHere:
    """Keeps `Webhooks`."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def create(
        self, url: str, owner: str | None, event_types: Sequence[EventType], *, with_numbers: bool
    ) -> shapes.WebhookSecret:
        """See `Webhooks`."""
        from worker.webhooks.guard import check_name  # noqa: PLC0415  HTTP, which no other command waits for

        allowed = read_networks(self._settings.webhook_allow or "")
        allows_plain_http = self._settings.allow_plain_http == "yes"
        check_url(
            url, allows_plain_http=allows_plain_http, allowed=allowed, own_url=self._settings.public_url
        )
        await check_name(url, allowed)
        secret = _new_secret()
        await record(self._database, "webhook.create", "webhook", owner=owner, with_numbers=with_numbers)
        made = await outbox.create(
            self._database,
            url=url,
            secret=secret,
            owner=owner,
            event_types=event_types,
            with_numbers=with_numbers,
        )
        return shapes.WebhookSecret(id=made, secret=secret)

    async def listed(self) -> Sequence[shapes.Webhook]:
        """See `Webhooks`."""
        return [shapes.Webhook.like(each) for each in await outbox.webhooks(self._database)]

    async def show(self, webhook_id: UUID) -> shapes.WebhookDetail:
        """See `Webhooks`."""
        found, deliveries = await outbox.show(self._database, webhook_id)
        told = [shapes.WebhookDelivery.like(each) for each in deliveries]
        return shapes.WebhookDetail.like(found, deliveries=told)

    async def rotate(self, webhook_id: UUID) -> shapes.WebhookSecret:
        """See `Webhooks`."""
        secret = _new_secret()
        await self._record("rotate", webhook_id)
        until = await outbox.rotate(self._database, webhook_id, secret)
        return shapes.WebhookSecret(id=webhook_id, secret=secret, previous_secret_until=until)

    async def send_test(self, webhook_id: UUID) -> UUID:
        """See `Webhooks`."""
        return await outbox.send_test(self._database, webhook_id)

    async def replay(self, webhook_id: UUID, event_id: UUID) -> None:
        """See `Webhooks`."""
        await self._record("replay", webhook_id, event_id=str(event_id))
        await outbox.replay(self._database, webhook_id, event_id)

    async def recover(self, webhook_id: UUID, since: datetime, *, all_of_them: bool) -> int:
        """See `Webhooks`."""
        await self._record("recover", webhook_id, since=since.isoformat())
        return await outbox.recover(self._database, webhook_id, since, all_of_them=all_of_them)

    async def enable(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._record("enable", webhook_id)
        await outbox.enable(self._database, webhook_id)

    async def disable(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._record("disable", webhook_id)
        await outbox.disable(self._database, webhook_id, f"disabled by {login()}")

    async def delete(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._record("delete", webhook_id)
        await outbox.delete(self._database, webhook_id)

    async def _record(self, action: str, webhook_id: UUID, **detail: str) -> None:
        await record(self._database, f"webhook.{action}", f"webhook/{webhook_id}", **detail)


class WebhooksThere:
    """Keeps `Webhooks`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def create(
        self, url: str, owner: str | None, event_types: Sequence[EventType], *, with_numbers: bool
    ) -> shapes.WebhookSecret:
        """See `Webhooks`."""
        wanted = {
            "url": url,
            "owner": owner,
            "all": owner is None,
            "event_types": [str(each) for each in event_types],
            "with_numbers": with_numbers,
        }
        said = await self._client.ask("POST", "/v1/webhooks", wanted)
        return shapes.WebhookSecret(id=UUID(said["id"]), secret=said["secret"])

    async def listed(self) -> Sequence[shapes.Webhook]:
        """See `Webhooks`."""
        found = await self._client.items("/v1/webhooks")
        return [shapes.Webhook.model_validate(each, extra="ignore") for each in found]

    async def show(self, webhook_id: UUID) -> shapes.WebhookDetail:
        """See `Webhooks`."""
        said = await self._of("GET", webhook_id)
        said["deliveries"] = await self._client.items(f"/v1/webhooks/{webhook_id}/deliveries", _MOST_SHOWN)
        return shapes.WebhookDetail.model_validate(said, extra="ignore")

    async def rotate(self, webhook_id: UUID) -> shapes.WebhookSecret:
        """See `Webhooks`."""
        said = await self._of("POST", webhook_id, "/rotate-secret")
        return shapes.WebhookSecret.model_validate(said, extra="ignore")

    async def send_test(self, webhook_id: UUID) -> UUID:
        """See `Webhooks`."""
        return UUID((await self._of("POST", webhook_id, "/test"))["event_id"])

    async def replay(self, webhook_id: UUID, event_id: UUID) -> None:
        """See `Webhooks`."""
        await self._of("GET", webhook_id)  # raises where it is the webhook that is none
        try:
            await self._client.ask("POST", f"/v1/webhooks/{webhook_id}/deliveries/{event_id}/replay")
        except NotFound:
            raise no_such_delivery(webhook_id, event_id) from None

    async def recover(self, webhook_id: UUID, since: datetime, *, all_of_them: bool) -> int:
        """See `Webhooks`."""
        wanted = {"since": since.isoformat(), "all": all_of_them}
        return int((await self._of("POST", webhook_id, "/recover", wanted))["event_count"])

    async def enable(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._of("PATCH", webhook_id, body={"enabled": True})

    async def disable(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._of("PATCH", webhook_id, body={"enabled": False})

    async def delete(self, webhook_id: UUID) -> None:
        """See `Webhooks`."""
        await self._of("DELETE", webhook_id)

    async def _of(self, method: str, webhook_id: UUID, path: str = "", body: object = None) -> Any:
        try:
            return await self._client.ask(method, f"/v1/webhooks/{webhook_id}{path}", body)
        except NotFound:
            raise no_such_webhook(webhook_id) from None


def _new_secret() -> str:
    from worker.webhooks.signing import new_secret  # noqa: PLC0415  HTTP, which no other command waits for

    return new_secret()
