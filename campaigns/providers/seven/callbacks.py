"""What seven.io calls us back with, read: signature and receipts. Pure: no wire, no clock.

One address serves a whole account. Three generations of callbacks are read: GET with a query (SEED), POST
with a form, flat or as `data[msg_id]` (OPENAPI hooks), and JSON (DOCS webhooks). Which of them comes is set
at seven.io; 4xx is final there, so what can be read is read, and what cannot be is no reason to refuse.

A replay is not refused: a receipt merges by rank, so a second one changes nothing, and remembering nonces
would be state in every process for no gain. What is too old is not believed (DOCS do not say whether a
repeated call is signed anew), but worth a question.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from campaigns.domain.provider import Callback, CallbackRefused, Receipt
from campaigns.providers.documents import field_of, is_message_id
from campaigns.providers.seven.access import signature
from campaigns.providers.seven.answers import load, moment_of, receipt_of
from campaigns.providers.seven.journal import whole_reference

MAX_AGE_SECONDS = 300
"""How far a signature's moment may be from ours, to either side (JS WebhookVerifier)."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[!-~]{1,32}")
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64}")
_MOST_FIELDS = 10_000  # of a form; more than the address takes
_MOST_NAMES = 12  # parameters that a log line names
_PATH = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")  # the parts of a name: data[0][msg_id], msg_id[]
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_0-9\[\]]{0,39}")
_EVENT = "webhook_event"
_RECEIPT = "dlr"


def is_stale(callback: Callback, signing_key: str) -> bool:
    """Check a callback's signature; gives whether it is too old (or too new) to be believed.

    Raises CallbackRefused (401) where the signature is missing or wrong.
    """
    headers = {name.lower(): value for name, value in callback.headers.items()}
    timestamp, nonce = headers.get("x-timestamp", ""), headers.get("x-nonce", "")
    given = headers.get("x-signature", "")
    if _TIMESTAMP.fullmatch(timestamp) and _NONCE.fullmatch(nonce) and _SIGNATURE.fullmatch(given):
        expected = signature(
            timestamp, nonce, callback.method.upper(), callback.url, callback.body, signing_key
        )
        if hmac.compare_digest(expected, given.lower()):
            return abs(callback.received_at.timestamp() - int(timestamp)) > MAX_AGE_SECONDS
    raise CallbackRefused(401, "the callback's signature is missing or wrong")


@dataclass(frozen=True, slots=True)
class Told:
    """What a callback tells: receipts, and the form of each part that nobody could read (names alone)."""

    receipts: Sequence[Receipt]
    unread: Sequence[str]


def read_receipts(callback: Callback, *, stale: bool) -> Told:
    """The receipts in a callback; none where it tells of something else, or of no status yet.

    Takes `stale`: it is genuine, and too old to be believed; its receipts then change nothing and ask for
    a question. They gather reports on request (SEED: minute by minute, in no form they show), so a list is
    read in every form that has one meaning, and one part that cannot be read takes no other with it.
    Raises CallbackRefused (400, 405) for what is no query, form or JSON at all.
    """
    receipts: list[Receipt] = []
    unread: list[str] = []
    for event in _events(callback):
        if field_of(event, _EVENT) not in (None, _RECEIPT):
            continue  # an incoming message, a click: genuine, and nothing we can use
        data = field_of(event, "data")
        fields = data if isinstance(data, dict) else event
        named, status_word = field_of(fields, "msg_id"), field_of(fields, "status")
        named = named.strip() if isinstance(named, str) else ""
        if not is_message_id(named) or not isinstance(fields, dict) or "status" not in fields:
            unread.append(_form_of(event))
            continue
        reference = whole_reference(field_of(fields, "foreign_id"))
        changed_at = moment_of(field_of(fields, "timestamp"))
        receipt = receipt_of(named, status_word, reference, is_stale=stale, changed_at=changed_at)
        receipts += [receipt] if receipt is not None else []
    return Told(receipts, unread)


def _events(callback: Callback) -> Iterable[object]:
    """What the callback tells, one by one."""
    if callback.method.upper() not in ("GET", "POST"):
        raise CallbackRefused(405, "seven.io calls back with GET or POST")
    if callback.method.upper() == "GET" or not callback.body.strip():
        return _events_of(callback.query)
    if callback.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        document = load(callback.body)
        if document is None:
            raise CallbackRefused(400, "the callback's JSON cannot be read")
        data = field_of(document, "data")
        if isinstance(document, dict) and isinstance(data, list) and data:
            return [{**document, "data": each} for each in data]
        return document if isinstance(document, list) else [document]
    try:
        pairs = parse_qsl(
            callback.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise CallbackRefused(400, "the callback's form cannot be read") from None
    return _events_of(pairs)


def _events_of(pairs: Iterable[tuple[str, str]]) -> list[object]:
    """A query or a form as events. `data[msg_id]` is `msg_id`; several come as PHP writes them, by number
    (`data[0][msg_id]`) or as lists of equal length (`msg_id[]`).
    """
    pairs = list(pairs)
    alone: dict[str, object] = dict(pairs)
    if len(alone) == len(pairs) and "" not in alone and not any("[" in name or "]" in name for name in alone):
        return [alone]  # as nearly all come: no name needs to be taken apart
    alone = {}
    numbered: dict[str, dict[str, object]] = {}
    listed: dict[str, list[str]] = {}
    names: dict[str, object] = {}
    is_known = True
    for name, value in pairs:
        names[name] = value if name == _EVENT else None
        path = _PATH.findall(name)
        match path[1:] if path[:1] == ["data"] and len(path) > 1 else path:
            case [field] if field not in alone:
                alone[field] = value
            case [number, field] if number.isdecimal() and field not in numbered.get(number, {}):
                numbered.setdefault(number, {})[field] = value
            case [field, ""]:
                listed.setdefault(field, []).append(value)
            case _:
                is_known = False
    rows: list[dict[str, object]] = list(numbered.values())
    if listed:
        is_known = is_known and not rows and len({len(values) for values in listed.values()}) == 1
        rows = [dict(zip(listed, row, strict=False)) for row in zip(*listed.values(), strict=False)]
    return [{**alone, **row} for row in rows or [{}]] if is_known else [names]


def _form_of(event: object, depth: int = 3) -> str:
    """The form of what could not be read: names of fields, no values."""
    if isinstance(event, dict) and depth:
        names = [name if _FIELD.fullmatch(name) else "?" for name in event]
        forms = [_form_of(value, depth - 1) for value in event.values()]
        told = [name + form for name, form in zip(names, forms, strict=True)][:_MOST_NAMES]
        return f"{{{', '.join(told)}}}"
    if isinstance(event, list) and depth:
        return f"[{_form_of(event[0], depth - 1) if event else ''}]"
    return ""
