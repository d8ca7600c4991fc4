"""What seven.io calls us back with, read: signature and receipts. Pure: no wire, no clock.

One address serves a whole account. Three generations of callbacks are read: GET with a query (SEED), POST
with a form, flat or as `data[msg_id]` (OPENAPI hooks), and JSON (DOCS webhooks). Which of them comes is set
at seven.io; 4xx is final there, so what can be read is read.

A replay is not refused: a receipt merges by rank, so a second one changes nothing, and remembering nonces
would be state in every process for no gain. What is too old is not believed (DOCS do not say whether a
repeated call is signed anew), but worth a question.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl

from campaigns.domain.provider import Callback, CallbackRefused, Receipt
from campaigns.providers.documents import MESSAGE_ID
from campaigns.providers.seven_answers import load, receipt_of
from campaigns.providers.seven_journal import whole_reference

MAX_AGE_SECONDS = 300
"""How far a signature's moment may be from ours, to either side (JS WebhookVerifier)."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[!-~]{1,32}")
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64}")
_MOST_FIELDS = 100
_EVENT = "webhook_event"
_RECEIPT = "dlr"


def signature(timestamp: str, nonce: str, method: str, url: str, body: bytes, signing_key: str) -> str:
    """Sign a request as seven.io does: HMAC-SHA256 over its moment, nonce, method, URL and body.

    Takes `url` whole, with its query, as the caller wrote it; `body` raw, empty for GET. Gives 64
    lower-case hexadecimal digits. Source: DOCS signing, PHP (which trims the key), JS WebhookVerifier.
    """
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    signed = "\n".join((timestamp, nonce, method, url, digest))
    # A URL that came through a server may hold what is no UTF-8: no signature fits it, and nothing breaks.
    return hmac.new(
        signing_key.strip().encode(), signed.encode(errors="surrogatepass"), hashlib.sha256
    ).hexdigest()


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


def read_receipts(callback: Callback, *, stale: bool) -> list[Receipt]:
    """The receipts in a callback; none where it tells of something else, or of no status yet.

    Takes `stale`: it is genuine, and too old to be believed; its receipts then change nothing and ask for
    a question. Raises CallbackRefused (400, 405).
    """
    return [receipt for event in _events(callback) if (receipt := _read_event(event, stale)) is not None]


def _read_event(event: Mapping[str, object], stale: bool) -> Receipt | None:
    name = event.get(_EVENT)
    if name is not None and name != _RECEIPT:
        return None  # an incoming message, a click: genuine, and nothing we can use
    data = event.get("data")
    fields = data if isinstance(data, Mapping) else event
    named, word = fields.get("msg_id"), fields.get("status")
    if not isinstance(named, str) or not MESSAGE_ID.fullmatch(named) or "status" not in fields:
        raise CallbackRefused(400, "a callback of seven.io names a msg_id and a status")
    return receipt_of(named, word, whole_reference(fields.get("foreign_id")), is_stale=stale)


def _events(callback: Callback) -> Sequence[Mapping[str, object]]:
    """What the callback tells, each as its fields."""
    if callback.method.upper() not in ("GET", "POST"):
        raise CallbackRefused(405, "seven.io calls back with GET or POST")
    if callback.method.upper() == "GET" or not callback.body.strip():
        return [_fields(callback.query)]
    if callback.body.lstrip()[:1] in (b"{", b"["):
        document = load(callback.body)
        # They gather reports on request (SEED: minute by minute, in no form they show): a list is read too.
        told = document if isinstance(document, list) else [document]
        events = [event for event in told if isinstance(event, dict)]
        if len(events) == len(told):
            return events
        raise CallbackRefused(400, "the callback's JSON cannot be read")
    try:
        pairs = parse_qsl(
            callback.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise CallbackRefused(400, "the callback's form cannot be read") from None
    return [_fields(pairs)]


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """A query or a form as fields; `data[msg_id]` is `msg_id`."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        inner = name[5:-1] if name.startswith("data[") and name.endswith("]") else name
        if inner in fields:
            raise CallbackRefused(400, "a field of the callback stands twice")
        fields[inner] = value
    return fields
