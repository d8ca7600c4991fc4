"""What could not be done and was set aside so that it stops nothing beside it: listed, retried, dropped."""

from collections.abc import Sequence

from campaigns.store.outbox import aside as event_rows
from campaigns.store.outbox.aside import AsideEvent
from campaigns.store.receipts import aside as rows
from campaigns.store.receipts.aside import AsideReceipt
from campaigns.store.session import Database


async def receipts(database: Database, *, limit: int = 100) -> list[AsideReceipt]:
    """Receipts that could not be merged, oldest first."""
    return await rows.listed(database, limit=limit)


async def retry_receipts(database: Database, ids: Sequence[int]) -> list[int]:
    """Have these merged again, at once. Gives those that were set aside; one that still cannot be merged is
    set aside again.
    """
    return await rows.retry(database, ids)


async def drop_receipts(database: Database, ids: Sequence[int]) -> list[int]:
    """Forget these for good. Gives those that were set aside."""
    return await rows.drop(database, ids)


async def events(database: Database, *, limit: int = 100) -> list[AsideEvent]:
    """Events for webhooks that could not be written into the outbox, oldest first."""
    return await event_rows.listed(database, limit=limit)


async def retry_events(database: Database, ids: Sequence[int]) -> list[int]:
    """Have webhooks told of these, late. Gives those that were set aside; one that still cannot be written is
    set aside again.
    """
    return await event_rows.retry(database, ids)


async def drop_events(database: Database, ids: Sequence[int]) -> list[int]:
    """Forget these for good: no webhook is told. Gives those that were set aside."""
    return await event_rows.drop(database, ids)
