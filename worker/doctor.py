"""`campaigns doctor`: looks at everything a campaign needs, and says in one line each how it is."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial

import aiohttp
from redis.exceptions import RedisError

from campaigns import aggregation, holding
from campaigns.domain.errors import CampaignError
from campaigns.store import schema
from worker import stack
from worker.addresses import safe_url
from worker.bootstrap import Parts
from worker.runtime import run_once
from worker.settings import PREFIX, Settings, load_settings
from worker.web.health import SERVICE

_WEB_SECONDS = 10.0
_MOST_BYTES = 4096

Finding = tuple[str, bool, str]
"""What was looked at, whether it is well, and one sentence."""


def examine() -> Iterator[Finding]:
    """Look at settings, database, schema, Redis, accounts, the newest campaigns and the web, in this order.

    Sends nothing and changes nothing; asks each account's provider something that costs nothing, and
    whatever answers at PUBLIC_URL whether it is ours.
    """
    try:
        settings = load_settings()
    except CampaignError as error:
        yield "settings", False, str(error)
        return
    yield "settings", True, f"{len(settings.accounts)} account(s)"
    with ExitStack() as resources:
        try:
            located = resources.enter_context(stack.located_servers(settings))
        except CampaignError as error:
            yield "servers", False, str(error)
            return
        yield from run_once(located, lambda parts: _examine(parts, settings))


async def _examine(parts: Parts, settings: Settings) -> list[Finding]:
    findings = [
        await _try("database", lambda: _database(parts, settings)),
        await _try("schema", lambda: schema.check(parts.database)),
        await _try("redis", lambda: _redis(parts, settings)),
    ]
    for name in parts.desk.accounts:
        findings.append(await _try(f"account {name}", partial(_account, parts, name)))
    if all(ok for _, ok, _ in findings[:2]):
        findings.append(await _try("totals", lambda: _totals(parts)))
    findings.append(await _try("web", lambda: _web(settings)))
    if not parts.desk.accounts:
        findings.append(
            ("accounts", False, "none is set up: set CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER and its fields")
        )
    return findings


async def _try(name: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return name, True, await look()
    except (CampaignError, RedisError, OSError) as error:
        return name, False, str(error) or type(error).__name__


async def _database(parts: Parts, settings: Settings) -> str:
    version = await schema.server_version(parts.database)
    where = safe_url(settings.database_url) if settings.database_url else f"embedded in {settings.data_dir}"
    return f"PostgreSQL {version}, {where}"


async def _redis(parts: Parts, settings: Settings) -> str:
    version = (await parts.redis.info("server"))["redis_version"]
    where = safe_url(settings.redis_url) if settings.redis_url else f"embedded in {settings.data_dir}"
    return f"Redis {version}, {where}"


async def _account(parts: Parts, name: str) -> str:
    for hold in await holding.holds(parts.database):
        if hold.account == name:
            raise CampaignError(
                f"on hold since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.reason}; "
                f"it resumes by itself when its balance says so, or by: campaigns account {name} resume"
            )
    money = await parts.desk.accounts[name].provider.probe()
    if money is None:
        return "its provider lets it in; what is left on it cannot be asked"
    return f"balance {aggregation.amount_text(money.amount)} {money.currency or ''}".strip()


async def _web(settings: Settings) -> str:
    url = settings.public_url
    if url is None:
        return f"not needed: {PREFIX}PUBLIC_URL is not set, so no provider is asked to call"
    mend = "start `campaigns web` and have requests to that address passed on to it"
    timeout = aiohttp.ClientTimeout(total=_WEB_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session,
            session.get(f"{url}/health", allow_redirects=False) as response,
        ):
            status, body = response.status, await response.content.read(_MOST_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CampaignError(f"{url} does not answer ({type(error).__name__}): {mend}") from error
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("service") != SERVICE:
        raise CampaignError(f"what answers at {url} is not ours (HTTP {status}): {mend}")
    if status != 200:
        raise CampaignError(f"it answers at {url}, but is not well: {said.get('status')}")
    return f"callbacks come to {url}"


async def _totals(parts: Parts) -> str:
    newest = await aggregation.newest(parts.database, limit=5)
    for overview in newest:
        if differing := await aggregation.verify(parts.database, overview.id):
            raise CampaignError(
                f"campaign {overview.id}: tally and recount differ for {', '.join(differing)}"
            )
    return f"tallies and recount agree for the newest {len(newest)} campaigns"
