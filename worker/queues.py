"""Names of tasks and queues: one list, used by the tasks, the routes, beat, compose and the tests."""

SUBMIT = "campaigns.submit"
TICK = "campaigns.tick"
SEND_BATCHES = "campaigns.send_batches"
POLL_BATCHES = "campaigns.poll_batches"
PROBE_ACCOUNT = "campaigns.probe_account"
MERGE_RECEIPTS = "campaigns.merge_receipts"
DELIVER_WEBHOOKS = "campaigns.deliver_webhooks"

BEAT = "campaigns_beat"
"""The header of a tick that names the beat it comes from, as host:pid."""

QUEUE_OF: dict[str, str] = {
    SUBMIT: "campaigns.submit",
    TICK: "campaigns.tick",
    SEND_BATCHES: "campaigns.sending",
    POLL_BATCHES: "campaigns.receipts",
    PROBE_ACCOUNT: "campaigns.tick",
    MERGE_RECEIPTS: "campaigns.receipts",
    DELIVER_WEBHOOKS: "campaigns.webhooks",
}
"""Separate queues, so that a flood of sends never starves the tick or the polls. All with our prefix: in a
Redis that others use too, Celery's default queue `celery` and plain names are theirs as well."""

QUEUES: tuple[str, ...] = tuple(sorted(set(QUEUE_OF.values())))
