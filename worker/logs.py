"""One way out for everything that is logged: ours, Celery's, aiohttp's, asyncpg's, alembic's.

Every record, from structlog or from the standard library, passes `_protect` on its way, which works by
what can be known of a value:

* by the name it goes under: phones keep their last 3 digits; texts, keys and passwords are not shown;
* by its look: anything with 7 digits and more is taken for a phone, a URL loses its user and its query,
  `text=…`, `"api_key": "…"` and the like inside a longer string lose what follows;
* by its value: the secrets `configure_logs` was told of are hidden wherever they appear;
* by its origin: of an exception only kinds that speak of connections or of code show their words. A
  ValueError or KeyError holds whatever did not fit, which may be a text; its name and its lines of code
  are shown, local variables never are.

What cannot be known is a message text alone in a sentence of our own (`log.info(f"sent {text}")`). So
events are fixed words, and all that varies goes into named values.
"""

import builtins
import copy
import json
import logging
import math
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from campaigns.domain.errors import CampaignError
from campaigns.domain.phone import mask

_HIDDEN = "[hidden]"
_DEEPEST = 8
_MOST_ITEMS = 100
_MOST_CHARACTERS = 10_000
_MOST_CAUSES = 10
_MOST_FRAMES = 40
_SHORTEST_SECRET = 6  # hiding a shorter one would blot out ordinary words

# --- what a name says --------------------------------------------------------------------------------

_IDS = frozenset(
    {"campaign_id", "batch_id", "message_id", "message_ref", "provider_message_id", "task_id"}
) | {*("root_id", "parent_id", "lease", "pid", "process", "thread", "attempt", "port", "line")}
"""Names whose values are ids: long numbers there are no phones."""

_PHONE_WORDS = frozenset({"phone", "phones", "msisdn", "msisdns", "recipient", "recipients"})
_HIDDEN_WORDS = frozenset({"text", "texts", "body", "password", "passwd", "secret", "secrets", "token"}) | {
    *("tokens", "signature", "authorization", "cookie", "apikey")
}
_MEASURES = frozenset({"count", "seconds", "second", "bytes", "at", "length"})  # text_length is no text

_Kind = Literal["hidden", "phone", "id", ""]


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, ...]:
    return tuple(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


@lru_cache(maxsize=1024)
def _kind(name: str) -> _Kind:
    words = _words(name)
    joined = "_".join(words)
    if joined in _IDS or joined.removesuffix("s") in _IDS:
        return "id"
    if not _HIDDEN_WORDS.isdisjoint(words) or "api_key" in joined:
        return "hidden"
    return "" if _PHONE_WORDS.isdisjoint(words) else "phone"


# --- what a look says --------------------------------------------------------------------------------

# What may stand between the digits of a phone, bare, in a repr and in a URL.
_GROUPED = r"(?:[ \t\u00a0\u2009\u202f()\-]|\\t|\\x(?:c2\\x)?a0|\\u(?:00a0|2009|202f)|%20|%C2%A0)"
_KEPT_OR_PHONE = re.compile(
    r"(?P<kept>"
    r"(?<![0-9a-fA-F-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F-])"  # a UUID
    r"|(?:19|20)\d\d-[01]\d-[0-3]\d"  # a date, perhaps with its time
    r"(?:[T ][0-2]\d:[0-5]\d(?::[0-6]\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?(?![\d-])"
    rf")|\+?\d(?:{_GROUPED}{{0,2}}\d){{6,}}"
)
_LABELLED = re.compile(
    r"(?<![A-Za-z0-9])"
    r"((?:(?:message[_-]?)?texts?|body|api[_-]?key|password|passwd|secret|token|signature|authorization|cookie)"
    r"\\*[\"']?\s*[=:]\s*)"
    r"(?!//)(?:\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|.+)",
    re.IGNORECASE | re.DOTALL,
)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,19}://)(\S*)")
_QUERY = re.compile(r"\?[\w.\-\[\]%]+=\S*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):.*", re.DOTALL)
_EXCEPTION = re.compile(
    r"((?<=exception=)[\w.]{1,200}|\b(?:\w{1,60}\.){0,6}\w{0,60}(?:Error|Exception|ExceptionGroup|Warning))"
    r"(\(|: ).*",
    re.DOTALL,
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

_secret_forms: list[str] = []
"""Every secret `configure_logs` was told of, in each form it may take inside a line; longest first."""


def _scrub(text: str, *, is_id: bool = False) -> str:
    """`text` without secrets, phones, labelled texts, and users and queries of URLs."""
    for secret in _secret_forms:
        text = text.replace(secret, _HIDDEN)
    text = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
    text = _TRACEBACK.sub(f"Traceback {_HIDDEN}", text)
    if "Error" in text or "xception" in text or "Warning" in text:
        text = _EXCEPTION.sub(_without_words, text)
    text = _LABELLED.sub(rf"\1{_HIDDEN}", text)
    text = _URL.sub(lambda found: found[1] + _place(found[2]), text)
    text = _QUERY.sub("", text)
    if not (is_id and re.fullmatch(r"[\w.:/-]{1,128}", text)):
        text = _masked(text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… [cut]"


def _masked(text: str) -> str:
    return _KEPT_OR_PHONE.sub(lambda found: found["kept"] or mask(found[0]), text)


def _place(rest: str) -> str:
    """What may be shown of a URL after its ://. A bare ? or # in a password makes the rest unreadable."""
    before, at, after = rest.rpartition("@")
    if "?" in before or "#" in before:
        return _HIDDEN
    return ("***@" if at else "") + re.split(r"[?#]", after, maxsplit=1)[0]


# --- what an origin says -----------------------------------------------------------------------------

_SPEAKING = (
    *(OSError, EOFError),  # files and connections: paths, hosts, error numbers
    *(TypeError, AttributeError, NameError, ImportError, NotImplementedError),  # code: what is called how
    *(ArithmeticError, MemoryError, RecursionError),
    *(DeprecationWarning, PendingDeprecationWarning, ResourceWarning, RuntimeWarning),
)
_SPEAKING_ELSEWHERE = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "asyncpg.exceptions._base.InterfaceError",
        "asyncpg.exceptions._base.PostgresMessage",
        "kombu.exceptions.OperationalError",
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
    }
)
"""Kinds of exception whose words hold no message text; those of libraries by name, not to import them."""


def _speaks(kind: type[BaseException]) -> bool:
    names = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    return issubclass(kind, _SPEAKING) or not _SPEAKING_ELSEWHERE.isdisjoint(names)


def _without_words(found: re.Match[str]) -> str:
    """An exception inside a longer string: "ValueError('…')", "KeyError: …"."""
    kind = getattr(builtins, found[1], None)
    if isinstance(kind, type) and issubclass(kind, _SPEAKING):
        return found[0]
    return f"{found[1]}{found[2]}{_HIDDEN}"


def _exception(error: BaseException) -> str:
    """The name of `error`, and its words where such an exception holds none of other people's."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if not isinstance(error, CampaignError) and not _speaks(kind):
        return f"{name}: {_HIDDEN}" if error.args else name
    words = _scrub(_as_text(error, str))
    if not isinstance(error, CampaignError):
        words = words.partition("\nDETAIL:")[0]  # PostgreSQL repeats the whole row there
        words = _QUOTED.sub(lambda found: _HIDDEN if re.search(r"\s", found[0]) else found[0], words)
    return f"{name}: {words}" if words else name


def _with_traceback(error: BaseException, place: TracebackType | None) -> Iterator[str]:
    """`error` as Python prints it, causes first; lines of code, no local variables, no other's words."""
    chain = [(error, "")]
    while len(chain) < _MOST_CAUSES:
        last = chain[-1][0]
        is_cause = last.__cause__ is not None or last.__suppress_context__
        before = last.__cause__ if is_cause else last.__context__
        if before is None or any(before is one for one, _ in chain):
            break
        chain.append((before, "Which directly caused:" if is_cause else "While that was handled:"))
    for one, then in reversed(chain):
        frames = place if one is error else one.__traceback__
        if frames is not None:
            yield "Traceback (most recent call last):"
            yield from (_masked(line).rstrip("\n") for line in traceback.format_tb(frames, -_MOST_FRAMES))
        yield _exception(one)
        if isinstance(one, BaseExceptionGroup):
            for part in one.exceptions[:_MOST_CAUSES]:
                yield textwrap.indent("\n".join(_with_traceback(part, part.__traceback__)), "  | ")
        if then:
            yield f"\n{then}\n"


class _Rendered(str):
    """Text made here, which is not to be looked through again."""

    __slots__ = ()


def _render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        event["exception"] = _Rendered("\n".join(_with_traceback(info[1], info[2])))
    return event


# --- one value ---------------------------------------------------------------------------------------

_SIMPLE = (UUID, PurePath, date, time)  # written by str as one expects; of anything else, repr


def _as_text(value: object, write: Callable[[object], str]) -> str:
    try:
        return write(value)
    except Exception as error:  # anybody's __str__ may fail, and no line of a log may stop what it tells of
        return _unwritable(value, error)


def _unwritable(value: object, error: Exception) -> str:
    return f"<{type(value).__name__} that cannot be written: {type(error).__name__}>"


def _shown(value: object, kind: _Kind = "", depth: int = 0) -> object:
    """`value` as plain data that is safe to show, given what its name says."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | _Rendered):
        return value
    if kind == "hidden":
        return _HIDDEN
    if isinstance(value, int | float | Decimal):
        return _number(value, kind)
    if isinstance(value, Mapping | Sequence | Set) and not isinstance(value, str | bytes | bytearray):
        return _container(value, kind, depth)
    return _text(value, kind)


def _text(value: object, kind: _Kind) -> str:
    if isinstance(value, BaseException):
        return _exception(value)
    text = value if isinstance(value, str) else _as_text(value, str if isinstance(value, _SIMPLE) else repr)
    return mask(text) if kind == "phone" else _scrub(text, is_id=kind == "id")


def _number(value: float | Decimal, kind: _Kind) -> object:
    text = _as_text(value, str)
    if kind == "phone":
        return mask(text)
    if text.startswith("<"):  # Python writes no integer above 4,300 digits, and JSON would not either
        return text
    return _finite(value) if kind == "id" or not re.search(r"\d{7}", text) else _scrub(text)


def _finite(value: float | Decimal) -> object:
    """JSON knows neither Decimal nor infinity."""
    is_plain = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else str(value)


def _container(
    value: Mapping[Any, object] | Sequence[object] | Set[object], kind: _Kind, depth: int
) -> object:
    if depth >= _DEEPEST:
        return "[too deep]"
    try:
        if isinstance(value, Mapping):
            return _mapping(value, kind, depth)
        items = [_shown(item, kind, depth + 1) for item in islice(value, _MOST_ITEMS)]
    except Exception as error:  # another thread may be changing it
        return _unwritable(value, error)
    return [*items, f"… {len(value)} in all"] if len(value) > _MOST_ITEMS else items


def _mapping(values: Mapping[Any, object], kind: _Kind = "", depth: int = 0) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, value in islice(values.items(), _MOST_ITEMS):
        text = name if isinstance(name, str) else _as_text(name, str)
        shown = _scrub(text)
        while shown in result:  # two phones may look alike once masked
            shown += "'"
        is_measure = _words(text)[-1] in _MEASURES
        if is_measure and isinstance(value, int | float | Decimal):
            result[shown] = _finite(value)
        else:
            result[shown] = _shown(value, _kind(text) or kind, depth + 1)
    if len(values) > _MOST_ITEMS:
        result["…"] = f"{len(values)} in all"
    return result


def _sentence(value: object) -> str:
    shown = _shown(value)
    return shown if isinstance(shown, str) else json.dumps(shown)


# --- one record --------------------------------------------------------------------------------------

# What Celery fills into its sentences: already text, with anybody's values in it.
_CELERYS_OWN = frozenset({"exc", "traceback", "args", "kwargs", "return_value"})


def _formatted(template: object, arguments: object, *, is_celerys: bool = False) -> str:
    """`template % arguments`, as callers of the standard library and of structlog write it. Never raises."""
    words = template if isinstance(template, str) else _sentence(template)
    if not arguments:
        return words
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
        return words % given
    except Exception as error:  # a wrong format must not stop what was being told
        return f"{words} (its arguments do not fit: {type(error).__name__})"


def _argument(value: object, name: str = "") -> object:
    """Numbers stay numbers, for %d; the finished sentence is looked through once more."""
    if isinstance(value, int | float | Decimal) and not _kind(name):
        return value
    return value if isinstance(value, str) and not _kind(name) else _shown(value, _kind(name))


def _celerys(name: object, value: object) -> str:
    """Celery writes an exception's repr into its sentence; the exception itself comes with the record."""
    return str(value).partition("(")[0] if name == "exc" else _HIDDEN


def _format_positional(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    arguments = event.pop("positional_args", ())
    if len(arguments) == 1 and isinstance(arguments[0], Mapping) and arguments[0]:
        arguments = arguments[0]
    event["event"] = _formatted(event.get("event", ""), arguments)
    return event


def _protect(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The one processor every record passes. What is added after it is our own."""
    own = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    sentence = _sentence(event.pop("event", ""))
    return {"event": sentence, **_mapping(event), **own}


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    first = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event") if name in event}
    last = {name: event.pop(name) for name in ("exception",) if name in event}
    return {**first, **event, **last}


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    _render_exception,
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
        """In place of the standard one, which prints the record's message and arguments as they are."""
        error = sys.exc_info()[0]
        try:
            sys.stderr.write(f"A line of the log was lost: {error.__name__ if error else 'no reason'}\n")
        except (OSError, ValueError, AttributeError):
            return  # standard error is gone as well: there is nobody left to tell


# --- set up ------------------------------------------------------------------------------------------

_QUIET = ("kombu", "aiohttp.access", "asyncio")
_QUIET_BUT_FOR_DEBUGGING = ("celery.worker.strategy", "celery.app.trace")  # two lines for every task


def configure_logs(
    format: Literal["json", "console", "auto"] = "auto",  # noqa: A002  the settings' own word
    level: str = "info",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log record of this process through the one set of processors.

    Takes the settings' `log_format` (auto: console on a terminal, else JSON, one object a line) and
    `log_level`; `secrets` to hide wherever they appear (added to those of earlier calls); the stream, by
    default standard error. May be called again at any time, also by Celery's `setup_logging` signal: the
    last call holds and nothing is printed twice. Raises ValueError for a level that does not exist.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError("the log level must be debug, info, warning, error or critical")
    _remember(secrets)
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
    """The logger of a module, for `__name__`. Events are fixed words, all that varies is a named value:
    `log.info("batch handed over", batch_id=…, accepted_count=…)`. Before `configure_logs` only warnings
    and worse are printed, protected already.
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


def _remember(secrets: Iterable[str]) -> None:
    forms = {*_secret_forms}
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            escaped = {repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]}
            escaped.add(repr(secret.encode(errors="replace"))[2:-1])
            encoded = {quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
            forms |= {secret} | escaped | encoded
    _secret_forms[:] = sorted(forms, key=len, reverse=True)
