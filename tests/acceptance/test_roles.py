"""`deploy/roles.sql`: each process does its work with its own role, and the web may do nothing else."""

import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from campaigns.domain.callbacks import CallbackUrls
from campaigns.store import schema, server
from tests.acceptance.processes import Stack
from tests.conftest import open_database
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
ROLES = ("campaigns_migrate", "campaigns_worker", "campaigns_api", "campaigns_web")
SECRET = "a-secret-of-our-own"


@pytest.fixture
async def boss(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser, in an empty database in which the script has run once."""
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute((ROOT / "deploy" / "roles.sql").read_text())
    yield connection
    for role in reversed(ROLES):
        await connection.execute(f"DROP OWNED BY {role} CASCADE")
        await connection.execute(f"DROP ROLE {role}")
    await connection.close()


def url_of(role: str, url: str) -> str:
    return url.replace("postgres@", f"{role}@")


def status_of(url: str, body: bytes | None = None, key: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
        status: int = answer.status
        return status


async def test_each_role_does_its_work_and_no_more(
    boss: asyncpg.Connection, empty_database_url: str, stack: Stack
) -> None:
    owner = open_database(url_of("campaigns_migrate", empty_database_url))
    assert await schema.migrate(owner) == schema.head()
    await owner.close()
    await boss.execute((ROOT / "deploy" / "roles.sql").read_text())

    clerk = open_database(url_of("campaigns_worker", empty_database_url))
    assert list((await server.look(clerk)).lacks()) == []
    await clerk.close()

    stack.simulator("--delivery-seconds", "3600", provider="seven")
    stack.settings |= {
        "DATABASE_URL": url_of("campaigns_worker", empty_database_url),
        "PUBLIC_URL": "https://sms.shop.test",
        "CALLBACK_SECRET": SECRET,
    }
    stack.run("submit", "-", "--account", "main", "--text", "Hello", stdin=b"phone\n+37060000001\n")
    (campaign,) = stack.json("list")
    stack.worker()
    wait_until(lambda: stack.json("status", campaign["id"])["totals"]["accepted"] == 1, "it is handed over")

    stack.settings["DATABASE_URL"] = url_of("campaigns_web", empty_database_url)
    stack.settings["REDIS_URL"] = "redis://127.0.0.1:1/0"  # the web needs none
    stack.start("web", "campaigns", "web", "--port", "0", "--serve", "callbacks")

    def listening(name: str) -> str | None:
        found = re.search(r"web listening on (http://\S+)", stack.log(name).read_text())
        return found[1] if found else None

    url = wait_until(lambda: listening("web"), "the web listens")
    token = CallbackUrls("main", url, SECRET).token_of_account()
    reference = f"{UUID(campaign['id']).hex}-1-0"
    body = f"msg_id=1&status=DELIVERED&foreign_id={reference}".encode()
    assert status_of(f"{url}/callbacks/main/{token}", body) == 200
    assert status_of(f"{url}/health") == 200

    stack.settings["DATABASE_URL"] = url_of("campaigns_worker", empty_database_url)
    key = stack.json("key", "create", "--owner", "shop", "--scope", "read,admin")
    as_api = url_of("campaigns_api", empty_database_url)
    stack.settings["DATABASE_URL"] = as_api
    stack.start("api", "campaigns", "web", "--port", "0", "--serve", "api")
    api_url = wait_until(lambda: listening("api"), "the API listens")
    assert status_of(f"{api_url}/v1/campaigns", key=key["key"]) == 200
    assert status_of(f"{api_url}/v1/keys", b'{"scopes": ["read"]}', key["key"]) == 201
    assert stack.stop("api") == 0
    api = await asyncpg.connect(as_api)
    for statement in (
        "UPDATE api_key SET scopes = '{admin}'",
        "DELETE FROM api_key",
        "CREATE TABLE campaigns.t (x int)",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append only"):
            await api.execute(statement)
    await api.close()

    web = await asyncpg.connect(url_of("campaigns_web", empty_database_url))
    for statement in (
        "SELECT secret_hash FROM api_key",
        "SELECT phone FROM message",
        "SELECT text FROM campaign",
        "UPDATE waiting_receipt SET account = 'x'",
        "DELETE FROM waiting_receipt",
        "CREATE TEMPORARY TABLE t (x int)",
        "CREATE TABLE campaigns.t (x int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await web.execute(statement)
    await web.close()
    assert await boss.fetchval("SELECT count(*) FROM campaigns.waiting_receipt") in {0, 1}
    assert stack.stop("web") == 0
