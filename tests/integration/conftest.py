"""The database is what `store/tables/` says, however it came to be, and refuses what the laws forbid."""

from collections.abc import AsyncIterator

import pytest

from campaigns.store.session import Database
from tests.conftest import open_database


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    """A database without a schema."""
    opened = open_database(empty_database_url)
    yield opened
    await opened.close()
