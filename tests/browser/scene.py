"""A scene to look at: campaigns in every state that people meet. The figures are set, not sent: what makes
them is tested elsewhere.
"""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from campaigns import auditing, outbox, suppression
from campaigns.domain.access import Actor
from campaigns.domain.provider import DayStatistics
from campaigns.domain.states import MessageState
from campaigns.domain.webhooks import chosen_events
from campaigns.store.session import Database
from tests.integration.rows import put_day
from tests.river import phones, submit
from tests.stub import Stub

_OWNER = "shop"
_KEY = Actor("key", "f7k2m9ab", "192.0.2.7", _OWNER)
_CURVE = (
    ("delivered", 0.80),
    ("undelivered", 0.03),
    ("in_doubt", 0.01),
    ("accepted", 0.06),
    ("sent", 0.10),
)


async def set_up(database: Database) -> UUID:
    """Make it. Gives the campaign that runs, and that most can be said of."""
    running = await _campaign(database, "Spring sale", 1_600, share=0.68, minutes=25)
    await _campaign(database, "Appointment reminders, Vilnius", 400, share=1.0, minutes=240)
    paused = await _campaign(database, "November newsletter", 500, share=0.25, minutes=400)
    await _campaign(database, "Password reset notice", 40, share=0.0, minutes=3)
    for day, count in enumerate((420, 550, 210, 0, 640, 900, 700, 320), 1):
        if count:
            name = "Weekly offers" if day % 2 else "Reminders <script>alert(1)</script>"
            await _campaign(database, name, count, share=1.0, minutes=day * 1_440)
    async with database.transaction() as connection:
        await connection.execute("UPDATE campaign SET state = 'paused' WHERE id = $1", paused)
        await connection.execute(
            "INSERT INTO account_hold (account, code, reason, since, probe_at) VALUES"
            " ('silent', 'no_money', 'the account has no money left', now() - interval '42 minutes', now())"
        )
        await connection.execute(
            "INSERT INTO pulse (kind, name) VALUES ('tick', 'tick'), ('worker', 'one:1'), ('worker', 'two:1')"
        )
    await auditing.record(database, _KEY, "campaign.pause", f"campaign/{paused}")
    return running


_MONTH = (
    *((1, 380, 380), (2, 455, 455), (5, 610, 610), (6, 720, 720), (7, 295, 295), (8, 340, 340)),
    *((12, 512, 612), (13, 488, 538), (14, 300, 290), (15, 200, 210), (20, 300, 300)),
)
"""Day of a month, segments that we know of, those that the provider counted."""


async def _month_of_both(database: Database, stub: Stub) -> None:
    said = []
    for number, ours, theirs in _MONTH:
        day = date(2026, 10, number)
        unsure = theirs - ours if theirs - ours >= 50 else 0
        await put_day(database, "main", day, ours, unsure=unsure)
        said.append(DayStatistics(day.isoformat(), "deliver", theirs * Decimal("0.04"), theirs))
    stub.months["2026-10"] = said


async def others(database: Database, campaign: str, stub: Stub) -> dict[str, str]:
    """What stands beside campaigns: a list, a webhook, a key, a month. Gives pages by name, of a campaign's
    first message too.
    """
    await _month_of_both(database, stub)
    await suppression.suppress(database, [each["phone"] for each in phones(3)], None, "answered STOP")
    webhook = await outbox.create(
        database,
        url="https://shop.example.com/sms/events",
        secret="whsec_" + "a" * 40,
        owner=_OWNER,
        event_types=chosen_events([]),
        with_numbers=False,
    )
    await outbox.send_test(database, webhook)
    reference = campaign.rpartition("/")[2].replace("-", "") + "-1-0"
    return {
        "new": "/campaigns/new",
        "search": "/messages",
        "message": f"/messages/{reference}",
        "accounts": "/accounts",
        "account": "/accounts/silent",
        "reconciliation": "/accounts/main/reconciliation?month=2026-10",
        "suppression": "/suppression",
        "webhooks": "/webhooks",
        "webhook": f"/webhooks/{webhook}",
        "keys": "/keys",
        "audit": "/audit",
    }


async def _campaign(database: Database, name: str, count: int, *, share: float, minutes: int) -> UUID:
    taken = await submit(
        database,
        [*phones(count), {"phone": "12"}, {"phone": "+3706"}],
        name=name,
        owner=_OWNER,
        currency="EUR",
        text="Spring sale until Sunday: 20% off everything with a green label. Reply STOP to opt out.",
        sender_id="SHOP",
    )
    began_at = datetime.now(UTC) - timedelta(minutes=minutes)
    totals = _totals(count, share)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE campaign SET created_at = $2, state = CASE WHEN $3 THEN 'finished' WHEN $4 THEN 'running'"
            " ELSE 'accepted' END::campaign_state,"
            " finished_at = CASE WHEN $3 THEN $2::timestamptz + interval '1 hour' END"
            " WHERE id = $1",
            taken.id,
            began_at,
            share == 1,
            share > 0,
        )
        left = dict(totals)
        rows = await connection.fetch(
            "SELECT id, message_count FROM batch WHERE campaign_id = $1 ORDER BY number", taken.id
        )
        for row in rows:
            tally, room = dict.fromkeys(MessageState, 0), row["message_count"]
            for state, rest in left.items():
                tally[state] = min(rest, room)
                left[state] -= tally[state]
                room -= tally[state]
            sent = row["message_count"] - tally[MessageState.QUEUED]
            columns = ", ".join(f"{state}_count = {tally[state]}" for state in tally)
            figures = f"segment_count = {sent}, cost = {sent} * 0.042, priced_count = {sent}"
            change = f"UPDATE batch SET {columns}, {figures} WHERE id = $1"  # noqa: S608  names of states
            await connection.execute(change, row["id"])
        for step in range(40):
            at = began_at + timedelta(minutes=minutes * step / 40)
            then = _totals(count, share * min(1.0, (step / 40) ** 1.3))
            await connection.execute(
                "INSERT INTO campaign_progress (campaign_id, at, totals) VALUES ($1, $2, $3)"
                " ON CONFLICT DO NOTHING",
                taken.id,
                at,
                json.dumps(then),
            )
    return taken.id


def _totals(count: int, share: float) -> dict[MessageState, int]:
    handed = round(count * share)
    totals = {MessageState(name): int(handed * part) for name, part in _CURVE}
    if share == 1:
        totals = {MessageState.DELIVERED: int(count * 0.97), MessageState.UNDELIVERED: int(count * 0.02)}
        totals[MessageState.EXPIRED] = count - sum(totals.values())
        return totals
    totals[MessageState.QUEUED] = count - sum(totals.values())
    return totals
