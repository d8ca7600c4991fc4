"""What could not be done and was set aside so that it stops nothing beside it: listed, retried, dropped."""

from collections.abc import Sequence

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
