"""What machines read of us: each metric said once, with its labels and what it means. Pure: `worker.metrics`
counts. Labels are names of accounts and providers, states and names of our own: never an id, a number, a text
or a provider's own word, so that their number is bounded.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.domain.values import value


class MetricKind(StrEnum):
    """What becomes of a value: it grows, it goes up and down, or it is sorted by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@value
class Metric:
    """One metric: its name without the prefix `campaigns_`, what it says, its labels."""

    name: str
    kind: MetricKind
    says: str
    labels: tuple[str, ...] = ()


@value
class Sample:
    """What a metric is now, for these labels."""

    metric: Metric
    amount: float
    labels: tuple[str, ...] = ()


def _counter(name: str, says: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, says, labels)


def _gauge(name: str, says: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, says, labels)


def _histogram(name: str, says: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, says, labels)


SENDING_MESSAGES = _counter(
    "sending_messages_total",
    "messages whose request came back, by what became of them",
    *("account", "provider", "outcome"),
)
SENDING_REQUEST_SECONDS = _histogram(
    "sending_request_seconds", "how long a request that hands messages over took", "provider"
)
POLLING_REQUEST_SECONDS = _histogram(
    "polling_request_seconds", "how long a question to a provider took", "provider"
)
WIRE_REQUESTS = _counter(
    "wire_requests_total",
    "requests to providers: answered (by the class of the status), unseen, or never_left",
    *("provider", "kind", "result"),
)
SECOND_PASS_REFUSED = _counter(
    "wire_second_pass_refused_total",
    "paid requests that were about to go over the wire twice and did not",
    "provider",
)
PACING_WAIT_SECONDS = _counter(
    "pacing_wait_seconds_total", "how long batches waited for the pace of their account", "account"
)
BATCHES_DEALT = _counter("batches_dealt_total", "batches that were leased for sending or polling", "work")
RESCUE_LEASES = _counter("rescue_leases_total", "leases that ran out and were taken back")
RESCUE_MESSAGES = _counter(
    "rescue_messages_total", "messages that rescue moved on: in_doubt, failed, unknown, expired", "state"
)
RECEIPTS = _counter(
    "receipts_total",
    "receipts by how they came and the state that they are evidence of (none: of no state)",
    *("account", "source", "state"),
)
RECEIPTS_MISSED = _counter(
    "receipts_found_by_poll_after_callback_was_due_total",
    "messages of accounts that are called back whose end was learned by asking: callbacks that were lost",
    "account",
)
TICK_SECONDS = _histogram("tick_seconds", "how long a tick took")
BEAT_TICKS = _counter("beat_ticks_total", "ticks that beat published, or could not", "outcome")
LATE_ANSWERS = _gauge("late_answers_waiting", "answers of this process that the database could not take yet")
DELIVERIES = _counter(
    "webhook_deliveries_total", "requests to webhooks: delivered, failed, or gone (410)", "outcome"
)
CALLBACKS = _counter("callbacks_total", "callbacks by what they were answered", *("account", "status"))
CALLBACKS_WAITING = _gauge("callbacks_inbox_waiting", "receipts of callbacks that are not stored yet")
CALLBACKS_WRITE_SECONDS = _histogram(
    "callbacks_write_seconds", "how long it took to store a group of receipts"
)
HTTP_REQUESTS = _counter("http_requests_total", "requests to the API", *("operation", "status"))
HTTP_REQUEST_SECONDS = _histogram("http_request_seconds", "how long the API took to answer", "operation")
SUBMISSIONS_RUNNING = _gauge("submissions_running", "large submissions that are being taken in")
SSE_CLIENTS = _gauge("sse_clients", "clients that watch a campaign")
DATA_FREE = _gauge("data_free_bytes", "what is free on the disk of CAMPAIGNS_DATA_DIR")
BUILD = _gauge("build_info", "1, with the release and what this process is", *("version", "process"))

PACE = (
    *(SENDING_MESSAGES, SENDING_REQUEST_SECONDS, POLLING_REQUEST_SECONDS, WIRE_REQUESTS, SECOND_PASS_REFUSED),
    *(PACING_WAIT_SECONDS, BATCHES_DEALT, RESCUE_LEASES, RESCUE_MESSAGES, RECEIPTS, RECEIPTS_MISSED),
    *(TICK_SECONDS, BEAT_TICKS, LATE_ANSWERS, DELIVERIES, CALLBACKS, CALLBACKS_WAITING),
    *(CALLBACKS_WRITE_SECONDS, HTTP_REQUESTS, HTTP_REQUEST_SECONDS, SUBMISSIONS_RUNNING, SSE_CLIENTS),
    *(DATA_FREE, BUILD),
)
"""What each process counts of its own work, from its start."""

DATABASE_UP = _gauge("database_up", "whether the database answers; the others of this table come from it")
REDIS_UP = _gauge("redis_up", "whether Redis answers")
WITNESS_MEMORY_SECONDS = _gauge(
    "witness_memory_seconds", "since when Redis remembers what left; 0: it remembers nothing"
)
MESSAGES = _gauge("messages", "messages of campaigns that are not over", *("account", "state"))
CAMPAIGNS = _gauge("campaigns", "how many campaigns are not over", "state")
CAMPAIGNS_HELD = _gauge("campaigns_held", "how many campaigns are on hold for their sender or text")
RECIPIENTS_LAST_HOUR = _gauge(
    "recipients_last_hour", "recipients of campaigns that were taken in within the last hour", "account"
)
SENDING_BACKLOG = _gauge(
    "sending_backlog", "messages that are due and wait for nothing but a worker and the pace", "account"
)
SENDING_OLDEST_DUE = _gauge(
    "sending_oldest_due_seconds", "how long the oldest batch that may be handed over is due"
)
POLLING_OLDEST_DUE = _gauge(
    "polling_oldest_due_seconds", "how long the oldest batch to be asked about is due"
)
LEASE_OLDEST_OVER = _gauge("lease_oldest_over_seconds", "how long the oldest lease that ran out is over")
LEASES_ACTIVE = _gauge("leases_active", "batches under a lease")
RECEIPTS_WAITING = _gauge("receipts_waiting", "receipts of callbacks that are to be merged")
RECEIPTS_OLDEST = _gauge("receipts_oldest_seconds", "how long the oldest receipt that is due waits")
RECEIPTS_ASIDE = _gauge("receipts_set_aside", "receipts that could not be merged and wait for a person")
IN_DOUBT_OLDEST = _gauge("in_doubt_oldest_seconds", "how long the oldest message in doubt is so")
ACCOUNT_HELD = _gauge("account_held", "1 where nothing is handed over on an account, else 0", "account")
ACCOUNT_BALANCE = _gauge(
    "account_balance",
    "what is left on an account, as its provider said it within half an hour; else there is no sample",
    *("account", "currency"),
)
ACCOUNT_QUEUED_COST = _gauge(
    "account_queued_cost",
    "what the queued messages cost at the average price of the last week, where a price and the balance are "
    "known",
    *("account", "currency"),
)
TICK_AGE = _gauge("tick_age_seconds", "how long ago the last tick ended, by the database's clock")
WORKERS = _gauge("workers", "workers that were seen within a minute")
TOTALS_WRONG = _gauge(
    "totals_wrong", "of the newest campaigns, those whose tallies and messages differ; looked at hourly"
)
ENDPOINTS_DISABLED = _gauge("webhooks_disabled", "webhooks that were disabled because they took nothing")
DELIVERY_OLDEST = _gauge("webhook_oldest_waiting_seconds", "how long the oldest delivery waits")

TRUTH = (
    *(DATABASE_UP, REDIS_UP, WITNESS_MEMORY_SECONDS, MESSAGES, CAMPAIGNS, CAMPAIGNS_HELD),
    *(RECIPIENTS_LAST_HOUR, SENDING_BACKLOG, SENDING_OLDEST_DUE, POLLING_OLDEST_DUE, LEASE_OLDEST_OVER),
    *(LEASES_ACTIVE, RECEIPTS_WAITING, RECEIPTS_OLDEST, RECEIPTS_ASIDE, IN_DOUBT_OLDEST, ACCOUNT_HELD),
    *(ACCOUNT_BALANCE, ACCOUNT_QUEUED_COST),
    *(TICK_AGE, WORKERS, TOTALS_WRONG, ENDPOINTS_DISABLED, DELIVERY_OLDEST),
)
"""What is so, whoever did it: any one web process tells it, out of the database."""


class Meter:
    """Counts for machines. This one forgets: what a process counts with that has no port for metrics.

    Nothing is called for a single message: what a batch, a request or a group came to is counted together.
    Safe from any thread.
    """

    is_on = False

    def count(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter."""

    def observe(self, metric: Metric, amount: float, *labels: str) -> None:
        """Sort an amount into a histogram."""

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Have `read` say what a gauge without labels is, whenever machines ask."""

    def count_each(self, metric: Metric, labels: Sequence[str], last: Iterable[str]) -> None:
        """Add one for each of `last`, the last label, after those that they share."""
        if self.is_on:
            for each, amount in Counter(last).items():
                self.count(metric, amount, *labels, each)


UNMETERED = Meter()
"""For a process that nobody asks for metrics."""

_OUTCOMES: dict[type[Outcome], str] = {
    Accepted: "accepted",
    Rejected: "rejected",
    Failed: "failed",
    Throttled: "throttled",
    NotSent: "not_sent",
    InDoubt: "in_doubt",
    AccountTrouble: "account_trouble",
    CampaignTrouble: "campaign_trouble",
}


OUTCOMES = tuple(_OUTCOMES.values())
"""What outcomes are called in labels, all of them."""


def outcome_names(outcomes: Iterable[Outcome]) -> Iterable[str]:
    """What outcomes are called in labels."""
    return (_OUTCOMES[type(outcome)] for outcome in outcomes)
