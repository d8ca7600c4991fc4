"""A log line never raises."""

import io
import logging
from typing import Any

import pytest
import structlog

from tests.unit.logs.writing import as_imported, logging_to, value, written
from worker.logs.logger import get_logger


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("Hello +37060012345")


class Changing(dict[str, int]):
    """As a dict that another thread changes meanwhile."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


def test_what_cannot_be_written_is_said_so() -> None:
    assert value(Unwritable()) == "<Unwritable that cannot be written: RuntimeError>"
    assert value([Changing(a=1)]) == ["<Changing that cannot be written: RuntimeError>"]
    assert value(10**5000) == "<int that cannot be written: ValueError>"
    assert value("a\udc80b") == "a\\udc80b"
    wrong = "%d of %s"
    for act in (
        lambda log: log.info(wrong, "Hello"),
        lambda _: logging.getLogger("x").info(wrong, "Hello"),
        lambda _: logging.getLogger("x").info(wrong, Unwritable(), "Hello"),
    ):
        line = written(act)
        assert line["event"].startswith("%d of %s (its arguments do not fit: ")
    line = written(lambda _: logging.getLogger("x").info(OSError("gone")))
    assert line["event"] == "OSError: gone"
    line = written(lambda _: logging.getLogger("x").error({"text": "Hello"}))
    assert line["event"] == '{"text": [hidden]}'
    assert written(lambda log: log.info("%(text)s %(n)d", {"text": "Hello", "n": 1}))["event"] == "[hidden] 1"


def test_a_stream_that_fails_loses_the_line_and_shows_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space left")

    with logging_to(Full()):
        get_logger("x").info("Hello", phone="+37060012345")
        logging.getLogger("y").warning("Hello %s", "+37060012345")
    assert capsys.readouterr().err == "A line of the log was lost: OSError\n" * 2


def test_before_it_is_configured_a_logger_is_protected_already(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    try:
        get_logger("early").warning("sent to %s", "+37060012345", text="Hello")
    finally:
        as_imported()
    assert "+********345" in caplog.text
    assert "Hello" not in caplog.text
    assert "37060012345" not in caplog.text
