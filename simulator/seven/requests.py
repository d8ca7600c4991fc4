"""What a request to seven.io holds: its fields, its key and signature, what is to be sent. Decided strictly,
as `endpoints.py` says. Knows nothing of what was sent before.
"""

import json
import re
import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from simulator.faults import ClockFault, Drawn, Endpoint
from simulator.options import Options
from simulator.reading import Refused, Unreadable, same
from simulator.seven import answers
from simulator.seven.answers import Order

_LEGACY = frozenset({"json", "return_msg_id", "details", "debug", "no_reload", "unicode", "utf8"})
_OPTIONS = frozenset({"delay", "ttl", "flash", "udh", "label", "foreign_id", "performance_tracking"})
_ACCESS = frozenset({"p", "u"})  # the key as a field, as clients of sms77's time send it (sms77api)
FIELDS: Final[Mapping[Endpoint, frozenset[str]]] = {
    "send": frozenset({"to", "text", "from"}) | _OPTIONS | _LEGACY | _ACCESS,
    "status": frozenset({"msg_id", "json"}) | _ACCESS,
    "balance": frozenset({"json"}) | _ACCESS,
    "pricing": frozenset({"country", "format", "json"}) | _ACCESS,
    "journal": frozenset({"id", "date_from", "date_to", "state", "to", "limit", "offset", "type"}) | _ACCESS,
    "hooks": frozenset({"action", "id", "target_url", "event_type", "request_method", "headers"})
    | {"event_filter", *_ACCESS},
    "delete": frozenset({"ids"}) | _ACCESS,
}
"""The fields each endpoint knows."""

NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})", re.ASCII)
"""A number, its digits in the group."""

DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)

_UNIX = re.compile(r"[0-9]{1,14}", re.ASCII)
_MILLISECONDS_FROM = 10**11  # a number above this counts milliseconds
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_JS_MOMENT = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2} [0-9]{2} [0-9]{4}) [0-9:]{8} GMT", re.ASCII)
_SIGNATURE_SECONDS = 30
_SIGNATURE_HEADERS = ("X-Timestamp", "X-Nonce", "X-Signature")
_MOST_CHARACTERS = 1520
_SENDER = re.compile(r"[A-Za-z0-9 ._&-]{1,11}|\+?[0-9]{1,16}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9.\-_@]{1,64}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9.\-_@]{1,100}", re.ASCII)


def read_fields(request: web.Request, body: bytes) -> dict[str, str]:
    """The fields of a request: its query, or its body as a form or as JSON. Raises Unreadable."""
    _, _, raw = request.raw_path.partition("?")
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
        if body and request.content_type == "application/json":
            document = json.loads(body, object_pairs_hook=list)
            if not isinstance(document, list) or not all(isinstance(pair, tuple) for pair in document):
                raise Unreadable("JSON comes as one object")
            for name, value in document:
                several = value if name == "ids" and isinstance(value, list) else None
                pairs += (
                    [("ids[]", _text_of(each)) for each in several] if several else [(name, _text_of(value))]
                )
        elif body and request.content_type == "application/x-www-form-urlencoded":
            pairs += parse_qsl(
                body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
            )
        elif body:
            raise Unreadable("a body is a form or JSON", 415)
        for _, value in pairs:
            value.encode()  # JSON may spell half of a pair, which is no text
    except ValueError:  # those of Unicode are; their message would quote what was sent
        raise Unreadable("the request cannot be decoded") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith("ids["):  # a list, as PHP writes it
            fields["ids"] = f"{fields['ids']},{value}" if "ids" in fields else value
        elif name in fields:
            raise Unreadable("a field is given twice")
        else:
            fields[name] = value
    return fields


def _text_of(value: object) -> str:
    if value is None:  # Symfony's sender, where there is none
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int):
        return str(value)
    raise Unreadable("a value is text, a number or a boolean")


def is_on(fields: Mapping[str, str], name: str) -> bool:
    """Whether a switch is set."""
    return fields.get(name, "").lower() in ("1", "true")


def check_access(
    request: web.Request, body: bytes, fields: Mapping[str, str], options: Options, drawn: Drawn
) -> None:
    """The key, then the signature where one is given. Raises Refused."""
    keys = request.headers.getall("X-Api-Key", [])
    for given in request.headers.getall("Authorization", []):
        scheme, _, key = given.partition(" ")
        keys.append(key if scheme.lower() in ("basic", "bearer") else "")
    if "p" in fields:
        keys.append(fields["p"])
    if not keys:
        raise Refused("300")
    if any(not same(key, options.api_key) for key in keys):
        raise Refused("900")
    timestamp, nonce, signature = (request.headers.get(name, "") for name in _SIGNATURE_HEADERS)
    if not (timestamp or nonce or signature):
        return
    clock = drawn.get(ClockFault)
    now = time.time() + (clock.offset_seconds if clock else 0.0)
    url = f"{request.scheme}://{request.host}{request.raw_path}"
    expected = answers.sign(timestamp, nonce, request.method, url, body, options.signing_key)
    if (
        not options.signing_key
        or not DIGITS.fullmatch(timestamp)
        or abs(now - int(timestamp)) > _SIGNATURE_SECONDS
        or not 1 <= len(nonce) <= 32
        or not same(signature, expected)
    ):
        raise Refused("901")


def read_order(
    fields: Mapping[str, str], options: Options, *, wants_json: bool
) -> tuple[Order, list[str], float | None]:
    """What is to be sent, to whom, and when its life begins (None: now). Raises Refused, Unreadable."""
    recipients = fields.get("to", "").split(",")
    text, sender, label = fields.get("text", ""), fields.get("from", ""), fields.get("label") or None
    foreign_id = fields.get("foreign_id") or None
    folded = text.casefold()
    for is_wrong, code in (
        (not all(recipients), "301"),
        (not text or any(each.casefold() in folded for each in options.forbidden_words), "305"),
        (len(text) > _MOST_CHARACTERS, "401"),
        (sender and not _SENDER.fullmatch(sender), "201"),
        (label and not _LABEL.fullmatch(label), "802"),
        (foreign_id and not _REFERENCE.fullmatch(foreign_id), "308"),
        (not DIGITS.fullmatch(fields.get("ttl") or "0"), "308"),
    ):
        if is_wrong:
            raise Refused(code)
    if len(recipients) > options.max_recipients:
        raise Unreadable("there are too many numbers in one request", 413)
    order = Order(
        text,
        sender,
        label,
        foreign_id,
        wants_json,
        return_ids=is_on(fields, "return_msg_id"),
        details=is_on(fields, "details"),
        is_debug=is_on(fields, "debug"),
    )
    return order, recipients, _moment(fields.get("delay", ""))


def _moment(delay: str) -> float | None:
    """UNIX seconds or milliseconds (JS), ISO 8601, or a date without zone, which is Berlin's; its seconds may
    be missing (PHP).
    """
    if not delay:
        return None
    if _UNIX.fullmatch(delay):
        number = float(delay)
        return number / 1000 if number > _MILLISECONDS_FROM else number
    try:
        moment = datetime.fromisoformat(delay)
        zoned = moment.replace(tzinfo=answers.zone()) if moment.tzinfo is None else moment
        return zoned.timestamp()
    except (ValueError, OverflowError):
        raise Refused("308") from None


def read_day(said: str | None, otherwise: date) -> date:
    """A day of the journal's range; `otherwise` where none is given. Raises Refused.

    The JavaScript client writes `undefined` where it was given none, and a moment as its language shows it.
    """
    if not said or said == "undefined":
        return otherwise
    try:
        if _DAY.fullmatch(said):
            return date.fromisoformat(said)
        as_shown = _JS_MOMENT.match(said)
        if as_shown is None:
            raise ValueError
        return datetime.strptime(as_shown[1], "%b %d %Y").replace(tzinfo=answers.zone()).date()
    except ValueError:
        raise Refused("308") from None
