"""Sets up logging for everything in the process: our own records, Celery's, aiohttp's, asyncpg's, alembic's.

Every record, from structlog or from the standard library, passes `_protect`, which judges each value

* by its name: phones keep their last 3 digits; texts, keys and passwords are not shown;
* by its look: anything with 7 or more digits is taken for a phone; a URL loses its user and its query;
  `text=…`, `"api_key": "…"` and the like inside a longer string lose what follows;
* by its value: the secrets given to `configure_logs` are hidden wherever they appear;
* by its origin: only exceptions about connections or code show their message. That of a ValueError or
  KeyError may hold a text: its name and its lines of code are shown. Local variables never are.

A message text inside a sentence of our own cannot be recognised (`log.info(f"sent {text}")`). So events are
fixed sentences, and everything that varies is a named value.
"""

import copy
import logging
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.logs.masking import (
    HIDDEN,
    kind_of,
    remember_secrets,
    render_exception,
    shown,
    shown_mapping,
    shown_sentence,
)

# --- one record --------------------------------------------------------------------------------------

# What Celery fills into its sentences: already text, with anybody's values in it.
_CELERYS_OWN = frozenset({"exc", "traceback", "args", "kwargs", "return_value"})


def _formatted(template: object, arguments: object, *, is_celerys: bool = False) -> str:
    """`template % arguments`, as callers of the standard library and of structlog write it. Never raises."""
    sentence = template if isinstance(template, str) else shown_sentence(template)
    if not arguments:
        return sentence
    given: object
    if isinstance(arguments, Mapping):
        given = {
            name: _celerys(name, value)
            if is_celerys and name in _CELERYS_OWN
            else _argument(value, str(name))
            for name, value in arguments.items()
        }
    elif isinstance(arguments, tuple):
        given = tuple(_argument(value) for value in arguments)
    else:
        given = (_argument(arguments),)
    try:
        return sentence % given
    except Exception as error:  # a wrong format must not lose the record
        return f"{sentence} (its arguments do not fit: {type(error).__name__})"


def _argument(value: object, name: str = "") -> object:
    """Numbers stay numbers, for %d; the finished sentence is masked once more."""
    if isinstance(value, int | float | Decimal) and not kind_of(name):
        return value
    return value if isinstance(value, str) and not kind_of(name) else shown(value, kind_of(name))


def _celerys(name: object, value: object) -> str:
    """Celery writes an exception's repr into its sentence; the exception itself comes with the record."""
    return str(value).partition("(")[0] if name == "exc" else HIDDEN


def _format_positional(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    arguments = event.pop("positional_args", ())
    if len(arguments) == 1 and isinstance(arguments[0], Mapping) and arguments[0]:
        arguments = arguments[0]
    event["event"] = _formatted(event.get("event", ""), arguments)
    return event


def _protect(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The processor that masks every record. Only values of our own are added after it."""
    own = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    sentence = shown_sentence(event.pop("event", ""))
    return {"event": sentence, **shown_mapping(event), **own}


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    first = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event") if name in event}
    last = {name: event.pop(name) for name in ("exception",) if name in event}
    return {**first, **event, **last}


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    render_exception,
    _protect,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        if not hasattr(record, "_name"):  # set by structlog on its own records
            record = copy.copy(record)
            is_celerys = record.name.partition(".")[0] == "celery"
            record.msg = _formatted(record.msg, record.args, is_celerys=is_celerys)
            record.args = ()
            record.stack_info = None  # nobody of those we log uses it
        return super().format(record)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the standard library's name
        """Replaces the standard method, which would print the record's message and arguments unmasked."""
        error = sys.exc_info()[0]
        try:
            sys.stderr.write(f"A line of the log was lost: {error.__name__ if error else 'no reason'}\n")
        except (OSError, ValueError, AttributeError):
            return  # standard error is gone as well: there is nobody left to tell


# --- set up ------------------------------------------------------------------------------------------

_QUIET = ("kombu", "aiohttp.access", "asyncio", "celery.beat", "celery.pool")
# beat: a line for every tick; pool: a task's whole message, at debug
_QUIET_BUT_FOR_DEBUGGING = ("celery.worker.strategy", "celery.app.trace")  # two lines for every task


def configure_logs(
    format: Literal["json", "console", "auto"] = "auto",  # noqa: A002  the settings' own word
    level: str = "info",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log record of this process through the same processors.

    Takes the settings' `log_format` (auto: console on a terminal, else JSON, one object a line) and
    `log_level`; `secrets` to hide wherever they appear (added to those of earlier calls); the stream, by
    default standard error. May be called again at any time, also by Celery's `setup_logging` signal: the
    last call holds and nothing is printed twice. Raises ValueError for a level that does not exist.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError("the log level must be debug, info, warning, error or critical")
    remember_secrets(secrets)
    _configure_structlog()
    target = sys.stderr if stream is None else stream
    on_terminal = target.isatty()
    renderers: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=on_terminal,
                sort_keys=False,
                exception_formatter=structlog.dev.plain_traceback,  # rich would show local variables
            )
        ]
        if format == "console" or (format == "auto" and on_terminal)
        else [_in_order, structlog.processors.JSONRenderer()]
    )
    handler = _Handler(target)
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=_COMMON,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    for other in root.handlers[:]:
        if isinstance(other, _Handler) or _prints(other):
            root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    for name in _QUIET_BUT_FOR_DEBUGGING:
        is_debugging = number <= logging.DEBUG
        logging.getLogger(name).setLevel(logging.NOTSET if is_debugging else max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of that name. Events are fixed sentences, everything that varies is a named value:
    `log.info("batch handed over", batch_id=…, accepted_count=…)`. Before `configure_logs` only warnings and
    worse are printed, masked already.
    """
    if not structlog.is_configured():
        _configure_structlog()
    return structlog.stdlib.get_logger(name)


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _format_positional,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _prints(handler: logging.Handler) -> bool:
    """Whether `handler` would print the same records a second time, unprotected."""
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and any(handler.stream is one for one in standard)
