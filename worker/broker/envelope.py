"""Checks each message of a queue before Celery sees it: gives a task that we accept, or why we do not.

Celery and kombu end the worker on a message that they do not expect: a body of two parts, `null`, an unknown
encoding, a number instead of a name. Then the next worker takes it and ends as well. Anybody who can write to
Redis may write such a message by hand. So every message is checked here, by rules of our own. A submission is
written anew as Celery writes it, so that no header of a stranger is obeyed or logged.
"""

import base64
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from kombu.utils.json import dumps, loads

from campaigns.domain.tracing import TRACE_HEADER, trace_parent
from worker.queues import (
    DELIVER_WEBHOOKS,
    MERGE_RECEIPTS,
    POLL_BATCHES,
    PROBE_ACCOUNT,
    QUEUE_OF,
    SEND_BATCHES,
    SUBMIT,
    TICK,
)

MOST_BYTES = 16 * 2**20
"""Of a task's body, uncompressed. It is JSON: in memory a byte of it becomes up to twenty."""
MOST_RECIPIENTS = 100_000
"""Of one task, as of one list in `campaigns.submission`: more go in several tasks, or as a file by `campaigns
submit`, which reads it as a stream."""
_MOST_RAW_BYTES = 2 * MOST_BYTES  # base64 and headers beside it
_MOST_ID_CHARACTERS = 150  # it becomes a submission key
_MOST_LZMA_BYTES = 128 * 2**20  # of memory to unpack one body

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not a task of ours: a sentence without anything of its body. `task` and `task_id` are
    set if they can be read and may be logged.
    """

    reason: str
    task: str = ""
    task_id: str = ""


class _Refused(Exception):
    """Why, from within."""


def examined(raw: bytes, queue: str) -> bytes | Refusal:
    """The message in the form that Celery may have, or why it may not have it.

    Takes it as it was in `queue`. Adds what a submission may lack: an id, and the queue to return to. Never
    raises, whatever it holds.
    """
    headers: Mapping[str, Any] = {}
    try:
        if len(raw) > _MOST_RAW_BYTES:
            raise _Refused(_too_long(len(raw)))
        envelope = _object(_json(raw), "it")
        headers = _object(envelope.get("headers") or {}, "its headers")
        properties = _object(envelope.get("properties") or {}, "its properties")
        body = _body(envelope, headers, properties)
        task, task_id, args, kwargs, extras = _parts(headers, body)
        if task not in QUEUE_OF:
            raise _Refused("no task of ours has its name: it was meant for another program's queue")
        if task == SUBMIT:
            _check_recipients(args, kwargs)
            is_as_it_was = "task" in headers and not extras and "compression" not in headers
            kept = envelope["body"] if is_as_it_was and properties.get("body_encoding") == "base64" else None
            return _as_celery_writes_it(task_id, headers, args, kwargs, kept, queue)
        _check_own(task, headers, properties, args, kwargs, extras, queue)
    except _Refused as error:
        return Refusal(str(error), _fit(headers.get("task")), _fit(headers.get("id")))
    return raw


def _too_long(size: int) -> str:
    return (
        f"it has {size} bytes, and a task may have {MOST_BYTES}: give the recipients in several tasks, or as "
        "a file by `campaigns submit`"
    )


def _fit(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _json(data: bytes | str) -> Any:
    try:
        return loads(data)
    except RecursionError:
        raise _Refused("it is nested too deeply") from None
    except (ValueError, TypeError, AttributeError, ArithmeticError):  # also what kombu's own types raise
        raise _Refused("it is not JSON") from None


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Refused(f"{what} is no JSON object" if what == "it" else f"{what} are no JSON object")
    return value


# --- the body ----------------------------------------------------------------------------------------


def _body(envelope: Mapping[str, Any], headers: Mapping[str, Any], properties: Mapping[str, Any]) -> Any:
    kind = envelope.get("content-type")
    if kind != "application/json":
        is_fit = isinstance(kind, str) and re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,60}", kind)
        said = kind if is_fit else "nothing"
        raise _Refused(f"it must be application/json and says {said}: set task_serializer to json")
    encoding = envelope.get("content-encoding") or "utf-8"
    if encoding not in ("utf-8", "UTF-8", "utf8", "us-ascii", "ascii", "binary"):
        raise _Refused("its content-encoding must be utf-8")
    body = envelope.get("body")
    if not isinstance(body, str) or not body:
        raise _Refused("it has no body")
    match properties.get("body_encoding"):
        case "base64":
            try:
                data = base64.b64decode(body)
            except ValueError:
                raise _Refused("its body is not base64, as its body_encoding says") from None
        case None:
            data = body.encode("utf-8", "surrogatepass")
        case _:
            raise _Refused("its body_encoding must be base64")
    data = _inflated(data, headers.get("compression"))
    if len(data) > MOST_BYTES:
        raise _Refused(_too_long(len(data)))
    return _json(data)


def _inflated(data: bytes, compression: object) -> bytes:
    """`data` uncompressed: never more than one byte above the limit, however well it was compressed."""
    if not compression:
        return data
    inflate: Callable[[bytes, int], bytes]
    match compression:
        case "application/x-gzip" | "gzip" | "zlib":
            inflate = zlib.decompressobj().decompress
        case "application/x-bz2" | "bzip2" | "bzip":
            inflate = bz2.BZ2Decompressor().decompress
        case "application/x-lzma" | "lzma" | "xz":
            inflate = lzma.LZMADecompressor(memlimit=_MOST_LZMA_BYTES).decompress
        case _:
            raise _Refused("it is compressed in a way that is not taken: use gzip, bzip2 or lzma")
    try:
        inflated = inflate(data, MOST_BYTES + 1)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError):
        raise _Refused("it is not compressed as it says") from None
    if len(inflated) > MOST_BYTES:
        raise _Refused(
            f"uncompressed it has more than {MOST_BYTES} bytes: give the recipients in several tasks"
        )
    return inflated


# --- the task ----------------------------------------------------------------------------------------

_Parts = tuple[str, str, list[Any], dict[str, Any], bool]


def _parts(headers: Mapping[str, Any], body: Any) -> _Parts:
    """Name, id, arguments, and whether it asks for more (callbacks, a chain, a chord). Reads both of Celery's
    message protocols.
    """
    if "task" in headers:
        about = headers
        if not isinstance(body, list) or len(body) != 3:
            raise _Refused("its body is not [args, kwargs, {…}], three parts")
        args, kwargs, extras = body
    else:
        about = body if isinstance(body, dict) else {}
        if "task" not in about:
            raise _Refused("it names no task")
        args, kwargs, extras = about.get("args", []), about.get("kwargs", {}), {}
    if not isinstance(args, list):
        raise _Refused("its args are no list")
    if not isinstance(kwargs, dict):
        raise _Refused("its kwargs are no JSON object")
    if extras is not None and not isinstance(extras, dict):
        raise _Refused("the third part of its body is no JSON object")
    task, task_id = about["task"], about.get("id")
    if not isinstance(task, str):
        raise _Refused("its task is no name")
    if task_id is None or task_id == "":
        task_id = str(uuid4())
    elif isinstance(task_id, int) and not isinstance(task_id, bool) and task_id.bit_length() <= 64:
        task_id = str(task_id)
    if not isinstance(task_id, str) or len(task_id) > _MOST_ID_CHARACTERS:
        raise _Refused(f"its id is no text of at most {_MOST_ID_CHARACTERS} characters")
    return task, task_id, args, kwargs, any((extras or {}).values())


def _check_recipients(args: list[Any], kwargs: dict[str, Any]) -> None:
    recipients = kwargs.get("recipients", args[2] if len(args) > 2 else ())
    if isinstance(recipients, list) and len(recipients) > MOST_RECIPIENTS:
        raise _Refused(
            f"it has {len(recipients)} recipients, and a task may have {MOST_RECIPIENTS}: give them in "
            "several tasks, or as a file by `campaigns submit`"
        )


def _moment(headers: Mapping[str, Any], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Refused(f"its {name} is no time in ISO 8601") from None
    if not 1970 < moment.year < 9990:
        raise _Refused(f"its {name} is no time anybody meant")
    return moment.isoformat()


def _as_celery_writes_it(
    task_id: str,
    headers: Mapping[str, Any],
    args: list[Any],
    kwargs: dict[str, Any],
    kept: str | None,
    queue: str,
) -> bytes:
    """A submission without its sender's headers, except for the times when it is to run and the span that
    asks for it. `kept`: its encoded body, if it can be used unchanged.
    """
    if kept is None:
        try:
            kept = base64.b64encode(dumps([args, kwargs, {}]).encode()).decode()
        except (TypeError, ValueError):
            raise _Refused("it holds more than JSON knows") from None
    return dumps(
        {
            "body": kept,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {
                "lang": "py",
                "task": SUBMIT,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "eta": _moment(headers, "eta"),
                "expires": _moment(headers, "expires"),
                "retries": 0,
                "timelimit": [None, None],
                "argsrepr": "",
                "kwargsrepr": "",
                "redelivered": headers.get("redelivered") is True,
                TRACE_HEADER: trace_parent(headers.get(TRACE_HEADER)),
            },
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    ).encode()


def _check_own(
    task: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    args: list[Any],
    kwargs: dict[str, Any],
    extras: bool,
    queue: str,
) -> None:
    """Refuse a task that only our own programs make unless it looks exactly as they make it."""
    info = properties.get("delivery_info")
    is_ours = (
        "task" in headers
        and isinstance(headers.get("id"), str)
        and isinstance(properties.get("delivery_tag"), str)
        and isinstance(info, dict)
        and (info.get("exchange"), info.get("routing_key")) == ("", queue)
        and headers.get("timelimit") in (None, [None, None])
        and not any(headers.get(name) for name in ("eta", "expires", "stamped_headers", "compression"))
        and not extras
    )
    if not is_ours:
        raise _Refused("only our own programs make such a task, and they make it otherwise")
    if kwargs or not _ARGUMENTS[task](args):
        raise _Refused("its arguments are not those of such a task")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _are_batches(args: list[Any]) -> bool:
    return (
        len(args) == 1
        and isinstance(args[0], list)
        and all(isinstance(each, list) and len(each) == 2 and all(map(_is_number, each)) for each in args[0])
    )


_ARGUMENTS: Mapping[str, Callable[[list[Any]], bool]] = {
    TICK: lambda args: args == [],
    MERGE_RECEIPTS: lambda args: args == [],
    DELIVER_WEBHOOKS: lambda args: args == [],
    SEND_BATCHES: _are_batches,
    POLL_BATCHES: _are_batches,
    PROBE_ACCOUNT: lambda args: len(args) == 1 and isinstance(args[0], str),
}
