"""A real PgBouncer before the test's PostgreSQL, in a mode of the test's choosing."""

import asyncio
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.waiting import until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

needs_pgbouncer = pytest.mark.skipif(
    PGBOUNCER is None, reason="pgbouncer is not installed here; CI installs it (apt-get install pgbouncer)"
)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _owner(socket_folder: str) -> str | None:
    """Whom it is to run as: it refuses root, and none but its owner may enter the folder."""
    return pwd.getpwuid(Path(socket_folder).stat().st_uid).pw_name if os.geteuid() == 0 else None


@asynccontextmanager
async def pgbouncer(database_url: str, mode: str, **settings: str | int) -> AsyncIterator[str]:
    """The address of a PgBouncer that leads to the database of `database_url`."""
    assert PGBOUNCER is not None
    target = urlsplit(database_url)
    where = parse_qs(target.query)
    port = _free_port()
    name = target.path.strip("/")
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103  it runs as another user
        file = Path(folder) / "pgbouncer.ini"
        lines = [f"{key} = {value}" for key, value in settings.items()]
        file.write_text(
            f"[databases]\n{name} = host={where['host'][0]} port={where['port'][0]} dbname={name}"
            f" user={target.username or 'postgres'}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\n" + "\n".join(lines) + "\n"
        )
        with (Path(folder) / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                PGBOUNCER, str(file), stdout=log, stderr=log, user=_owner(where["host"][0])
            )
        url = f"postgresql://somebody@127.0.0.1:{port}/{name}"

        async def answers() -> bool:
            assert process.returncode is None, (Path(folder) / "log").read_text()
            with suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(url, statement_cache_size=0)).close()
                return True
            return False

        try:
            await until(answers, "PgBouncer answers", every=0.05)
            yield url
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
