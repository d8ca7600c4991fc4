"""What may be shown of a value, in a log or elsewhere: judged by its name, its look and its origin.

When in doubt it is hidden; `logger` states the rules.
"""

import builtins
import json
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
from typing import Any, Literal
from urllib.parse import quote, quote_plus
from uuid import UUID

from structlog.typing import EventDict, WrappedLogger

from campaigns.domain.errors import CampaignError
from campaigns.domain.phone import mask

HIDDEN = "[hidden]"
_DEEPEST = 8
_MOST_ITEMS = 100  # of a list that are logged
_MOST_CHARACTERS = 10_000  # of a text that are logged
_MOST_CAUSES = 10  # of an error that are logged
_MOST_FRAMES = 40  # of a traceback that are logged
_SHORTEST_SECRET = 6  # hiding a shorter one would blot out ordinary words

# --- by its name -------------------------------------------------------------------------------------

_IDS = frozenset(
    {"campaign_id", "batch_id", "message_id", "message_ref", "provider_message_id", "task_id"}
) | {*("root_id", "parent_id", "lease", "pid", "process", "thread", "attempt", "port", "line")}
"""Names whose values are ids: long numbers there are no phones."""

_PHONE_NAMES = frozenset({"phone", "phones", "msisdn", "msisdns", "recipient", "recipients"})
_HIDDEN_NAMES = frozenset({"text", "texts", "body", "password", "passwd", "secret", "secrets", "token"}) | {
    *("tokens", "signature", "authorization", "cookie", "apikey")
}
_MEASURES = frozenset({"count", "seconds", "second", "bytes", "at", "length"})  # text_length is no text

_Kind = Literal["hidden", "phone", "id", ""]


@lru_cache(maxsize=1024)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


@lru_cache(maxsize=1024)
def kind_of(name: str) -> _Kind:
    """The kind of a value, by its name."""
    parts = _parts(name)
    joined = "_".join(parts)
    if joined in _IDS or joined.removesuffix("s") in _IDS:
        return "id"
    if not _HIDDEN_NAMES.isdisjoint(parts) or "api_key" in joined:
        return "hidden"
    return "" if _PHONE_NAMES.isdisjoint(parts) else "phone"


# --- by its look -------------------------------------------------------------------------------------

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
_CALLBACK = re.compile(r"(/callbacks/[a-z0-9_-]{1,200}/)[^\s/?#\"']+")  # what follows is a token
_QUERY = re.compile(r"\?[\w.\-\[\]%]+=\S*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):.*", re.DOTALL)
_EXCEPTION = re.compile(
    r"((?<=exception=)[\w.]{1,200}|\b(?:\w{1,60}\.){0,6}\w{0,60}(?:Error|Exception|ExceptionGroup|Warning))"
    r"(?:\(|: )",
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

_secret_forms: list[str] = []
"""Every secret `configure_logs` was told of, in each form it may take inside a line; longest first."""


def _scrub(text: str, *, is_id: bool = False) -> str:
    """`text` without secrets, phones, labelled texts, and users and queries of URLs."""
    for secret in _secret_forms:
        text = text.replace(secret, HIDDEN)
    text = _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
    text = _TRACEBACK.sub(f"Traceback {HIDDEN}", text)
    if "Error" in text or "xception" in text or "Warning" in text:
        text = _without_messages(text)
    text = _LABELLED.sub(rf"\1{HIDDEN}", text)
    text = _URL.sub(lambda found: found[1] + _without_user_and_query(found[2]), text)
    text = _CALLBACK.sub(rf"\1{HIDDEN}", text)
    text = _QUERY.sub("", text)
    if not (is_id and re.fullmatch(r"[\w.:/-]{1,128}", text)):
        text = _masked(text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… [cut]"


def _masked(text: str) -> str:
    return _KEPT_OR_PHONE.sub(lambda found: found["kept"] or mask(found[0]), text)


def _without_user_and_query(rest: str) -> str:
    """What may be shown of a URL after its ://. A bare ? or # in a password makes the rest unreadable."""
    before, at, after = rest.rpartition("@")
    if "?" in before or "#" in before:
        return HIDDEN
    return ("***@" if at else "") + re.split(r"[?#]", after, maxsplit=1)[0]


# --- by its origin -----------------------------------------------------------------------------------

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
        "redis.exceptions.ResponseError",
    }
)
"""Exceptions whose message holds no text of ours; those of libraries by name, so that none is imported."""


def _speaks(kind: type[BaseException]) -> bool:
    names = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    return issubclass(kind, _SPEAKING) or not _SPEAKING_ELSEWHERE.isdisjoint(names)


_SPEAKING_NAME = re.compile(
    r"(?:redis|kombu)\.exceptions\.(?!InvalidResponse|DataError|DecodeError|EncodeError|SerializationError)\w+"
)
_COMMAND = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_ARGUMENTS = re.compile(r",? with args beginning with: .*", re.DOTALL)


def _server_message(text: str) -> str:
    """What Redis answered, without the command that Redis and redis-py repeat: it may hold a task."""
    return _ARGUMENTS.sub("", _COMMAND.sub("", text))


def _without_messages(text: str) -> str:
    """`text` up to the first exception in it whose message may hold data: "ValueError('…')"."""
    if "redis.exceptions." in text:
        text = _server_message(text)
    at = 0
    while (found := _EXCEPTION.search(text, at)) is not None:
        kind = getattr(builtins, found[1], None)
        speaks = isinstance(kind, type) and issubclass(kind, _SPEAKING)
        if not speaks and not _SPEAKING_NAME.fullmatch(found[1]):
            return f"{text[: found.end()]}{HIDDEN}"
        at = found.end()
    return text


def _exception(error: BaseException) -> str:
    """The name of `error`, and its message if exceptions of its kind never hold data."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if not isinstance(error, CampaignError) and not _speaks(kind):
        return f"{name}: {HIDDEN}" if error.args else name
    message = _scrub(_server_message(_as_text(error, str)))
    code = getattr(error, "status_code", None)  # redis-py takes it off: READONLY, OOM, NOAUTH
    if name.startswith("redis.") and code not in (None, "", "ERR"):
        message = f"{code} {message}"
    if not isinstance(error, CampaignError):
        message = message.partition("\nDETAIL:")[0]  # PostgreSQL repeats the whole row there
    if not isinstance(error, CampaignError) and not name.startswith("redis."):  # whose words are plain: can't
        message = _QUOTED.sub(lambda found: HIDDEN if re.search(r"\s", found[0]) else found[0], message)
    return f"{name}: {message}" if message else name


def _with_traceback(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    """`error` as Python prints it, causes first: lines of code, no local variables, masked messages."""
    chain = [(error, "")]
    while len(chain) < _MOST_CAUSES:
        last = chain[-1][0]
        is_cause = last.__cause__ is not None or last.__suppress_context__
        before = last.__cause__ if is_cause else last.__context__
        if before is None or any(before is one for one, _ in chain):
            break
        chain.append((before, "Which directly caused:" if is_cause else "While that was handled:"))
    for one, then in reversed(chain):
        frames = trace if one is error else one.__traceback__
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
    """Text made here that is masked already."""

    __slots__ = ()


def render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A processor: an exception as its name, its lines of code, and its message if that may be shown."""
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


def shown(value: object, kind: _Kind = "", depth: int = 0) -> object:
    """`value` as plain data that is safe to show, given what its name says."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | _Rendered):
        return value
    if kind == "hidden":
        return HIDDEN
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
            return shown_mapping(value, kind, depth)
        items = [shown(item, kind, depth + 1) for item in islice(value, _MOST_ITEMS)]
    except Exception as error:  # another thread may be changing it
        return _unwritable(value, error)
    return [*items, f"… {len(value)} in all"] if len(value) > _MOST_ITEMS else items


def shown_mapping(values: Mapping[Any, object], kind: _Kind = "", depth: int = 0) -> dict[str, object]:
    """`values` as `shown` shows each, by its name."""
    result: dict[str, object] = {}
    for name, value in islice(values.items(), _MOST_ITEMS):
        text = name if isinstance(name, str) else _as_text(name, str)
        plain = _scrub(text)
        while plain in result:  # two phones may look alike once masked
            plain += "'"
        is_measure = _parts(text)[-1] in _MEASURES
        if is_measure and isinstance(value, int | float | Decimal):
            result[plain] = _finite(value)
        else:
            result[plain] = shown(value, kind_of(text) or kind, depth + 1)
    if len(values) > _MOST_ITEMS:
        result["…"] = f"{len(values)} in all"
    return result


def shown_sentence(value: object) -> str:
    """`value` as one line of text that is safe to show."""
    plain = shown(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def remember_secrets(secrets: Iterable[str]) -> None:
    """Hide these wherever they appear, in every form they may take. Adds to those of earlier calls."""
    forms = {*_secret_forms}
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            escaped = {repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]}
            escaped.add(repr(secret.encode(errors="replace"))[2:-1])
            encoded = {quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
            forms |= {secret} | escaped | encoded
    _secret_forms[:] = sorted(forms, key=len, reverse=True)
