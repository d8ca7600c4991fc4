"""Which PostgreSQL and Redis a command uses: those of the settings, or the embedded ones of DATA_DIR."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from campaigns.domain.errors import CampaignError
from campaigns.lazy_imports import lazy_imports
from campaigns.store import schema
from campaigns.store.session import Database
from worker.settings.addresses import database_url_for_asyncpg
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.stack.interrupts import Interrupts, run_on_loop

with lazy_imports(__name__):  # where the settings name servers, nobody needs ours
    from worker.stack.embedded import home
    from worker.stack.embedded import servers as embedded

if TYPE_CHECKING:
    from worker.stack.embedded.servers import ServerUrls

_T = TypeVar("_T")


def located(settings: Settings) -> Settings:
    """The settings with both URLs: those given, or those of the running embedded stack of DATA_DIR.

    Raises CampaignError with one sentence when there are neither.
    """
    if settings.database_url is not None and settings.redis_url is not None:
        return settings
    urls = embedded.running(settings.data_dir)
    if urls is None:
        raise CampaignError(
            f"no servers: no embedded stack runs in {settings.data_dir.absolute()}; "
            "start one with `campaigns up`, or set CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL"
        )
    return with_servers(settings, urls)


def with_servers(settings: Settings, urls: "ServerUrls") -> Settings:
    """The settings with the addresses of embedded servers filled in."""
    return settings.model_copy(update={"database_url": urls.database_url, "redis_url": urls.redis_url})


def data_of(settings: Settings) -> Path:
    """Where embedded servers keep the data of DATA_DIR, as an absolute path. Raises CampaignError."""
    return home.home_of(_data_dir(settings))


def _data_dir(settings: Settings) -> Path:
    try:
        return settings.data_dir.absolute()
    except OSError as error:
        raise CampaignError("the working directory is not there any more; go to another one") from error


def is_made(settings: Settings) -> bool:
    """Whether there is embedded data: some `up`, `demo` or `migrate` made it. Raises CampaignError."""
    return embedded.is_made(_data_dir(settings))


@contextmanager
def located_servers(settings: Settings, *, may_make: bool = False) -> Iterator[Settings]:
    """The settings with both URLs, valid for the length of the block.

    Uses the servers that the URLs name, else the embedded ones of DATA_DIR: they are started if they do not
    run, and their schema is brought to head. New data is made only with `may_make`: in the wrong folder a
    question would find nothing, and an opt-out would be stored where nobody looks. Raises CampaignError.
    """
    if settings.database_url is not None:
        yield settings
        return
    if not may_make and not is_made(settings):
        raise CampaignError(
            f"there is no data in {_data_dir(settings)}: go to the folder where `campaigns up` was started, "
            f"name its data by {PREFIX}DATA_DIR, set {PREFIX}DATABASE_URL and {PREFIX}REDIS_URL, "
            "or make new data here by `campaigns up`"
        )
    with embedded.servers(settings.data_dir) as urls:
        located = with_servers(settings, urls)
        use_database(located, schema.migrate)
        yield located


def use_database(
    settings: Settings, work: Callable[[Database], Awaitable[_T]], interrupts: Interrupts | None = None
) -> _T:
    """Run `work` with the database, on an event loop of its own. Ctrl-C cancels it.

    Takes settings with the database's URL, and the interrupts of the surrounding block, if there is one: a
    signal that it already holds cancels `work` too. Raises what `work` raises.
    """

    if settings.database_url is None:
        raise CampaignError("CAMPAIGNS_DATABASE_URL must be known here")
    url = database_url_for_asyncpg(settings.database_url)

    async def whole() -> _T:
        database = Database(url)
        try:
            return await work(database)
        finally:
            await database.close()

    return interrupts.run(whole) if interrupts else run_on_loop(whole)
