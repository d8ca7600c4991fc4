"""Infobip's SMS API v3: JSON with an API key, many messages a request, a status for each.

Sources, of www.infobip.com/docs: developer-resources/quickstart,
api/channels/sms/sms-messaging/outbound-sms/send-sms-messages, api/channels/sms/logs-and-status-reports,
essentials/api-essentials/response-status-and-error-codes; and the models of
github.com/infobip/infobip-api-java-client. Decided here: a message id of the customer's that is known already
is refused (23); a report is told once, at the end; a body that is not as documented is HTTP 400.
"""

import json
import re
from functools import partial
from typing import Any, Final

from aiohttp import web

from simulator.callbacks import Call
from simulator.faults import CodeFault, Drawn, OmitFault, PhoneCodeFault
from simulator.http.desk import Desk, Message, Path, Progress
from simulator.http.fates import Refusal
from simulator.reading import read_query, same
from simulator.wire import Answer

Status = tuple[int, str, int, str]  # of the group and of the status
_PENDING: Final[Status] = (1, "PENDING", 26, "PENDING_ACCEPTED")
_REJECTED: Final = {
    "6": "REJECTED_NETWORK",
    "10": "REJECTED_DND",
    "12": "REJECTED_NOT_ENOUGH_CREDITS",
    "13": "REJECTED_SENDER",
    "14": "REJECTED_DESTINATION",
    "20": "REJECTED_FLOODING_FILTER",
    "23": "REJECTED_DUPLICATE_MESSAGE_ID",
}
_CODES: Final[dict[Refusal, str]] = {
    "stopped": "10",
    "no_number": "14",
    "not_served": "6",
    "no_sender": "13",
    "no_money": "12",
}
_STATUSES: Final[dict[str, Status]] = {
    "accepted": _PENDING,
    "sent": (1, "PENDING", 7, "PENDING_ENROUTE"),
    "delivered": (3, "DELIVERED", 5, "DELIVERED_TO_HANDSET"),
    "undelivered": (2, "UNDELIVERABLE", 9, "UNDELIVERABLE_NOT_DELIVERED"),
    "failed": (2, "UNDELIVERABLE", 4, "UNDELIVERABLE_REJECTED_OPERATOR"),
    "expired": (4, "EXPIRED", 15, "EXPIRED_EXPIRED"),
    "rejected": (5, "REJECTED", 21, "REJECTED_SYSTEM_ERROR"),
}
_PHONE = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_OPTIONAL = frozenset({"options", "webhooks"})
_NEEDED = frozenset({"sender", "destinations", "content"})


class _Wrong(Exception):
    """The body is not as documented."""


def send(desk: Desk, request: web.Request, body: bytes, drawn: Drawn) -> Answer:
    """POST /sms/3/messages."""
    if isinstance(drawn.ending, CodeFault):
        return _error(400, "E400", "refused on request")
    if refused := _no_access(desk, request):
        return refused
    try:
        orders = _orders(desk, body)
    except (_Wrong, ValueError, KeyError, TypeError, RecursionError):
        return _error(400, "E400", "Request cannot be processed.")
    by_fault = drawn.get(PhoneCodeFault)
    entries = []
    for at, (phone, text, sender, message_id, url) in enumerate(orders):
        code = by_fault.code if by_fault and at < by_fault.count else None
        kind = desk.refusal(int(phone), text, sender) if _PHONE.fullmatch(phone) else "no_number"
        if code is None and kind is not None:
            code = _CODES[kind]
        if code is None and message_id and desk.find_ref(message_id) is not None:
            code = "23"
        if code is not None:
            said = (5, "REJECTED", int(code), _REJECTED.get(code, f"REJECTED_{code}"))
            entries.append(_entry(phone, message_id or "0", said))
            continue
        tell = partial(_call, desk, url) if url else None
        message = desk.take(int(phone), text, sender, message_id, tell)
        entries.append(
            _entry(phone, _id(message), _PENDING) | {"details": {"messageCount": message.segments}}
        )
    if omit := drawn.get(OmitFault):
        entries = entries[: -omit.count]
    return Answer.of_json({"bulkId": "2034072219640523072", "messages": entries})


def _orders(desk: Desk, body: bytes) -> list[tuple[str, str, str, str, str | None]]:
    """Number, text, sender, id and webhook of each message. Raises _Wrong, and what JSON raises."""
    document = json.loads(body)
    if document.keys() != {"messages"}:
        raise _Wrong
    orders = []
    for message in document["messages"]:
        if not _NEEDED <= message.keys() <= _NEEDED | _OPTIONAL:
            raise _Wrong
        text, sender, url = message["content"]["text"], message["sender"], _url(message)
        amount = message.get("options", {}).get("validityPeriod", {}).get("amount", 1)
        if not isinstance(amount, int) or not 1 <= amount <= 2880 or not isinstance(text, str) or not text:
            raise _Wrong
        for destination in message["destinations"]:
            message_id = destination.get("messageId", "")
            if len(message_id) > 200:
                raise _Wrong
            orders.append((destination["to"], text, sender, message_id, url))
    if not 0 < len(orders) <= desk.options.max_recipients:
        raise _Wrong
    return orders


def _url(message: dict[str, Any]) -> str | None:
    if "webhooks" not in message:
        return None
    url = message["webhooks"]["delivery"]["url"]
    if not isinstance(url, str) or not url.startswith("http"):
        raise _Wrong
    return url


def logs(desk: Desk, request: web.Request, _body: bytes, drawn: Drawn) -> Answer:
    """GET /sms/3/logs, by message id alone."""
    if isinstance(drawn.ending, CodeFault):
        return _error(400, "E400", "refused on request")
    query = read_query(request)
    if refused := _no_access(desk, request):
        return refused
    ids = query.get("messageId", "")
    if not ids or len(ids) > 2048 or not query.keys() <= {"messageId", "limit"}:
        return _error(400, "E400", "Request cannot be processed.")
    found = []
    for each in ids.split(","):
        message = desk.find_ref(each) or desk.find(each)
        progress = None if message is None else desk.progress(message, drawn)
        if message is not None and progress is not None:
            found.append(_report(desk, message, progress))
    return Answer.of_json({"results": found[: int(query.get("limit", "50"))]})


def balance(desk: Desk, request: web.Request, _body: bytes, _drawn: Drawn) -> Answer:
    """GET /account/1/balance."""
    said = {"balance": float(desk.money), "currency": desk.options.currency}
    return _no_access(desk, request) or Answer.of_json(said)


def _no_access(desk: Desk, request: web.Request) -> Answer | None:
    if same(request.headers.get("Authorization", ""), f"App {desk.options.api_key}"):
        return None
    return _error(401, "E401", "The request lacks valid authentication credentials.")


def _error(status: int, code: str, description: str) -> Answer:
    said = {"errorCode": code, "description": description, "action": "", "violations": [], "resources": []}
    return Answer.of_json(said, status)


def _status(said: Status) -> dict[str, object]:
    group, group_name, number, name = said
    return {
        "groupId": group,
        "groupName": group_name,
        "id": number,
        "name": name,
        "description": name.replace("_", " ").capitalize(),
    }


def _entry(phone: str, message_id: str, said: Status) -> dict[str, object]:
    return {"messageId": message_id, "status": _status(said), "destination": phone}


def _id(message: Message) -> str:
    return message.ref or message.key


def _report(desk: Desk, message: Message, progress: Progress) -> dict[str, object]:
    said = _STATUSES.get(progress.status_word, (0, progress.status_word, 0, progress.status_word))
    is_bad = said[0] in (2, 4, 5)
    moment = progress.moment().strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return {
        "bulkId": "2034072219640523072",
        "messageId": _id(message),
        "to": str(message.phone),
        "sender": message.sender,
        "sentAt": moment,
        "doneAt": moment,
        "messageCount": message.segments,
        "price": {"pricePerMessage": float(desk.options.price), "currency": desk.options.currency},
        "status": _status(said),
        "error": {
            "groupId": 1 if is_bad else 0,
            "id": 27 if is_bad else 0,
            "name": "EC_ABSENT_SUBSCRIBER" if is_bad else "NO_ERROR",
            "description": "Absent Subscriber" if is_bad else "No Error",
            "permanent": False,
        },
    }


def _call(desk: Desk, url: str, message: Message, progress: Progress) -> Call | None:
    """A delivery report: JSON, once, at the end."""
    if progress.status_word == "sent":
        return None
    body = json.dumps({"results": [_report(desk, message, progress)]}).encode()
    return Call("POST", url, {"Content-Type": "application/json"}, body)


PATHS: Final[tuple[Path, ...]] = (
    ("POST", "/sms/3/messages", "send", send),
    ("GET", "/sms/3/logs", "status", logs),
    ("GET", "/account/1/balance", "balance", balance),
)
