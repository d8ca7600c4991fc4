"""Campaigns sent and asked about to their end."""

from campaigns import batching, sending
from campaigns.domain.policy import Desk
from campaigns.store.session import Database


async def send_all(database: Database, desk: Desk) -> None:
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
