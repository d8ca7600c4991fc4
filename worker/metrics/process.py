"""What this process counts, and the port at which machines read it: its own, never the public one.

Prometheus's multi-process mode is not used: each process has its own port. A worker is one process.
"""

import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import version

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.registry import Collector

from campaigns.domain.errors import CampaignError
from campaigns.domain.metrics import (
    BUILD,
    DATA_FREE,
    OUTCOMES,
    PACE,
    RECEIPTS,
    RECEIPTS_MISSED,
    SECOND_PASS_REFUSED,
    SENDING_MESSAGES,
    Meter,
    Metric,
    MetricKind,
)
from campaigns.domain.states import MessageState
from worker.settings.environment import PREFIX, has_multiprocess_metrics
from worker.settings.model import Settings

NAMESPACE = "campaigns_"
"""What the name of each metric of ours begins with."""

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # what durations are sorted by


class ProcessMeter(Meter):
    """Counts in this process, in a registry of its own. One for each process."""

    is_on = True

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in PACE:
            self._declare(each)

    def _declare(self, metric: Metric) -> None:
        name, says, labels = f"{NAMESPACE}{metric.name}", metric.says, metric.labels
        match metric.kind:
            case MetricKind.COUNTER:
                self._counters[metric.name] = Counter(name, says, labels, registry=self.registry)
            case MetricKind.GAUGE:
                self._gauges[metric.name] = Gauge(name, says, labels, registry=self.registry)
            case MetricKind.HISTOGRAM:
                made = Histogram(name, says, labels, buckets=_SECONDS, registry=self.registry)
                self._histograms[metric.name] = made

    def count(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[metric.name]
        (counter.labels(*labels) if labels else counter).inc(amount)

    def observe(self, metric: Metric, amount: float, *labels: str) -> None:
        """Sort an amount into a histogram."""
        histogram = self._histograms[metric.name]
        (histogram.labels(*labels) if labels else histogram).observe(amount)

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Have `read` say what a gauge is."""
        self._gauges[metric.name].set_function(read)

    def begin(self, settings: Settings, process: str) -> None:
        """Say what this process is, and what it has: its memory, its files, its disk."""
        self._gauges[BUILD.name].labels(version("campaigns"), process).set(1)
        ProcessCollector(registry=self.registry)
        self._begin_at_zero(settings)
        self.watch(DATA_FREE, lambda: _free_bytes(settings))

    def _begin_at_zero(self, settings: Settings) -> None:
        """Show what alerts look at before it first happens: Prometheus sees no growth in a counter that
        begins above nothing.
        """
        for name, account in settings.accounts.items():
            for outcome in OUTCOMES:
                self.count(SENDING_MESSAGES, 0, name, account.provider, outcome)
            self.count(RECEIPTS_MISSED, 0, name)
            for state in MessageState:
                self.count(RECEIPTS, 0, name, "callback", state)
            self.count(SECOND_PASS_REFUSED, 0, account.provider)


def _free_bytes(settings: Settings) -> float:
    try:
        return shutil.disk_usage(settings.data_dir).free
    except OSError:  # it is made when something is to be kept in it
        return shutil.disk_usage(".").free


def serve(
    meter: ProcessMeter, settings: Settings, process: str, collectors: Iterable[Collector] = ()
) -> Callable[[], None]:
    """Serve what is counted on CAMPAIGNS_METRICS_PORT, in a thread. Gives what ends it. Takes what the
    process is: worker, beat or web; and what else is told.

    Raises CampaignError where it cannot listen there, which is a mistake in the settings: two processes with
    the same port.
    """
    port = settings.metrics_port
    assert port is not None  # noqa: S101  else there is no meter to serve
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each
    meter.begin(settings, process)
    for collector in collectors:
        meter.registry.register(collector)
    try:
        server, thread = prometheus_client.start_http_server(port, settings.metrics_host, meter.registry)
    except OSError as error:
        raise CampaignError(
            f"metrics cannot be served on {settings.metrics_host}:{port} ({error.strerror}): "
            f"give each process {PREFIX}METRICS_PORT of its own"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def process_meter() -> ProcessMeter:
    """The meter of a process. Raises CampaignError where prometheus_client would keep its counts in files."""
    if has_multiprocess_metrics():
        raise CampaignError(
            "PROMETHEUS_MULTIPROC_DIR is set, and each of our processes tells its metrics by itself: unset it"
        )
    return ProcessMeter()
