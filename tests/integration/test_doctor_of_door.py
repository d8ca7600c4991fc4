"""What the doctor says of webhooks and of the API's keys."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from campaigns import keys, outbox
from campaigns.domain.access import Actor
from campaigns.domain.webhooks import EventType
from campaigns.store.session import Database
from tests.integration.rows import query
from worker.cli.doctor import door
from worker.cli.doctor.findings import Status

OPERATOR = Actor("operator", "ona", "here")


async def webhook(database: Database, path: str = "a-secret-path") -> UUID:
    return await outbox.create(
        database,
        url=f"https://hooks.shop.test/{path}",
        secret="whsec_x",
        owner="shop",
        event_types=[*EventType],
        with_numbers=False,
    )


async def waits(database: Database, webhook_id: UUID, since: timedelta) -> None:
    await outbox.send_test(database, webhook_id)
    await query(
        database,
        "UPDATE webhook_delivery SET created_at = now() - $2::interval WHERE webhook_id = $1",
        webhook_id,
        since,
    )


async def test_a_webhook_that_hears_nothing_is_named_with_why_and_since_when(database: Database) -> None:
    (nothing,) = await door.webhooks(database)
    assert (nothing.status, nothing.sentence) == (Status.OK, "there are none")
    gone, off, failing, stuck = [await webhook(database) for _ in range(4)]
    await webhook(database)  # with it all is well
    await query(database, "UPDATE webhook SET last_success_at = now() - interval '2 hours'")
    await query(
        database,
        "UPDATE webhook SET disabled_at = '2026-11-28 12:00+00', disabled_reason = 'gone' WHERE id = $1",
        gone,
    )
    await outbox.disable(database, off, "disabled by ona")
    await query(
        database,
        "UPDATE webhook SET failing_since = '2026-11-28 12:00+00', retry_at = '2026-11-29 12:30+00',"
        " failure_count = 3 WHERE id = $1",
        failing,
    )
    await waits(database, failing, timedelta(days=3))
    await waits(database, stuck, timedelta(hours=1))

    found = {each.name: each for each in await door.webhooks(database)}

    assert set(found) == {f"webhook {each}" for each in (gone, off, failing, stuck)}
    assert [found[f"webhook {each}"].status for each in (gone, off, failing, stuck)] == [
        Status.FAIL,
        Status.NOTE,
        Status.NOTE,
        Status.FAIL,
    ]
    assert found[f"webhook {gone}"].sentence == (
        "at hooks.shop.test: disabled since 2026-11-28 12:00 UTC (gone), "
        f"last success 2 h ago, nothing waits; once it is mended: campaigns webhook enable {gone}, and for "
        f"what it missed: campaigns webhook recover {gone} --since TIME"
    )
    said = found[f"webhook {failing}"].sentence
    assert "took nothing since 2026-11-28 12:00 UTC, tried again at 12:30 UTC, last success 2 h ago" in said
    assert "1 waiting, the oldest for 3 days" in said
    said = found[f"webhook {stuck}"].sentence
    assert "1 waiting, the oldest for 60 min" in said
    assert "does a worker serve the queue campaigns.webhooks" in said
    assert "a-secret-path" not in "".join(each.sentence for each in found.values())


async def test_where_all_is_well_it_says_when_the_last_one_was_delivered(database: Database) -> None:
    await waits(database, await webhook(database), timedelta(minutes=1))
    (found,) = await door.webhooks(database)
    assert (found.status, found.sentence) == (
        Status.OK,
        "1 webhook(s), nothing was delivered yet, 1 waiting",
    )
    await query(database, "UPDATE webhook SET last_success_at = now() - interval '90 seconds'")
    (found,) = await door.webhooks(database)
    assert found.sentence == "1 webhook(s), the last delivery 90 s ago, 1 waiting"


async def test_keys_that_end_soon_and_those_nobody_uses_are_named(database: Database) -> None:
    now = datetime.now(UTC)
    ends = {"soon": timedelta(days=6), "later": timedelta(days=8)}
    made = {
        name: await keys.create(database, OPERATOR, owner="shop", scopes=["read"], expires_at=now + end)
        for name, end in ends.items()
    }
    (found,) = await door.api_keys(database)
    assert (found.status, found.name) == (Status.NOTE, f"key {made['soon'].row.id}")
    assert "last used never: make another" in found.sentence
    await query(database, "UPDATE api_key SET created_at = now() - interval '31 days'")
    await keys.revoke(database, OPERATOR, made["soon"].row.id)
    (found,) = await door.api_keys(database)
    assert found.sentence.startswith("of shop: made 31 days ago and never used: campaigns key revoke")
    await keys.recognise(database, made["later"].key)
    (found,) = await door.api_keys(database)
    assert (found.status, found.sentence) == (Status.OK, "1 valid key(s) of the API")
