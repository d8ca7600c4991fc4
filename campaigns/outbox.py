"""What happened, for others: webhooks, and who is told what next.

An event is written in the transaction in which it happened, by triggers (`store/functions/tell_*.sql`): no
statement can forget it, and workers of the release before write it too. What is told is a hint; what is true
is what `reading` says.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from campaigns.domain.errors import NotAllowed
from campaigns.domain.message_ref import message_refs
from campaigns.domain.webhooks import GIVE_UP_SECONDS, Attempt, EventType, endpoint_wait_seconds, wait_seconds
from campaigns.store.outbox import deliveries as rows
from campaigns.store.outbox import webhooks as hooks
from campaigns.store.outbox.deliveries import Became, Claimed, Delivery
from campaigns.store.outbox.webhooks import Webhook
from campaigns.store.session import Database

MOST_WEBHOOKS = 50
"""Of one owner: each event is handed out to each."""

MOST_IN_FLIGHT_OF_ONE = 2
"""Requests to one webhook at once: a slow one holds no more of ours."""

LEASE_SECONDS = 30.0
"""How long a delivery belongs to the process that makes it: twice what a request may take."""

BOTH_SECRETS_SECONDS = 24 * 3600.0
"""How long after a rotation the secret of before signs as well."""

KEPT_SECONDS = 30 * 24 * 3600.0
"""How long events and their deliveries are kept."""

_FORGOTTEN_AT_ONCE = 1000  # events a tick
_MOST_SHOWN = 100  # deliveries of one webhook
_GONE = "it answered 410: it is gone for good"
_GAVE_UP = "it took nothing for three days"


async def create(
    database: Database,
    *,
    url: str,
    secret: str,
    owner: str | None,
    event_types: Sequence[EventType],
    with_numbers: bool,
) -> UUID:
    """Make a webhook whose address was checked (`domain.webhooks.check_url`). Gives its id.

    `owner` None: it hears of every owner's campaigns. Raises NotAllowed where there are as many as there may
    be.
    """
    webhook_id = uuid4()
    is_made = await hooks.add(
        database,
        webhook_id,
        url=url,
        secret=secret,
        owner=owner,
        event_types=[each.value for each in event_types],
        with_numbers=with_numbers,
        most=MOST_WEBHOOKS,
    )
    if not is_made:
        raise NotAllowed(
            f"there are {MOST_WEBHOOKS} webhooks, as many as an owner may have: delete one of them"
        )
    return webhook_id


async def webhooks(database: Database) -> list[Webhook]:
    """All, the oldest first."""
    return await hooks.webhooks(database)


async def show(database: Database, webhook_id: UUID) -> tuple[Webhook, list[Delivery]]:
    """One webhook and its newest deliveries. Raises NotFound."""
    (webhook,) = await hooks.webhooks(database, webhook_id)
    return webhook, await rows.deliveries(database, webhook_id, most=_MOST_SHOWN)


async def page(
    database: Database, *, owner: str | None, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Webhook]:
    """The oldest webhooks of an owner (None: of all), oldest first. `after`: those made after the one of this
    moment and id.
    """
    return await hooks.webhooks(database, owner=owner, after=after, most=limit)


async def find(database: Database, webhook_id: UUID, *, owner: str | None) -> Webhook:
    """One webhook of an owner (None: of any). Raises NotFound."""
    (webhook,) = await hooks.webhooks(database, webhook_id, owner=owner)
    return webhook


async def delivery_page(
    database: Database, webhook_id: UUID, *, limit: int, before: int | None = None, state: str | None = None
) -> list[Delivery]:
    """The newest deliveries of a webhook, newest first. `before`: those older than the one of this id;
    `state`: waiting, succeeded or given_up.
    """
    return await rows.deliveries(database, webhook_id, most=limit, before=before, state=state)


async def choose(database: Database, webhook_id: UUID, event_types: Sequence[EventType]) -> None:
    """Tell a webhook of these events from now on; what waits already is still told. Raises NotFound."""
    await hooks.choose(database, webhook_id, [each.value for each in event_types])


async def rotate(database: Database, webhook_id: UUID, secret: str) -> datetime:
    """Sign by another secret. Gives until when the one of before signs as well. Raises NotFound."""
    return await hooks.rotate(database, webhook_id, secret, both_seconds=BOTH_SECRETS_SECONDS)


async def enable(database: Database, webhook_id: UUID) -> None:
    """Deliver again, beginning with what waits. Idempotent. Raises NotFound."""
    await hooks.enable(database, webhook_id)


async def disable(database: Database, webhook_id: UUID, reason: str) -> None:
    """Deliver nothing more until it is enabled. Idempotent. Raises NotFound."""
    await hooks.disable(database, webhook_id, reason)


async def delete(database: Database, webhook_id: UUID) -> None:
    """Forget a webhook, and what waits for it. Raises NotFound."""
    await hooks.delete(database, webhook_id)


async def send_test(database: Database, webhook_id: UUID) -> UUID:
    """Send an event of no meaning to this webhook alone. Gives the event's id. Raises NotFound."""
    return await hooks.add_test(database, webhook_id)


async def replay(database: Database, webhook_id: UUID, event_id: UUID) -> None:
    """Deliver one event once more, with its id of before. Raises NotFound."""
    await hooks.replay(database, webhook_id, event_id)


async def recover(database: Database, webhook_id: UUID, since: datetime, *, all_of_them: bool = False) -> int:
    """Deliver what was missed since then, in order and with the ids of before; with `all_of_them` also what
    was taken. Gives how many events. Raises NotFound.
    """
    return await hooks.recover(database, webhook_id, since, all_of_them=all_of_them)


async def are_due(database: Database) -> bool:
    """Whether anything is to be delivered now."""
    return await rows.are_due(database)


async def claim(database: Database, *, most: int) -> list[Claimed]:
    """The deliveries that the caller is to make now, oldest first; no other process has them meanwhile.

    At most two of one webhook are in flight, and events of one campaign go one after the other.
    """
    return await rows.claim(
        database, most=most, most_of_one=MOST_IN_FLIGHT_OF_ONE, lease_seconds=LEASE_SECONDS
    )


async def body(database: Database, claimed: Claimed) -> str:
    """What is sent: JSON with `type`, `timestamp` and `data`, the same on every attempt.

    Numbers are looked up here, for a webhook that was made with them: the outbox holds none.
    """
    data = json.loads(claimed.data)
    if claimed.type == EventType.MESSAGE_SETTLED:
        settled = dict(data.pop("messages"))
        batch_id, campaign_id = data.pop("batch_id"), UUID(data["campaign_id"])
        phones = await rows.phones(database, batch_id, [*settled]) if claimed.with_numbers else {}
        references = message_refs(campaign_id, data.pop("number"), settled)
        data["messages"] = [
            {"reference": reference, "state": state}
            | ({"phone": phones[position]} if position in phones else {})
            for reference, (position, state) in zip(references, settled.items(), strict=True)
        ]
    if "campaign_id" in data:
        data["link"] = f"/v1/campaigns/{data['campaign_id']}"
    event = {"type": claimed.type, "timestamp": claimed.at.isoformat(), "data": data}
    # In ASCII: a receiver may log it to a terminal, and JSON lets C1 controls and marks of direction through.
    return json.dumps(event, separators=(",", ":"))


async def settle(database: Database, claimed: Claimed, attempt: Attempt, random: float) -> str | None:
    """Write down what became of a delivery, and when it is tried again. Gives why its webhook was disabled by
    it; None where it was not. `random` in [0, 1).
    """
    asked = attempt.retry_after_seconds
    succeeded, is_gone = attempt.verdict == "delivered", attempt.verdict == "gone"
    became = Became(
        succeeded,
        attempt.status,
        attempt.took_ms,
        attempt.answer,
        attempt.why,
        # What is gone may be enabled again by a person: its events wait meanwhile.
        again_in_seconds=None
        if succeeded
        else 0.0
        if is_gone
        else wait_seconds(claimed.attempt, random, asked),
        rest_in_seconds=None
        if succeeded
        else endpoint_wait_seconds(claimed.failure_count + 1, random, asked),
        disables=_GONE if is_gone else None,
    )
    return await rows.settle(database, claimed, became, give_up_seconds=GIVE_UP_SECONDS, gave_up=_GAVE_UP)


async def forget(database: Database) -> int:
    """Delete events older than 30 days with their deliveries, a bounded number; for every tick. Gives how
    many.
    """
    return await rows.forget(database, older_than_seconds=KEPT_SECONDS, most=_FORGOTTEN_AT_ONCE)
