"""The order in which the doctor looks, and what is skipped where something else is wrong."""

import stat
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from campaigns import aggregation, reading
from campaigns.domain.errors import CampaignError
from worker.bootstrap import Parts
from worker.cli.doctor import broker, door, outside, postgres, work
from worker.cli.doctor.findings import Finding, Status, fail, look, note, ok, skipped
from worker.runtime import run_once
from worker.settings.addresses import safe_url
from worker.settings.model import Settings
from worker.settings.reading import load_settings
from worker.stack import location

_TOTALS_OF = 5


def examine() -> Iterator[Finding]:
    """Look at settings, database, schema, Redis, what is due, accounts, the newest campaigns and the web.

    Sends nothing and leaves nothing behind; asks each account's provider something that costs nothing, and
    whatever answers at PUBLIC_URL whether it is ours. Works with everything away.
    """
    try:
        settings = load_settings()
    except CampaignError as error:
        yield from (fail("settings", line) for line in str(error).splitlines())
        yield from skipped(["database", "redis", "accounts"], "the settings say where they are")
        return
    yield ok("settings", f"{len(settings.accounts)} account(s)")
    yield from _env_file(Path(".env"))
    yield from outside.disk(settings.data_dir)
    with ExitStack() as resources:
        try:
            located = resources.enter_context(location.located_servers(settings))
        except CampaignError as error:
            yield fail("servers", str(error))
            yield from skipped(["database", "redis", "accounts"], "no servers")
            return
        yield from run_once(located, lambda parts: _examine(parts, settings))


def _env_file(path: Path) -> list[Finding]:
    """Whether others of this machine can read the file with every key in it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return []  # there is none, or the settings have said what is wrong with it
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [
        note(
            "settings",
            f"{path} can be read by others of this machine (mode {mode & 0o777:03o}): chmod 600 {path}",
        )
    ]


async def _examine(parts: Parts, settings: Settings) -> list[Finding]:
    database = parts.database
    embedded = "" if settings.database_url else f"embedded in {location.data_of(settings)}, for trying out"
    findings = await look(
        "database",
        lambda: postgres.database(
            database, safe_url(settings.database_url) if settings.database_url else embedded
        ),
    )
    is_there = any(finding.status is Status.OK for finding in findings)
    schema = await look("schema", lambda: postgres.revision(database))
    has_schema = schema[0].status is Status.OK
    findings += schema if is_there or has_schema else skipped(["schema"], "the database cannot be used")
    findings += await look(
        "redis",
        lambda: broker.redis(parts.redis, safe_url(settings.redis_url) if settings.redis_url else embedded),
    )
    if findings[-1].status is not Status.FAIL:
        findings += await look("set aside", lambda: work.tasks_set_aside(parts.redis))
        if has_schema:
            findings += await look("witness", lambda: _witness(parts))
    held: dict[str, str] = {}
    if has_schema:
        findings += await look("work", lambda: work.workers(database, settings))
        findings += await look("doubt", lambda: work.doubt(database))
        findings += await look("set aside", lambda: work.receipts_set_aside(database))
        findings += await look("set aside", lambda: work.events_set_aside(database))
        findings += await look("campaigns", lambda: work.campaign_holds(database))
        findings += await look("webhooks", lambda: door.webhooks(database))
        findings += await look("keys", lambda: door.api_keys(database))
        findings += await look("totals", lambda: _totals(parts))
        try:
            held = await work.holds(database)
        except CampaignError as error:
            findings.append(fail("holds", str(error)))
    else:
        names = ["work", "doubt", "set aside", "webhooks", "keys", "totals", "holds"]
        findings += skipped(names, "there is no schema to ask")
    for name in parts.desk.accounts:
        if name in held:
            findings.append(fail(f"account {name}", held.pop(name)))
        else:
            findings += await look(f"account {name}", partial(outside.account, parts, name))
    findings += [fail(f"account {name}", f"not in the settings, and {why}") for name, why in held.items()]
    findings += await look("web", lambda: outside.web(settings))
    findings += await look("servers", lambda: outside.links(settings))
    if not parts.desk.accounts:
        findings.append(
            fail("accounts", "none is set up: set CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER and its fields")
        )
    return findings


async def _witness(parts: Parts) -> list[Finding]:
    witness = parts.desk.witness
    if witness is None:
        return []
    return await work.witness(parts.database, witness, parts.desk.policy.give_up_seconds)


async def _totals(parts: Parts) -> list[Finding]:
    newest = await reading.newest(parts.database, limit=_TOTALS_OF)
    for overview in newest:
        if differing := await aggregation.verify(parts.database, overview.id):
            raise CampaignError(
                f"campaign {overview.id}: tally and recount differ for {', '.join(differing)}"
            )
    return [ok("totals", f"tallies and recount agree for the newest {len(newest)} campaigns")]
