"""What tests on a real database share: one without a schema, who is told, and what tells."""

from collections.abc import AsyncIterator

import pytest

from campaigns.store.session import Database
from tests.conftest import open_database
from tests.contract.webhooks.receiver import Receiver, receiving
from worker.settings.safety import read_networks
from worker.webhooks.delivering import Deliverer
from worker.webhooks.requests import Requests


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    """A database without a schema."""
    opened = open_database(empty_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Who is told, on loopback."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def deliverer(database: Database) -> AsyncIterator[Deliverer]:
    """What a worker delivers with; it may reach loopback."""
    requests = Requests(read_networks("127.0.0.0/8"), most=32)
    yield Deliverer(database, requests)
    await requests.close()
