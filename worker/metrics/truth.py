"""What is true in the database, told at /metrics of web: right at once after any restart, and said once
however many workers run.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from campaigns.domain.metrics import TRUTH, Sample
from worker.metrics.process import NAMESPACE

FRESH_SECONDS = 5.0
"""However often machines ask, the database is asked once in it."""

_PATIENCE_SECONDS = 10.0  # for the database; after it nothing of this is told

Measure = Callable[[], Coroutine[Any, Any, Sequence[Sample]]]
"""Measures. Raises nothing by design."""


class Truth(Collector):
    """Has `measure` run on the loop of the process, for Prometheus's threads, where what is known is old."""

    def __init__(self, measure: Measure, loop: asyncio.AbstractEventLoop) -> None:
        self._measure = measure
        self._loop = loop
        self._lock = threading.Lock()
        self._samples: Sequence[Sample] = ()
        self._measured_at = float("-inf")

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What it will tell of, so that nothing is measured for it."""
        return [_family(metric.name, metric.says, metric.labels) for metric in TRUTH]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every metric with its samples."""
        with self._lock:
            if time.monotonic() - self._measured_at >= FRESH_SECONDS:
                self._samples = self._look()
                self._measured_at = time.monotonic()
            samples = self._samples
        families: dict[str, GaugeMetricFamily] = {}
        for sample in samples:
            name, metric = sample.metric.name, sample.metric
            if name not in families:
                families[name] = _family(name, metric.says, metric.labels)
            families[name].add_metric(sample.labels, sample.amount)
        return list(families.values())

    def _look(self) -> Sequence[Sample]:
        if self._loop.is_closed():
            return ()
        measuring = asyncio.run_coroutine_threadsafe(self._measure(), self._loop)
        try:
            return measuring.result(_PATIENCE_SECONDS)
        except (TimeoutError, CancelledError):  # the loop is ending, or cannot keep up
            measuring.cancel()
            return ()


def _family(name: str, says: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}{name}", says, labels=labels)
