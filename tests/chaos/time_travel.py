"""A second PostgreSQL beside the storm's: a standby that lags, or a base backup that is restored later."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tests.chaos.proxy import Link, link_to
from tests.chaos.storm import Storm
from tests.waiting import until
from worker.stack.embedded import postgres
from worker.stack.embedded.servers import servers
from worker.stack.embedded.users import give, unix_user_for


def socket_of(database_url: str) -> str:
    """The file that a PostgreSQL listens on."""
    (folder,) = parse_qs(urlsplit(database_url).query)["host"]
    return f"{folder}/.s.PGSQL.{postgres.PORT}"


@dataclass
class Copy:
    """A copy of the storm's cluster, as it was when it was made."""

    folder: Path
    url: str = ""

    async def sql(self, statement: str) -> object:
        """One value, asked of the copy itself."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def stop_receiving(self) -> None:
        """Lag from now on: nothing the primary does gets here any more."""
        await self.sql("ALTER SYSTEM SET primary_conninfo = ''")
        await self.sql("SELECT pg_reload_conf()")

        async def is_alone() -> bool:
            return await self.sql("SELECT count(*) FROM pg_stat_wal_receiver") == 0

        await until(is_alone, "the standby receives nothing", every=0.05)


def back_up(raging: Storm, folder: Path, *, as_standby: bool = False) -> Copy:
    """A base backup of the storm's PostgreSQL, while it works. It does not run yet."""
    (host,) = parse_qs(urlsplit(raging.urls.database_url).query)["host"]
    data = folder / "postgres"
    folder.mkdir(mode=0o711)
    subprocess.run(
        [
            postgres._binary("pg_basebackup"),
            *("-D", str(data), "-h", host, "-p", str(postgres.PORT), "-U", postgres.USER),
            *("-X", "stream", "-c", "fast", *(["-R"] if as_standby else [])),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={"PATH": os.defpath, "LC_ALL": "C"},
    )
    owner = unix_user_for(raging.directory / "servers")
    for path in (data, *data.rglob("*")):
        give(path, owner)
    return Copy(folder)


@contextmanager
def running(copy: Copy) -> Iterator[Copy]:
    """The copy, running for the length of a block; gone after it."""
    try:
        with servers(copy.folder, want_redis=False) as urls:
            copy.url = urls.database_url
            yield copy
    finally:
        shutil.rmtree(copy.folder, ignore_errors=True)


def takes_over(raging: Storm, copy: Copy, way: Link) -> None:
    """From now on the copy is the storm's PostgreSQL, under the same address."""
    raging.urls = replace(raging.urls, database_url=copy.url)
    way.lead_to(socket_of(copy.url))


@contextmanager
def one_address(raging: Storm) -> Iterator[Link]:
    """An address that leads to the storm's PostgreSQL, and that everybody works with: as one DNS name or
    HAProxy does.
    """
    with link_to(socket_of(raging.urls.database_url)) as way:
        raging.settings["DATABASE_URL"] = (
            f"postgresql://{postgres.USER}@127.0.0.1:{way.port}/{postgres.DATABASE}"
        )
        yield way
