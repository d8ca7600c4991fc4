"""The Celery application: `celery -A worker.app worker`, `celery -A worker.app beat`."""

import asyncio
import gc
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import gethostname
from types import FrameType, ModuleType
from typing import Any

import click
from celery import Celery, signals

from campaigns import watching
from campaigns.domain.errors import CampaignError, DatabaseUnavailable
from campaigns.domain.metrics import Meter
from campaigns.lazy_imports import load_awaited
from campaigns.store import schema
from worker import spare_what_is_loaded
from worker.bootstrap import Parts
from worker.broker import transport
from worker.broker.beat import Scheduler
from worker.logs.logger import configure_logs, get_logger
from worker.metrics import meter_for, serve
from worker.queues import BEAT, QUEUES, TICK
from worker.runtime import Runtime
from worker.settings.addresses import broker_url
from worker.settings.model import Settings
from worker.settings.reading import load_settings, refuse_celerys_variables
from worker.stack.location import located

_LEAVE_SECONDS = 2.0  # for a worker that ends to say so in the database


class NotConfigured(CampaignError, click.ClickException):
    """The settings are wrong or missing. Celery's command line prints the sentence; programs catch
    CampaignError.
    """

    exit_code = 2


@cache
def settings() -> Settings:
    """This process's settings, read once, with both URLs. Raises NotConfigured."""
    try:
        refuse_celerys_variables()
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
        # Its header names the sender; a worker of an older release ignores it.
        "beat_schedule": {
            "tick": {
                "task": TICK,
                "schedule": now.tick_seconds,
                "options": {"headers": {BEAT: f"{gethostname()}:{os.getpid()}"}},
            }
        },
    }


def _own_configuration() -> ModuleType:
    """The celeryconfig.py beside this package, loaded by its path: by name, Celery would find one of another
    project in the working directory first.
    """
    path = Path(__file__).parents[1] / "celeryconfig.py"
    spec = importlib.util.spec_from_file_location("celeryconfig", path)
    assert spec is not None  # noqa: S101  a path that ends in .py has one
    assert spec.loader is not None  # noqa: S101  likewise
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (OSError, SyntaxError) as error:
        raise NotConfigured(f"{path} cannot be read, and it is ours: install campaigns again") from error
    if getattr(module, "beat_scheduler", None) != "worker.broker.beat:Scheduler":
        raise NotConfigured(f"{path} is another project's: install campaigns apart from it")
    return module


transport.install()
app = Celery("campaigns", include=["worker.tasks", "worker.notifying"])
app.config_from_object(_own_configuration())
app.add_defaults(_configuration)


@cache
def meter() -> Meter:
    """What counts for machines in this process. Raises CampaignError."""
    return meter_for(settings())


runtime = Runtime(settings, meter)

log = get_logger("campaigns")


@signals.setup_logging.connect
def _set_up_logs(**_: Any) -> None:
    now = settings()
    configure_logs(now.log_format, now.log_level, secrets=now.secrets())
    _tell_what_is_not_used()


def _refuse_what_is_not_ours(conf: Any, options: Mapping[str, Any]) -> None:
    """Raises CampaignError for another broker and for queues and pools that we do not have."""
    ours = broker_url(settings().redis_url or "")
    if any(url != ours for url in (conf.broker_url, conf.broker_read_url, conf.broker_write_url)):
        raise CampaignError("another broker is set (-b, --config): ours is the Redis of CAMPAIGNS_REDIS_URL")
    for name in ("queues", "exclude_queues"):
        given = options.get(name) or ()
        strange = sorted({*(given.split(",") if isinstance(given, str) else given)} - {*QUEUES})
        if strange:
            raise CampaignError(f"there is no queue {', '.join(strange)}; there are: {', '.join(QUEUES)}")
    pool = options.get("pool_cls") or options.get("pool")
    if pool is not None and "thread" not in str(pool):
        raise CampaignError("this worker runs on threads and on no other pool: leave -P out")


def _tell_what_is_not_used() -> None:
    """Warn once about each of Celery's options that we ignore, and name the setting to use instead."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    instead = {
        "loglevel": "-l is not used: set CAMPAIGNS_LOG_LEVEL",
        "logfile": "-f is not used: the log goes to standard error",
        "pool": "-P is not used: this worker runs on threads",
        "scheduler": "--scheduler is not used: beat has a scheduler of its own",
        "schedule": "-s is not used: beat keeps no file",
    }
    for name, sentence in instead.items():
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            log.warning(sentence)


@signals.celeryd_init.connect
def _begin(conf: Any, options: dict[str, Any], **_: Any) -> None:
    """Stop a worker with a sentence, before it takes a task, if the schema does not fit. Its concurrency
    (`-c`) is the number of batches it hands over at once.
    """
    runtime.set_lane_size(options.get("concurrency") or conf.worker_concurrency)
    try:
        _refuse_what_is_not_ours(conf, options)
        runtime.run(lambda parts: schema.check(parts.database))
        serve(meter(), settings(), "worker")
    except CampaignError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(1) from error


@signals.worker_ready.connect
def _begin_to_tell_that_it_lives(**_: Any) -> None:
    runtime.begin(_tell_that_it_lives)


async def _tell_that_it_lives(parts: Parts) -> None:
    """Write to the database every ten seconds that this worker lives, for `doctor`, `status` and a
    container's probe.
    """
    name = parts.desk.worker
    try:
        while True:
            with suppress(DatabaseUnavailable):  # the tick logs that it is away; this tries again
                await watching.worker_lives(parts.database, name)
            await asyncio.sleep(watching.PULSE_SECONDS)
    finally:
        with suppress(DatabaseUnavailable, TimeoutError):  # a minute later it counts as gone anyhow
            async with asyncio.timeout(_LEAVE_SECONDS):
                await watching.worker_ends(parts.database, name)


@signals.worker_ready.connect
def _load_and_freeze(**_: Any) -> None:
    """Load what waits for its use, and keep what is loaded out of looks for garbage."""
    load_awaited()
    spare_what_is_loaded()


@signals.worker_shutting_down.connect
def _begin_stopping(**_: Any) -> None:
    runtime.begin_stopping()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtime.close()


@signals.task_failure.connect
def _say_that_the_database_is_away(sender: Any, exception: BaseException, **_: Any) -> None:
    """Celery logs failures named in `throws` with its lines for each task, which are turned off."""
    if isinstance(exception, DatabaseUnavailable):
        log.warning("database away", task=sender.name, why=str(exception))


@signals.task_revoked.connect
def _say_that_it_expired(request: Any, expired: bool, **_: Any) -> None:
    """Celery logs this at info only, and for a submission it means a campaign that is never sent."""
    if expired:
        log.warning("task expired before a worker took it", task=request.task, task_id=request.id)


@signals.beat_init.connect
def _end_at_once(**_: Any) -> None:
    """SIGTERM and SIGINT end beat at once, whatever its main thread does: nothing is published from it. And
    machines may ask how it is.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        gc.freeze()  # else the interpreter's end scans every object once more
        raise SystemExit(0)

    if threading.current_thread() is threading.main_thread():  # `worker -B` may run it in a thread
        try:
            Scheduler.meter = meter()
            serve(meter(), settings(), "beat")
        except CampaignError as error:
            sys.stderr.write(f"Error: {error}\n")
            raise SystemExit(1) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
