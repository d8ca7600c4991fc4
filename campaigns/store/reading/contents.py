"""What a campaign says, and as whom."""

from dataclasses import dataclass, field
from uuid import UUID

from campaigns.store.session import Database


@dataclass(frozen=True, slots=True)
class Content:
    """A campaign's text as it was submitted, its sender id, and what becomes of messages in doubt."""

    text: str = field(repr=False)
    sender_id: str
    on_doubt: str


async def content(database: Database, campaign_id: UUID) -> Content:
    """What a campaign says. Look first whether it is there and within reach."""
    async with database.connection() as connection:
        record = await connection.fetchrow(
            "SELECT text, sender_id, on_doubt FROM campaign WHERE id = $1", campaign_id
        )
    assert record is not None  # noqa: S101  it was looked at before
    return Content(**record)
