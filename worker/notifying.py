"""From the outbox to webhooks: the task that delivers, on a queue of its own."""

from campaigns import outbox
from campaigns.domain.errors import DatabaseUnavailable
from worker import queues
from worker.app import app, runtime
from worker.bootstrap import Parts
from worker.logs.logger import get_logger

log = get_logger("campaigns")


def deliver_what_is_due() -> None:
    """Have a worker deliver, where anything is due; forget what is old. For every tick: a lost task costs a
    tick.
    """

    async def look(parts: Parts) -> bool:
        await outbox.forget(parts.database)
        return await outbox.are_due(parts.database)

    if runtime.run(look):
        deliver_webhooks.apply_async()


@app.task(name=queues.DELIVER_WEBHOOKS, throws=(DatabaseUnavailable,))
def deliver_webhooks() -> None:
    """Deliver to webhooks until nothing is due; nothing to do where this process does already."""
    for webhook_id, reason in runtime.run(lambda parts: parts.webhooks.deliver()):
        log.warning("webhook disabled", webhook_id=str(webhook_id), why=reason)
