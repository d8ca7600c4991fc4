"""Who must not be sent to: a list of numbers that submission and sending both look at.

Submission settles a recipient on it as `suppressed`; sending looks again when the intent of a hand-over is
written. What is on its way to the provider when a number is added cannot be called back.
"""

from collections.abc import Sequence
from datetime import datetime

from campaigns.domain.errors import SubmissionError
from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, check_region, normalise
from campaigns.domain.unstorable import check_storable
from campaigns.store import suppression as rows
from campaigns.store.session import Database


async def suppress(database: Database, raw_phones: Sequence[str], region: str | None, reason: str) -> int:
    """Put numbers on the suppression list: nothing that has not left yet is sent to them. Gives how many are
    new. Raises SubmissionError when one cannot be read, and then stores none.
    """
    check_storable("reason", reason)
    return await rows.suppress(database, read_phones(raw_phones, region), reason)


async def unsuppress(database: Database, raw_phones: Sequence[str], region: str | None) -> int:
    """Take numbers off the suppression list. Gives how many were on it."""
    return await rows.unsuppress(database, read_phones(raw_phones, region))


async def is_suppressed(database: Database, phone: str) -> bool:
    """Whether the person who has this number (E.164) is on the suppression list."""
    return await rows.is_suppressed(database, phone)


async def suppressed(database: Database) -> list[tuple[str, str, datetime]]:
    """The suppression list as (phone, reason, since), oldest first."""
    return await rows.suppressed(database)


async def find(
    database: Database, raw_phones: Sequence[str], region: str | None
) -> list[tuple[str, str, datetime]]:
    """Those of the numbers that are on the list, as `page` gives them. Raises SubmissionError."""
    return await rows.find(database, read_phones(raw_phones, region))


async def page(database: Database, *, limit: int, after: str = "") -> list[tuple[str, str, datetime]]:
    """A page of the list as (phone, reason, since), in order of number, from where the one before ended."""
    return await rows.page(database, limit=limit, after=after)


def read_phones(raw_phones: Sequence[str], region: str | None) -> list[str]:
    """Numbers in E.164. Raises SubmissionError, which names the first that cannot be read by its position."""
    check_region(region)
    phones = []
    for position, raw in enumerate(raw_phones, 1):
        try:
            phones.append(normalise(raw, region))
        except InvalidPhone as error:
            raise SubmissionError(f"number {position}: {PHONE_REASONS[error.reason]}") from error
    return phones
