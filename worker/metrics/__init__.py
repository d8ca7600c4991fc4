"""Metrics for Prometheus: what this process counts, and, in web, what is true in the database. Loaded in full
only where CAMPAIGNS_METRICS_PORT is set.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from campaigns.domain.metrics import UNMETERED, Meter
from worker.settings.model import Settings

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def meter_for(settings: Settings) -> Meter:
    """What counts in a process that is about to begin; one that forgets, where it has no port for metrics.
    Raises CampaignError.
    """
    if settings.metrics_port is None:
        return UNMETERED
    from worker.metrics.process import process_meter  # noqa: PLC0415  most commands need no Prometheus

    return process_meter()


def serve(
    meter: Meter,
    settings: Settings,
    process: str,
    collectors: "Callable[[], Sequence[Collector]]" = tuple,
) -> Callable[[], None]:
    """Serve what is counted on CAMPAIGNS_METRICS_PORT, where it is set. Gives what ends it.

    Takes what the process is: worker, beat or web; and what it tells besides its own counts. Raises
    CampaignError where it cannot listen there.
    """
    if not meter.is_on:
        return lambda: None
    from worker.metrics import process as of_process  # noqa: PLC0415  as above

    assert isinstance(meter, of_process.ProcessMeter)  # noqa: S101  the only one that is on
    return of_process.serve(meter, settings, process, collectors())
