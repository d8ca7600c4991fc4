"""Names of tasks and queues: one list, used by the tasks, the routes, beat, compose and the tests."""

SUBMIT = "campaigns.submit"
TICK = "campaigns.tick"
SEND_BATCHES = "campaigns.send_batches"
POLL_BATCHES = "campaigns.poll_batches"
PROBE_ACCOUNT = "campaigns.probe_account"
MERGE_RECEIPTS = "campaigns.merge_receipts"

QUEUE_OF: dict[str, str] = {
    SUBMIT: "submission",
    TICK: "tick",
    SEND_BATCHES: "sending",
    POLL_BATCHES: "receipts",
    PROBE_ACCOUNT: "tick",
    MERGE_RECEIPTS: "receipts",
}
"""Separate queues, so that a flood of sends never starves the tick or the polls."""

FOREIGN = "celery"
"""Celery's own default queue: where another service's `send_task` lands when it names none."""

QUEUES: tuple[str, ...] = tuple(sorted({*QUEUE_OF.values(), FOREIGN}))
