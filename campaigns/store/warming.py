"""Connections made ready before the first batch: no campaign waits for compiling and planning."""

import asyncio

from campaigns.store import batch, campaign, polling
from campaigns.store.session import Database

_CONNECTIONS = 6  # what a busy process uses at once


async def warm(database: Database) -> None:
    """Run every round of a batch's life for no batch at all, on as many connections as will be used at once.

    Changes nothing. Raises DatabaseUnavailable.
    """
    for work in (*batch.ROUNDS, *polling.ROUNDS, *campaign.ROUNDS):
        await asyncio.gather(*(work(database, []) for _ in range(_CONNECTIONS)))
