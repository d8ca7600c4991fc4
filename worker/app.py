"""The Celery application: `celery -A worker.app worker`, `celery -A worker.app beat`."""

import gc
import os
import signal
import sys
import threading
from functools import cache
from socket import gethostname
from types import FrameType
from typing import Any

import click
from celery import Celery, signals

from campaigns.domain.errors import CampaignError, DatabaseUnavailable
from campaigns.store import schema
from worker import broker
from worker.addresses import broker_url
from worker.bootstrap import located
from worker.logs import configure_logs, get_logger
from worker.queues import BEAT, TICK
from worker.runtime import Runtime
from worker.settings import Settings, load_settings


class NotConfigured(CampaignError, click.ClickException):
    """The settings will not do. Celery's command line prints the sentence; programs catch CampaignError."""

    exit_code = 2


@cache
def settings() -> Settings:
    """This process's settings, read once, with both URLs. Raises NotConfigured."""
    try:
        return located(load_settings())
    except CampaignError as error:
        raise NotConfigured(str(error)) from error


def _configuration() -> dict[str, Any]:
    # Evaluated when Celery first looks at its configuration: importing this module reads nothing.
    now = settings()
    assert now.redis_url is not None  # noqa: S101  `located` gave both
    return {
        "broker_url": broker_url(now.redis_url),
        # No `expires`: it compares two machines' clocks, and a tick that comes late does no harm.
        # In its headers, who sent it: a worker of before passes over what it does not know.
        "beat_schedule": {
            "tick": {
                "task": TICK,
                "schedule": now.tick_seconds,
                "options": {"headers": {BEAT: f"{gethostname()}:{os.getpid()}"}},
            }
        },
    }


broker.install()
app = Celery("campaigns", include=["worker.tasks", "worker.pulses"])
app.config_from_object("celeryconfig")
app.add_defaults(_configuration)

runtime = Runtime(settings)

log = get_logger("campaigns")


@signals.setup_logging.connect
def _set_up_logs(**_: Any) -> None:
    now = settings()
    configure_logs(now.log_format, now.log_level, secrets=now.secrets())


@signals.celeryd_init.connect
def _begin(conf: Any, options: dict[str, Any], **_: Any) -> None:
    """A worker that meets an older or newer schema says so and stops, before it takes a task. Its
    concurrency (`-c`) is the number of batches it hands over at once.
    """
    runtime.have_places(options.get("concurrency") or conf.worker_concurrency)
    try:
        runtime.run(lambda parts: schema.check(parts.database))
    except CampaignError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(1) from error


@signals.worker_ready.connect
def _spare_the_collector(**_: Any) -> None:
    """What a worker is made of lives as long as it does; what it makes for a batch dies with it. Looking
    through all of it at every few hundred objects was a fifth of its processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@signals.worker_shutting_down.connect
def _begin_stopping(**_: Any) -> None:
    runtime.begin_stopping()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtime.close()


@signals.task_failure.connect
def _say_that_the_database_is_away(sender: Any, exception: BaseException, **_: Any) -> None:
    """Celery logs a failure named in `throws` among the lines for every task, which are off."""
    if isinstance(exception, DatabaseUnavailable):
        log.warning("database away", task=sender.name, why=str(exception))


@signals.beat_init.connect
def _end_between_ticks(sender: Any, **_: Any) -> None:
    """SIGTERM and SIGINT end beat when its tick is published.

    Celery's own handler raises SystemExit wherever beat happens to be. In the middle of a publish redis-py
    turns that into an error, which beat takes for a lost tick, and beat lives on.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        sender.stop()

    if threading.current_thread() is threading.main_thread():  # `worker -B` may run it in a thread
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
