"""Webhooks of tests, whose receivers listen on loopback."""

from typing import Any
from uuid import UUID

from campaigns import outbox
from campaigns.domain.provider import CampaignTrouble
from campaigns.domain.webhooks import chosen_events
from campaigns.store.holding import campaigns as campaign_hold
from campaigns.store.session import Database
from worker.webhooks import signing

SECRET = signing.new_secret()


async def make(database: Database, url: str, *events: str, **more: Any) -> UUID:
    wanted: dict[str, Any] = {"owner": None, "with_numbers": False, "secret": SECRET} | more
    return await outbox.create(database, url=url, event_types=chosen_events(events), **wanted)


async def change(database: Database, statement: str, *values: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *values)


async def hold_campaign(database: Database, campaign_id: UUID) -> None:
    """As where its provider refused the text."""
    await campaign_hold.hold(
        database,
        campaign_id,
        CampaignTrouble(about="text", code="13", reason="the text is refused"),
        sender_id="Demo",
        known_for_seconds=0,
        if_nothing_taken=False,
        if_never_resumed=False,
    )
