"""What others rely on: webhooks that are told what happens, and keys of the API."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from campaigns import keys, outbox
from campaigns.domain.webhooks import BY_A_PERSON
from campaigns.store.outbox.webhooks import Webhook
from campaigns.store.session import Database
from campaigns.watching import seconds_text
from worker.cli.doctor.findings import Finding, fail, note, ok

_LATE = timedelta(minutes=5)  # how long a delivery may wait for a worker
_SOON = timedelta(days=7)  # before a key ends
_UNUSED = timedelta(days=30)  # how old a key is before it is remarkable that nobody used it


async def webhooks(database: Database) -> list[Finding]:
    """Webhooks that hear nothing, and why; deliveries that nobody makes."""
    found = await outbox.webhooks(database)
    if not found:
        return [ok("webhooks", "there are none")]
    now = datetime.now(UTC)
    findings = [finding for each in found if (finding := _webhook(each, now)) is not None]
    if findings:
        return findings
    last = max((each.last_success_at for each in found if each.last_success_at), default=None)
    waiting_count = sum(each.waiting_count for each in found)
    said = f"the last delivery {_ago(last, now)}" if last else "nothing was delivered yet"
    return [ok("webhooks", f"{len(found)} webhook(s), {said}, {waiting_count} waiting")]


def _webhook(each: Webhook, now: datetime) -> Finding | None:
    # Its host alone: an address may hold a secret of its receiver.
    name = f"webhook {each.id}"
    where = f"at {urlsplit(each.url).hostname}"
    last = f"last success {_ago(each.last_success_at, now)}" if each.last_success_at else "never a success"
    waits = "nothing waits"
    if each.waiting_since is not None:
        oldest = seconds_text((now - each.waiting_since).total_seconds())
        waits = f"{each.waiting_count} waiting, the oldest for {oldest}"
    if each.disabled_at is not None:
        reason = each.disabled_reason or ""
        said = (
            f"{where}: disabled since {each.disabled_at:%Y-%m-%d %H:%M} UTC ({reason}), {last}, "
            f"{waits}; once it is mended: campaigns webhook enable {each.id}, and for what it missed: "
            f"campaigns webhook recover {each.id} --since TIME"
        )
        return note(name, said) if reason.startswith(BY_A_PERSON) else fail(name, said)
    if each.failing_since is not None:
        again = f", tried again at {each.retry_at:%H:%M} UTC" if each.retry_at else ""
        return note(
            name,
            f"{where}: took nothing since {each.failing_since:%Y-%m-%d %H:%M} UTC{again}, {last}, {waits}: "
            f"campaigns webhook show {each.id}",
        )
    if each.waiting_since is not None and now - each.waiting_since > _LATE:
        return fail(name, f"{where}: {waits}, and {last}: does a worker serve the queue campaigns.webhooks?")
    return None


async def api_keys(database: Database) -> list[Finding]:
    """Keys that end within a week, and those that nobody uses."""
    now = datetime.now(UTC)
    valid = [row for row in await keys.listed(database) if row.is_valid(now)]
    ending = [
        note(
            f"key {row.id}",
            f"of {row.owner}: ends at {row.expires_at:%Y-%m-%d %H:%M} UTC, last used "
            f"{_ago(row.last_used_at, now)}: make another with campaigns key create, and have it used",
        )
        for row in valid
        if row.expires_at is not None and row.expires_at - now < _SOON
    ]
    unused = [
        note(
            f"key {row.id}",
            f"of {row.owner}: made {_ago(row.created_at, now)} and never used: campaigns key revoke {row.id}",
        )
        for row in valid
        if row.last_used_at is None and now - row.created_at > _UNUSED
    ]
    return [*ending, *unused] or [ok("keys", f"{len(valid)} valid key(s) of the API")]


def _ago(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else f"{seconds_text((now - moment).total_seconds())} ago"
