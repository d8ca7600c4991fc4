"""Real PostgreSQL and real Redis for every test that asks: embedded, in a temporary directory, on
sockets; a database of its own for each test, copied from one that was migrated once.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from campaigns.domain.backoff import Backoff
from campaigns.domain.policy import Account, Desk, Policy
from campaigns.domain.provider import Provider
from campaigns.pacing.bucket import Pace, pace_key
from campaigns.store import schema
from campaigns.store.session import Database
from tests import law_trigger
from tests.databases import Databases, with_database
from tests.folders import passable_folder, roomy_memory
from tests.stub import Stub
from worker.stack.embedded import postgres
from worker.stack.embedded.servers import ServerUrls
from worker.stack.embedded.servers import servers as embedded_servers

# An example that took long says something of a busy machine and nothing of us.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and so would every process they
    start: those are to meet a person's Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes first, else in the random order they are in: they mostly wait, and where tests run side
    by side, all others are done meanwhile. One of them as the last would be waited for alone.
    """
    items.sort(key=lambda item: item.get_closest_marker("acceptance") is None)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not change with the machine it runs on, nor ever reach a real account."""
    for name in list(os.environ):
        if name.upper().startswith("CAMPAIGNS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerUrls]:
    """A PostgreSQL and a Redis for the whole run.

    In memory where there is room, and what is committed need not outlive a power cut: hundreds of databases
    are made and dropped here, three hundred files each. All else is as always; `tests/integration/embedded`
    and the storms have servers of their own, with nothing taken off.
    """
    with ExitStack() as resources:
        folder = resources.enter_context(passable_folder("campaigns-tests-", roomy_memory(4 * 2**30)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(postgres._SETTINGS, "fsync", "off")
            urls = resources.enter_context(embedded_servers(folder))
        yield urls


@pytest.fixture(scope="session")
async def template(servers: ServerUrls) -> str:
    """The name of a migrated, empty database that others are copied from. The law of states stands on it."""
    database = open_database(servers.database_url)
    await schema.migrate(database)
    await database.close()
    await law_trigger.put_on(servers.database_url)
    return "campaigns"


def open_database(url: str, pool_size: int = 10) -> Database:
    """A Database on any URL, in which no group waits for more calls: most are alone in a test."""
    return Database(url, pool_size=pool_size, group_wait_seconds=0)


@pytest.fixture(scope="session")
def databases(servers: ServerUrls, template: str) -> Databases:
    """Those that are migrated."""
    return Databases(servers.database_url, template)


@pytest.fixture(scope="session")
def empty_databases(servers: ServerUrls) -> Databases:
    """Those with nothing in them."""
    return Databases(servers.database_url, "template1")


@pytest.fixture
async def empty_database_url(servers: ServerUrls, empty_databases: Databases) -> AsyncIterator[str]:
    """A database with nothing in it, not even a schema."""
    name = await empty_databases.take()
    yield with_database(servers.database_url, name)
    await empty_databases.give_back(name)


@pytest.fixture
async def database_url(servers: ServerUrls, databases: Databases) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    name = await databases.take()
    yield with_database(servers.database_url, name)
    await databases.give_back(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, empty database, ready to be spoken to."""
    opened = open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def redis(servers: ServerUrls) -> AsyncIterator[Redis]:
    """An empty Redis."""
    client = Redis.from_url(servers.redis_client_url)
    await client.flushdb()
    yield client
    await client.aclose()


POLICY = Policy(
    lease_seconds=60,
    give_up_seconds=3600,
    in_flight_batches=1000,
    poll=Backoff(first_seconds=0, factor=2, max_seconds=0, jitter=0),
    retry=Backoff(first_seconds=0, factor=2, max_seconds=0, jitter=0),
    poll_after_callback_seconds=0,
)
"""Numbers without waits: what is due is due now. Tests that are about waiting bring their own."""


async def no_wait() -> None:
    """A pace without limits."""


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk() -> MakeDesk:
    """Builds a desk: `make_desk(stub)`, or with accounts by name, another policy, another worker."""

    def make(
        provider: Provider | None = None,
        *,
        accounts: Mapping[str, Provider] | None = None,
        policy: Policy = POLICY,
        worker: str = "worker-1",
        in_flight: int = 1000,
    ) -> Desk:
        known = accounts or {"main": provider or Stub("main")}
        return Desk(
            {name: Account(each, no_wait, in_flight) for name, each in known.items()},
            policy,
            worker,
            lambda: 0.5,
        )

    return make


def pace(redis: Redis, account: str, per_second: float, burst: int = 1) -> Pace:
    """A real pace in the test's Redis."""
    return Pace(redis, pace_key(account), requests_per_second=per_second, burst=burst)


@pytest.fixture
def examples() -> Path:
    """The folder of examples that comes with the project."""
    return Path(__file__).parent.parent / "examples"
