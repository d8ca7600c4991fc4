"""Celery beat's scheduler by the monotonic clock, for a broker that may be away.

Celery's own scheduler uses the wall clock: if that is set back an hour, it publishes nothing for an hour. And
it waits for the broker in the main thread, where no signal can end it.
"""

import threading
import time
from typing import Any

from celery.beat import Scheduler as CelerysScheduler
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from campaigns.domain.metrics import BEAT_TICKS, UNMETERED, Meter
from worker.logs.logger import get_logger

log = get_logger("campaigns")

_LONGEST_SLEEP_SECONDS = 1.0  # so that beat sees at once that it is to end
_FIRST_PAUSE_SECONDS = 5.0  # between two log lines while Redis is away, at first
_LONGEST_PAUSE_SECONDS = 300.0  # and at last


def _seconds_between(entry: Any) -> float:
    """Our entries are intervals."""
    seconds: float = entry.schedule.run_every.total_seconds()
    return seconds


class Scheduler(CelerysScheduler):
    """Publishes each entry once an interval, one at a time, from a thread of its own. Missed ones are
    dropped.
    """

    meter: Meter = UNMETERED  # beat's process sets another before it begins

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._due_at: dict[str, float] = {}
        self._publisher: threading.Thread | None = None
        self._link: Any = None  # the publisher's alone
        self._failed_count = 0
        self._say_at = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        super().__init__(*args, **kwargs)

    def tick(self, *_: Any, **__: Any) -> float:
        """Start publishing what is due. Gives the seconds until the next call; never waits for the broker."""
        now = time.monotonic()
        for name, entry in self.schedule.items():
            if self._due_at.get(name, now) <= now and not self._is_publishing():
                seconds = _seconds_between(entry)
                before = self._due_at.get(name, now)
                self._due_at[name] = max(before + seconds, now)
                # A daemon thread: beat can end while it waits for a broker that does not answer.
                self._publisher = threading.Thread(target=self._publish, args=(entry,), daemon=True)
                self._publisher.start()
        next_at = min(self._due_at.values(), default=now + _LONGEST_SLEEP_SECONDS)
        return min(max(next_at - now, 0.05), _LONGEST_SLEEP_SECONDS)

    def _is_publishing(self) -> bool:
        return self._publisher is not None and self._publisher.is_alive()

    def _publish(self, entry: Any) -> None:
        try:
            if self._link is None:
                connection = self.app.connection_for_write()
                connection.connect()  # once: Celery's own way retries for ever and logs nothing
                self._link = self.app.amqp.Producer(connection, auto_declare=False)
            self.send_task(entry.task, entry.args, entry.kwargs, producer=self._link, **entry.options)
        except (KombuError, RedisError, OSError) as error:
            self._link = None
            self._failed(error)
        else:
            self._worked()

    def _failed(self, error: BaseException) -> None:
        """Log the broker's error: at once, then after growing pauses."""
        self.meter.count(BEAT_TICKS, 1, "failed")
        self._failed_count += 1
        now = time.monotonic()
        if now < self._say_at:
            return
        self._say_at = now + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        log.error("no tick could be published", why=error.__cause__ or error, failed_count=self._failed_count)

    def _worked(self) -> None:
        self.meter.count(BEAT_TICKS, 1, "published")
        if self._failed_count:
            log.info("ticks are published again", failed_count=self._failed_count)
        self._failed_count, self._say_at, self._pause_seconds = 0, 0.0, _FIRST_PAUSE_SECONDS
