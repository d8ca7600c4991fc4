"""What is outside this machine: the accounts at their providers, and the address for callbacks."""

import json
import shutil
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from campaigns.domain.errors import CampaignError
from campaigns.domain.policy import Account
from worker import shapes
from worker.bootstrap import Parts
from worker.cli.doctor.findings import Finding, fail, note, ok
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.web.health import SERVICE

_WEB_SECONDS = 10.0  # for our own web to answer
_MOST_BYTES = 4096  # of that answer that are read

LEAST_FREE_BYTES = 2**30
"""On the disk of DATA_DIR. Below it the doctor says FAIL, and an alert of docs/ops fires."""


def disk(data_dir: Path) -> list[Finding]:
    """Whether there is room on the disk of DATA_DIR: embedded servers are on it, and answers that the
    database cannot take at once.
    """
    where = data_dir if data_dir.exists() else Path()
    try:
        free_bytes = shutil.disk_usage(where).free
    except OSError as error:
        return [note("disk", f"how much of it is free is not known ({error.strerror})")]
    said = f"{free_bytes / 2**30:.1f} GiB are free where {PREFIX}DATA_DIR is"
    if free_bytes < LEAST_FREE_BYTES:
        return [fail("disk", f"{said}: make room, or answers are lost when the database is away")]
    return [ok("disk", said)]


async def account(parts: Parts, name: str) -> list[Finding]:
    """Whether the provider accepts the account's credentials, by a question that costs nothing."""
    asked = parts.desk.accounts[name]
    money = await asked.provider.probe()
    said = "its provider lets it in; what is left on it cannot be asked"
    if money is not None:
        said = f"balance {shapes.amount_text(money.amount)} {money.currency or ''}".strip()
    unheard = await _not_called_back(asked, name)
    return [note(f"account {name}", f"{said}; {unheard}") if unheard else ok(f"account {name}", said)]


async def _not_called_back(asked: Account, name: str) -> str:
    """Why callbacks may not come, for a provider that is told our address once. No failure: polling learns
    the same, and the provider does not show an address that was set by hand.
    """
    if asked.callbacks is None:
        return ""
    try:
        known = await asked.provider.callbacks_registered(asked.callbacks.url_of_account())
    except CampaignError as error:
        return f"whether it calls us back is not known: {error}"
    if known is False:
        return f"its provider has no hook for us: campaigns account {name} callback-url --register"
    return ""


async def web(settings: Settings) -> list[Finding]:
    """Whether our own web answers at PUBLIC_URL, and can store callbacks."""
    url = settings.public_url
    if url is None:
        return [ok("web", f"not needed: {PREFIX}PUBLIC_URL is not set, so no provider is asked to call")]
    mend = "start `campaigns web` and have requests to that address passed on to it"
    timeout = aiohttp.ClientTimeout(total=_WEB_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session,
            session.get(f"{url}/health", allow_redirects=False) as response,
        ):
            status, body = response.status, await response.content.read(_MOST_BYTES)
    except TimeoutError as error:
        raise CampaignError(f"{url} does not answer within {_WEB_SECONDS:g} s: {mend}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CampaignError(f"{url} does not answer ({error}): {mend}") from error
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("service") != SERVICE:
        raise CampaignError(f"what answers at {url} is not ours (HTTP {status}): {mend}")
    if status != 200:
        raise CampaignError(f"it answers at {url}, but is not well: {said.get('status')}")
    unsigned = [name for name, account in settings.accounts.items() if account.takes_unsigned_callbacks]
    why = "are not signed: whoever learns their address is believed; set its SIGNING_KEY"
    return [
        ok("web", f"callbacks come to {url}"),
        *(note("web", f"callbacks of account {name} {why}") for name in unsigned),
    ]


async def links(settings: Settings) -> list[Finding]:
    """Addresses of servers that let somebody on the network read along."""
    found = []
    if settings.redis_url and "ssl_cert_reqs=none" in settings.redis_url:
        found.append(note("redis", "its certificate is not checked: REDIS_URL says ssl_cert_reqs=none"))
    if settings.database_url:
        parts = urlsplit(settings.database_url)
        sslmode = dict(parse_qsl(parts.query)).get("sslmode", "prefer")
        is_here = parts.hostname in {None, "localhost", "127.0.0.1", "::1"}
        if not is_here and sslmode in {"disable", "allow", "prefer"}:
            found.append(
                note("database", f"sslmode is {sslmode}: numbers may pass in clear; say verify-full")
            )
    return found
