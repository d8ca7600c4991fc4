"""Whether workers process what is due, and what waits for a decision of an operator."""

from datetime import datetime
from typing import TYPE_CHECKING

from campaigns import aside, holding, watching
from campaigns.domain.witness import Witness
from campaigns.store.session import Database
from campaigns.watching import Working, seconds_text
from worker.broker import aside_tasks
from worker.cli.doctor.findings import Finding, fail, note, ok
from worker.settings.model import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MOST_ASIDE = 1000  # of what is set aside that are counted


async def workers(database: Database, settings: Settings) -> list[Finding]:
    """Workers, ticks, and the oldest of what is due."""
    found = await watching.working(database, tick_seconds=settings.tick_seconds)
    due = _due(found)
    if trouble := found.trouble():
        return [fail("work", f"{trouble} What is due: {due}")]
    tick = found.age(found.work.ticked_at)
    seen = f"{found.work.worker_count} worker(s), last tick {_ago(tick)}"
    if idle := found.idle():
        # On a machine where nothing ever ran nothing is wrong; where something did, it has ended.
        say = fail if found.has_begun else note
        return [say("work", f"{idle} Nothing is due")]
    return [ok("work", f"{seen}; {due}")]


def _ago(age: float | None) -> str:
    return "never" if age is None else f"{seconds_text(age)} ago"


def _due(found: Working) -> str:
    work = found.work
    waits: list[tuple[str, datetime | None]] = [
        ("a batch to hand over", work.to_send_since),
        ("a batch to ask about", work.to_poll_since),
        ("a receipt", work.receipt_since),
        ("a lease that ran out", work.lease_over_since),
    ]
    said = [f"{what} for {seconds_text(found.age(since) or 0)}" for what, since in waits if since is not None]
    return f"the oldest wait: {', '.join(said)}" if said else "nothing is due"


async def doubt(database: Database) -> list[Finding]:
    """Messages in doubt over all campaigns."""
    found = await watching.doubt(database)
    if not found.count:
        return [ok("doubt", "no message is in doubt")]
    since = f", the oldest since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
    return [
        note(
            "doubt",
            f"{found.count} message(s) of {found.campaigns} campaign(s) in doubt{since}: they settle by "
            "evidence, at the deadline, or by: campaigns resolve ID",
        )
    ]


async def receipts_set_aside(database: Database) -> list[Finding]:
    """Receipts that could not be merged."""
    found = await aside.receipts(database, limit=_MOST_ASIDE)
    return _set_aside("receipt", [(each.set_aside_at, each.reason) for each in found])


async def events_set_aside(database: Database) -> list[Finding]:
    """Events for webhooks that could not be written into the outbox."""
    found = await aside.events(database, limit=_MOST_ASIDE)
    return _set_aside("event", [(each.set_aside_at, each.reason) for each in found])


async def tasks_set_aside(redis: "Redis") -> list[Finding]:
    """Tasks that could not be taken."""
    found = await aside_tasks.listed(redis, limit=_MOST_ASIDE)
    return _set_aside("task", [(each.set_aside_at, each.reason) for each in found])


def _set_aside(what: str, found: list[tuple[datetime, str]]) -> list[Finding]:
    if not found:
        return [ok("set aside", f"no {what}")]
    since, reason = min(found)
    return [
        fail(
            "set aside",
            f"{len(found)} {what}(s), the oldest since {since:%Y-%m-%d %H:%M} UTC ({reason}): "
            "campaigns aside list",
        )
    ]


async def campaign_holds(database: Database) -> list[Finding]:
    """Campaigns whose sender or text their provider refuses."""
    return [
        fail(
            f"campaign {hold.campaign_id}",
            f"on hold since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.reason}; once that is mended: "
            f"campaigns resume {hold.campaign_id}",
        )
        for hold in await holding.campaign_holds(database)
    ]


async def holds(database: Database) -> dict[str, str]:
    """Why accounts are on hold, by name."""
    return {
        hold.account: f"on hold since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.reason}"
        + (
            f"; it resumes by itself when its balance says so, or by: campaigns account {hold.account} resume"
            if hold.resumes_by_itself
            else ""
        )
        for hold in await holding.holds(database)
    }


async def witness(database: Database, second: Witness, give_up_seconds: float) -> list[Finding]:
    """What Redis remembers of hand-overs, whether it has forgotten any that matter, and whether a database
    that was restored to an older state would be noticed.
    """
    since = await second.since()
    remembers = f"Redis remembers what left since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    if forgotten := await watching.left_before(database, since, give_up_seconds=give_up_seconds):
        found = [
            fail(
                "witness",
                f"{remembers or 'Redis remembers nothing'}, and {forgotten} campaign(s) under way had begun "
                "before: it was emptied, or throws keys away. Until they are over, restore no older "
                "PostgreSQL and fail over to none: what left could leave again",
            )
        ]
    elif since:
        found = [ok("witness", remembers)]
    else:
        found = [note("witness", "Redis remembers nothing yet: it begins with the first worker")]
    if await holding.where_is(database) is None:
        found.append(
            note(
                "witness",
                "PostgreSQL does not tell our role which one it is (pg_control_system, WAL position): "
                "nothing is held by itself after a restore or a failover, see docs/operating.md",
            )
        )
    return found
