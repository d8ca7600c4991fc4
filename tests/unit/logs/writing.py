"""What a test makes the log write."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from worker.logs import logger, masking
from worker.logs.logger import configure_logs, get_logger


@dataclass
class Holder:
    held: Any


def as_imported() -> None:
    """As it is once a module of ours has its logger, and before `configure_logs`."""
    structlog.reset_defaults()
    get_logger("any")


@contextmanager
def logging_to(
    stream: io.StringIO,
    form: Literal["json", "console", "auto"] = "json",
    level: str = "info",
    *,
    alone: bool = True,
    **more: Any,
) -> Iterator[None]:
    """`configure_logs`, and everything as it was afterwards. Alone: without pytest's own handlers, which
    format each record themselves.
    """
    root = logging.getLogger()
    names = [*logger._QUIET, *logger._QUIET_BUT_FOR_DEBUGGING]
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    if alone:
        root.handlers.clear()
    with warnings.catch_warnings():
        configure_logs(form, level, stream=stream, **more)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.handlers[:], root.level = before[0], before[1]
            for name, number in zip(names, before[2], strict=True):
                logging.getLogger(name).setLevel(number)
            masking._secret_forms.clear()
            structlog.contextvars.clear_contextvars()
            as_imported()


def written(act: Callable[[structlog.stdlib.BoundLogger], object], **how: Any) -> dict[str, Any]:
    """The one JSON line that `act` makes the log write."""
    stream = io.StringIO()
    with logging_to(stream, **how):
        act(get_logger("campaigns.sending"))
    (line,) = stream.getvalue().splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def value(shown: object) -> object:
    """What becomes of one value under a name that says nothing."""
    return written(lambda log: log.info("event", x=shown))["x"]


def failed(error: BaseException) -> str:
    """The exception as it is written."""

    def act(log: structlog.stdlib.BoundLogger) -> None:
        try:
            raise error
        except BaseException:
            log.exception("failed")

    text = written(act)["exception"]
    assert isinstance(text, str)
    return text


def raised(error: BaseException, log: Callable[[], object]) -> None:
    try:
        raise error
    except BaseException:
        log()


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
