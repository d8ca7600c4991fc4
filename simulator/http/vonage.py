"""Vonage's SMS API: a form with key and secret, one recipient, HTTP 200 with a message for each part.

Sources: developer.vonage.com/en/api/sms, …/messaging/sms/guides/troubleshooting-sms,
…/messaging/sms/guides/delivery-receipts, …/api/reports, …/api/account. Decided here: a receipt comes for the
first part, by the account's webhook (Options.callback_url), and holds the reference where one was given; of
records asked for by id those that are not known are named in ids_not_found.
"""

import json
import re
from base64 import b64encode
from functools import partial
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from simulator.callbacks import Call
from simulator.faults import CodeFault, Drawn, OmitFault, PhoneCodeFault
from simulator.http.desk import Desk, Message, Path, Progress
from simulator.http.fates import Refusal
from simulator.http.forms import read_form
from simulator.reading import Unreadable, read_query, same
from simulator.segments import is_gsm
from simulator.wire import Answer

_CODES: Final[dict[Refusal, tuple[str, str]]] = {
    "stopped": ("7", "Number barred"),
    "no_number": ("6", "Invalid message: unrecognized number prefix"),
    "not_served": ("29", "Non-Whitelisted Destination"),
    "no_sender": ("15", "Invalid sender address"),
    "no_money": ("9", "Partner quota violation"),
}
_STATUS_WORDS: Final = {"accepted": "submitted", "sent": "accepted", "undelivered": "failed"}
_ERRORS: Final = {"undelivered": "1", "failed": "6", "rejected": "99", "expired": "99"}
_FIELDS = frozenset({"api_key", "api_secret", "to", "from", "text", "type", "ttl", "client-ref"}) | {
    *("callback", "status-report-req")
}
_PHONE = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)


def send(  # noqa: PLR0911  one return for each refusal
    desk: Desk, request: web.Request, body: bytes, drawn: Drawn
) -> Answer:
    """POST /sms/json."""
    fields = read_form(request, body)
    if isinstance(drawn.ending, CodeFault):
        return _refusal(drawn.ending.code, "refused on request")
    if by_fault := drawn.get(PhoneCodeFault):
        return _refusal(by_fault.code, "refused on request")
    if not fields.keys() <= _FIELDS:
        raise Unreadable("/sms/json does not know a field it was given")
    if not _is_key(desk, fields.get("api_key", ""), fields.get("api_secret", "")):
        return _refusal("4", "Bad Credentials")
    text, phone, sender = (fields.get(name, "") for name in ("text", "to", "from"))
    if not (text and phone and sender):
        return _refusal("2", "Missing parameters")
    validity = fields.get("ttl", "259200000")
    if not _PHONE.fullmatch(phone) or not validity.isdigit() or not 20_000 <= int(validity) <= 604_800_000:
        return _refusal("3", "Invalid parameters")
    if len(fields.get("client-ref", "")) > 100 or (fields.get("type") == "text") is not is_gsm(text):
        return _refusal("3", "Invalid parameters")
    number = int(phone)
    if kind := desk.refusal(number, text, sender):
        return _refusal(*_CODES[kind])
    url = desk.options.callback_url
    ref = fields.get("client-ref", "")
    message = desk.take(number, text, sender, ref, partial(_call, desk, url) if url else None)
    parts = [_part(desk, message, part, phone) for part in range(message.segments)]
    if drawn.get(OmitFault):
        parts = [{name: value for name, value in part.items() if name != "message-id"} for part in parts]
    return Answer.of_json({"message-count": str(len(parts)), "messages": parts})


def _part(desk: Desk, message: Message, part: int, phone: str) -> dict[str, object]:
    said: dict[str, object] = {
        "to": phone,
        "message-id": _id(message) if part == 0 else f"{_id(message)[:-2]}{part:02d}",
        "status": "0",
        "remaining-balance": str(desk.money),
        "message-price": str(desk.options.price),
        "network": "24602",
    }
    return said | ({"client-ref": message.ref} if message.ref else {})


def records(desk: Desk, request: web.Request, _body: bytes, drawn: Drawn) -> Answer:
    """GET /v2/reports/records, by id alone."""
    if isinstance(drawn.ending, CodeFault):
        return Answer.of_json({"title": "refused on request"}, 400)
    query = read_query(request)
    options = desk.options
    basic = b64encode(f"{options.api_key}:{options.api_secret}".encode()).decode()
    if not same(request.headers.get("Authorization", ""), f"Basic {basic}"):
        return Answer.of_json({"type": "UNAUTHORIZED", "title": "Unauthorized"}, 401)
    named = (query.get("product"), query.get("direction"), query.get("account_id"))
    if named != ("SMS", "outbound", options.api_key) or query.keys() != {
        *("product", "direction", "account_id", "id")
    }:
        raise Unreadable("the records are asked for in another way")
    found, missing = [], []
    for each in query["id"].split(","):
        message = desk.find(each.replace("-", ""))
        progress = None if message is None else desk.progress(message, drawn)
        if message is None or progress is None:
            missing.append(each)
        else:
            found.append(_record(desk, message, progress))
    said: dict[str, object] = {"request_status": "SUCCESS", "items_count": len(found), "records": found}
    return Answer.of_json(said | ({"ids_not_found": ",".join(missing)} if missing else {}))


def _record(desk: Desk, message: Message, progress: Progress) -> dict[str, object]:
    return {
        "account_id": desk.options.api_key,
        "message_id": _id(message),
        "client_ref": message.ref,
        "direction": "outbound",
        "from": message.sender,
        "to": str(message.phone),
        "status": _STATUS_WORDS.get(progress.status_word, progress.status_word),
        "error_code": _ERRORS.get(progress.status_word, "0"),
        "currency": desk.options.currency,
        "total_price": str(desk.cost(message.segments)),
        "date_finalized": progress.moment().isoformat(timespec="seconds"),
    }


def balance(desk: Desk, request: web.Request, _body: bytes, drawn: Drawn) -> Answer:
    """GET /account/get-balance."""
    query = read_query(request)
    if isinstance(drawn.ending, CodeFault) or not _is_key(
        desk, query.get("api_key", ""), query.get("api_secret", "")
    ):
        return Answer.of_json({"error-code": "401", "error-code-label": "authentication failed"}, 401)
    return Answer.of_json({"value": float(desk.money), "autoReload": False})


def _is_key(desk: Desk, key: str, secret: str) -> bool:
    return same(key, desk.options.api_key) and same(secret, desk.options.api_secret)


def _refusal(code: str, why: str) -> Answer:
    return Answer.of_json({"message-count": "1", "messages": [{"status": code, "error-text": why}]})


def _id(message: Message) -> str:
    return str(UUID(message.key))


def _call(desk: Desk, url: str, message: Message, progress: Progress) -> Call:
    """A delivery receipt: a query, a form or JSON."""
    fields = {
        "msisdn": str(message.phone),
        "to": message.sender,
        "network-code": "24602",
        "messageId": _id(message),
        "price": str(desk.cost(message.segments)),
        "status": _STATUS_WORDS.get(progress.status_word, progress.status_word),
        "scts": progress.moment().strftime("%y%m%d%H%M"),
        "err-code": _ERRORS.get(progress.status_word, "0"),
        "api-key": desk.options.api_key,
        "message-timestamp": progress.moment().strftime("%Y-%m-%d %H:%M:%S"),
    }
    if message.ref:
        fields["client-ref"] = message.ref
    match desk.options.callback_method:
        case "GET":
            return Call("GET", f"{url}?{urlencode(fields)}")
        case "POST":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return Call("POST", url, form, urlencode(fields).encode())
        case "JSON":
            return Call("POST", url, {"Content-Type": "application/json"}, json.dumps(fields).encode())


PATHS: Final[tuple[Path, ...]] = (
    ("POST", "/sms/json", "send", send),
    ("GET", "/v2/reports/records", "status", records),
    ("GET", "/account/get-balance", "balance", balance),
)
