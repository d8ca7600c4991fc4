"""How a log line looks, for machines and for people, and what logging leaves of other loggers."""

import io
import json
import logging
import re
import sys
from datetime import UTC, datetime

import pytest
import structlog
from celery import Celery, signals
from celery.app.log import Logging

from tests.unit.logs.writing import logging_to, written
from worker.logs import logger
from worker.logs.logger import configure_logs, get_logger


def test_a_line_is_one_json_object_with_its_moment_first() -> None:
    line = written(lambda log: log.info("batch handed over", batch_id="b-1", accepted_count=100))
    assert list(line) == ["timestamp", "level", "logger", "event", "batch_id", "accepted_count"]
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() is not None
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert line == {
        "level": "info",
        "logger": "campaigns.sending",
        "event": "batch handed over",
        "batch_id": "b-1",
        "accepted_count": 100,
    }


def test_the_standard_library_goes_the_same_way() -> None:
    line = written(lambda _: logging.getLogger("alembic.runtime").warning("step %d of %s", 2, "three"))
    assert list(line) == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"]) == ("warning", "alembic.runtime", "step 2 of three")


def test_what_a_caller_bound_is_on_every_line_of_its_context() -> None:
    def act(_: object) -> None:
        with structlog.contextvars.bound_contextvars(campaign_id=1_234_567_890, account="main", text="x y"):
            logging.getLogger("asyncpg").warning("slow")

    line = written(act)
    assert (line["campaign_id"], line["account"], line["text"]) == (1_234_567_890, "main", "[hidden]")


def test_on_a_terminal_it_is_for_people_and_elsewhere_for_machines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, form, is_json, is_coloured in (
        (io.StringIO(), "auto", True, False),
        (Terminal(), "auto", False, True),
        (Terminal(), "json", True, False),
        (io.StringIO(), "console", False, False),
    ):
        with logging_to(stream, form):  # type: ignore[arg-type]  # the table holds plain strings
            get_logger("x").info("hello", count=1)
        text = stream.getvalue()
        assert text.startswith("{") is is_json
        assert ("\x1b[" in text) is is_coloured
        assert "hello" in text


def test_configuring_again_changes_and_repeats_nothing() -> None:
    first, second = io.StringIO(), io.StringIO()
    with logging_to(first, secrets=["first-secret"]):
        log = get_logger("x")
        log.info("one")
        for _ in range(3):
            configure_logs("json", "warning", secrets=["other-secret"], stream=second)
        log.info("below the level")
        log.warning("two first-secret other-secret")
        logging.getLogger("y").warning("three")
    assert first.getvalue().count("\n") == 1
    events = [json.loads(line)["event"] for line in second.getvalue().splitlines()]
    assert events == ["two [hidden] [hidden]", "three"]


def test_a_handler_that_would_print_unprotected_is_taken_down_and_others_stay() -> None:
    root = logging.getLogger()
    printing, keeping = logging.StreamHandler(sys.stderr), logging.StreamHandler(io.StringIO())
    before = root.handlers[:]
    root.handlers[:] = [printing, keeping]
    try:
        with logging_to(io.StringIO(), alone=False):
            assert printing not in root.handlers
            assert keeping in root.handlers
            assert len(root.handlers) == 2
    finally:
        root.handlers[:] = before


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="must be debug, info, warning, error or critical"):
        configure_logs("json", "loud")


@pytest.mark.parametrize(
    ("level", "quiet", "but_for_debugging"),
    [("debug", "WARNING", "DEBUG"), ("info", "WARNING", "WARNING"), ("error", "ERROR", "ERROR")],
)
def test_noise_is_turned_down(level: str, quiet: str, but_for_debugging: str) -> None:
    with logging_to(io.StringIO(), level=level):
        for names, expected in ((logger._QUIET, quiet), (logger._QUIET_BUT_FOR_DEBUGGING, but_for_debugging)):
            for name in names:
                assert logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) == expected


def test_celery_keeps_its_hands_off_and_its_failures_come_out_clean() -> None:
    stream = io.StringIO()

    def connected(**_: object) -> None:
        configure_logs("json", "info", stream=stream)

    app = Celery("test", broker="memory://", set_as_current=False)

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("Hello John")

    was_set_up = Logging._setup  # type: ignore[attr-defined]  # the stubs leave it out
    signals.setup_logging.connect(connected)
    try:
        with logging_to(stream):
            Logging._setup = False  # type: ignore[attr-defined]
            app.log.setup(loglevel=logging.INFO)
            assert [type(handler) for handler in logging.getLogger().handlers].count(logger._Handler) == 1
            fail.apply()
    finally:
        signals.setup_logging.disconnect(connected)
        Logging._setup = was_set_up  # type: ignore[attr-defined]
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["logger"] == "celery.app.trace"
    assert re.fullmatch(r"Task fail\[[0-9a-f-]{36}\] raised unexpected: ValueError", line["event"])
    assert line["exception"].endswith("ValueError: [hidden]")
    assert 'raise ValueError("Hello John")' in line["exception"]  # the line of code, which is no data
