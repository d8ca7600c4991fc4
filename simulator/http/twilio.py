"""Twilio's Messages API: a form with HTTP Basic, one recipient, HTTP 201 with the message.

Sources: www.twilio.com/docs/messaging/api/message-resource, …/guides/track-outbound-message-status and
www.twilio.com/docs/api/errors. Decided here: a refusal is HTTP 400 with its code, 401 for 20003, 429 for
20429; a message is queued at first; its price is known once it is sent, and below zero.
"""

import re
from base64 import b64encode
from email.utils import format_datetime
from functools import partial
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from simulator.callbacks import Call
from simulator.faults import CodeFault, Drawn, OmitFault, PhoneCodeFault
from simulator.http.desk import Desk, Message, Path, Progress
from simulator.http.fates import Refusal
from simulator.http.forms import read_form
from simulator.reading import Unreadable, read_query, same
from simulator.wire import Answer

_CODES: Final[dict[Refusal, tuple[int, str]]] = {
    "stopped": (21610, "Attempt to send to unsubscribed recipient"),
    "no_number": (21211, "The 'To' number +37060000094 is not a valid phone number."),
    "not_served": (21408, "Permission to send an SMS has not been enabled for the region"),
    "no_sender": (21659, "'From' is not a Twilio phone number or Short Code country mismatch"),
    "no_money": (20005, "Account not active"),
}
_STATUS_WORDS: Final = {"accepted": "queued", "expired": "undelivered", "rejected": "failed"}
_ERRORS: Final = {"undelivered": 30005, "expired": 30036, "rejected": 30007, "failed": 30008}
_STATUSES: Final = {"20003": 401, "20005": 401, "20429": 429, "20500": 500}
_FIELDS = frozenset({"To", "From", "Body", "StatusCallback", "ValidityPeriod", "MessagingServiceSid"})
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


def send(  # noqa: PLR0911  one return for each refusal
    desk: Desk, request: web.Request, body: bytes, drawn: Drawn
) -> Answer:
    """POST Messages.json."""
    if refused := _no_access(desk, request, drawn):
        return refused
    fields = read_form(request, body)
    if not fields.keys() <= _FIELDS:
        raise Unreadable("Messages.json does not know a field it was given")
    text, phone = fields.get("Body", ""), fields.get("To", "")
    if by_fault := drawn.get(PhoneCodeFault):
        return _refusal(by_fault.code, "refused on request")
    if not text:
        return _refusal("21602", "Message body is required")
    if len(text) > 1600:
        return _refusal("21617", "The concatenated message body exceeds the 1600 character limit")
    if not _PHONE.fullmatch(phone):
        return _refusal("21211", "The 'To' number is not a valid phone number.")
    validity = fields.get("ValidityPeriod", "36000")
    if not validity.isdigit() or not 1 <= int(validity) <= 36_000:
        return _refusal("21635", "ValidityPeriod is not valid")
    sender, number = fields.get("From", ""), int(phone[1:])
    if kind := desk.refusal(number, text, sender):
        code, why = _CODES[kind]
        return _refusal(str(code), why)
    url = fields.get("StatusCallback")
    message = desk.take(number, text, sender, "", partial(_call, desk, url) if url else None)
    made = _message(desk, message, Progress("accepted", message.due))
    if drawn.get(OmitFault):
        del made["sid"]
    return Answer.of_json(made, 201)


def status(desk: Desk, request: web.Request, _body: bytes, drawn: Drawn) -> Answer:
    """GET Messages/{sid}.json."""
    if refused := _no_access(desk, request, drawn):
        return refused
    message = desk.find(request.match_info["sid"].removeprefix("SM"))
    progress = None if message is None else desk.progress(message, drawn)
    if message is None or progress is None:
        return _refusal("20404", "The requested resource was not found", 404)
    return Answer.of_json(_message(desk, message, progress))


def balance(desk: Desk, request: web.Request, _body: bytes, drawn: Drawn) -> Answer:
    """GET Balance.json."""
    said = {"account_sid": desk.options.login, "balance": str(desk.money), "currency": desk.options.currency}
    return _no_access(desk, request, drawn) or Answer.of_json(said)


def _no_access(desk: Desk, request: web.Request, drawn: Drawn) -> Answer | None:
    if isinstance(drawn.ending, CodeFault):
        return _refusal(drawn.ending.code, "refused on request")
    read_query(request)
    options = desk.options
    expected = b64encode(f"{options.login}:{options.password}".encode()).decode()
    given = request.headers.get("Authorization", "")
    if same(given, f"Basic {expected}") and request.match_info["account"] == options.login:
        return None
    return _refusal("20003", "Authenticate")


def _refusal(code: str, why: str, status: int | None = None) -> Answer:
    status = status or _STATUSES.get(code, 400)
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Answer.of_json({"code": int(code), "message": why, "more_info": more, "status": status}, status)


def _message(desk: Desk, message: Message, progress: Progress) -> dict[str, object]:
    is_priced = progress.status_word not in {"accepted", "rejected"}
    return {
        "sid": f"SM{message.key}",
        "account_sid": desk.options.login,
        "to": f"+{message.phone}",
        "from": message.sender,
        "body": "",
        "status": _STATUS_WORDS.get(progress.status_word, progress.status_word),
        "num_segments": str(message.segments),
        "num_media": "0",
        "direction": "outbound-api",
        "price": f"-{desk.cost(message.segments)}" if is_priced else None,
        "price_unit": desk.options.currency,
        "error_code": _ERRORS.get(progress.status_word),
        "error_message": None,
        "date_updated": format_datetime(progress.moment()),
        "api_version": "2010-04-01",
    }


def _call(desk: Desk, url: str, message: Message, progress: Progress) -> Call:
    """A status callback: a form."""
    status_word = _STATUS_WORDS.get(progress.status_word, progress.status_word)
    fields = {
        "MessageSid": f"SM{message.key}",
        "SmsSid": f"SM{message.key}",
        "MessageStatus": status_word,
        "SmsStatus": status_word,
        "To": f"+{message.phone}",
        "From": message.sender,
        "AccountSid": desk.options.login,
        "ApiVersion": "2010-04-01",
    }
    if (code := _ERRORS.get(progress.status_word)) is not None:
        fields["ErrorCode"] = str(code)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "TwilioProxy/1.1"}
    return Call("POST", url, headers, urlencode(fields).encode())


_ROOT = "/2010-04-01/Accounts/{account}"
PATHS: Final[tuple[Path, ...]] = (
    ("POST", f"{_ROOT}/Messages.json", "send", send),
    ("GET", f"{_ROOT}/Messages/{{sid}}.json", "status", status),
    ("GET", f"{_ROOT}/Balance.json", "balance", balance),
)
