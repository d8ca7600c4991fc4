"""Beat's scheduler goes by a clock that nobody sets."""

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from tests.waiting import wait_until
from worker.broker.beat import Scheduler


@pytest.mark.parametrize("hours", [-1, 24])
def test_it_goes_on_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Back or forward: one tick an interval."""
    app = Celery("apart", set_as_current=False)
    app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 0.05}}
    published: list[str] = []

    class Told(Scheduler):
        def _publish(self, entry: Any) -> None:
            published.append(entry.name)

    scheduler = Told(app)
    wait_until(lambda: scheduler.tick() and published, "the first")
    right = app.now
    monkeypatch.setattr(app, "now", lambda: right() + timedelta(hours=hours))
    published.clear()
    wait_until(lambda: scheduler.tick() and len(published) >= 3, "it goes on", seconds=10)
    assert len(published) == 3
