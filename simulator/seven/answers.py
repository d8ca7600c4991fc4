"""How seven.io writes its answers and its callbacks: JSON as its pages show it, else text."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from simulator.callbacks import Call
from simulator.faults import Drawn, ExtraKeysFault, IntCodesFault, ObjectFormFault
from simulator.options import CallbackMethod, ErrorForm
from simulator.segments import is_gsm
from simulator.wire import Answer

REASONS: Final[Mapping[str, str]] = {
    "202": "Recipient number invalid",
    "402": "Prevented by reload lock",
    "403": "Maximum limit for this number per day has been reached",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What one send asked for, as far as its answer and the journal repeat it."""

    text: str
    sender: str
    label: str | None
    foreign_id: str | None
    wants_json: bool
    return_ids: bool
    details: bool
    is_debug: bool

    @property
    def encoding(self) -> str:
        """How the text goes out."""
        return "gsm" if is_gsm(self.text) else "ucs2"


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one number of a send: an id, or the code it is refused with."""

    phone: str
    message_id: str | None
    code: str | None = None


def sent(
    order: Order, lines: Sequence[Line], price: Decimal, segments: int, balance: Decimal, drawn: Drawn
) -> Answer:
    """The answer to a send of which something was taken. Takes the lines in the order asked."""
    taken = [line for line in lines if line.code is None]
    code = "100" if len(taken) == len(lines) else "101"
    if not order.wants_json:
        return _text([code, *_ids(order, taken), *_details(order, len(taken), price, balance)])
    as_numbers = drawn.get(IntCodesFault) is not None
    more = {"network": "Simulated", "ported": 0} if drawn.get(ExtraKeysFault) else {}

    def number(text: str | None) -> str | int | None:
        return int(text) if as_numbers and text is not None else text

    return Answer.of_json(
        {
            "success": number(code),
            "total_price": float(price * len(taken)),
            "balance": float(balance),
            "debug": "true" if order.is_debug else "false",
            "sms_type": "direct",
            "messages": [
                {
                    "id": number(line.message_id),
                    "sender": order.sender,
                    "recipient": line.phone,
                    "text": order.text,
                    "encoding": order.encoding,
                    "label": order.label,
                    "parts": segments,
                    "udh": None,
                    "is_binary": False,
                    "price": float(price) if line.code is None else 0,
                    "success": line.code is None,
                    "error": number(line.code),
                    "error_text": None if line.code is None else REASONS.get(line.code, "Error"),
                    **more,
                }
                for line in lines
            ],
        }
    )


def _ids(order: Order, taken: Sequence[Line]) -> list[str]:
    return [line.message_id or "1234567890" for line in taken] if order.return_ids else []


def _details(order: Order, count: int, price: Decimal, balance: Decimal) -> list[str]:
    if not order.details:
        return []
    return [
        f"Booked: {count}",
        f"Price: {price * count}",
        f"Balance: {balance}",
        f"Text: {order.text}",
        "Type: direct",
        "Flash: false",
        f"Encoding: {order.encoding}",
        f"GSM0338: {str(order.encoding == 'gsm').lower()}",
        f"Debug: {str(order.is_debug).lower()}",
    ]


def refusal(code: str, error_form: ErrorForm, *, wants_json: bool) -> Answer:
    """A code that concerns a whole request. seven.io's forms stand for LightSMS's:

    keyed `"900"` · top `{"code":900}` · top_string `{"error_code":"900"}` ·
    empty_key `{"success":"900","messages":[]}` · bare `900` as text.
    """
    if not wants_json or error_form == "bare":
        return Answer.of_text(code)
    match error_form:
        case "top":
            return Answer.of_json({"code": int(code)})
        case "top_string":
            return Answer.of_json({"error_code": code})
        case "empty_key":
            return Answer.of_json({"success": code, "messages": []})
        case _:
            return Answer.of_json(code)


def statuses(
    found: Sequence[tuple[str, str | None, float]], drawn: Drawn, *, wants_json: bool, as_text: bool
) -> Answer:
    """The answer to a status question. Takes (id, its word or None, when that came), in the order asked.

    One id is answered by text of two lines without JSON; several always come as an array.
    """
    as_numbers = drawn.get(IntCodesFault) is not None

    def moment(at: float) -> str:
        return str(int(at)) if as_numbers else berlin(at).strftime("%Y-%m-%d %H:%M:%S.%f")

    if len(found) == 1 and (as_text or not wants_json):
        _, status_word, at = found[0]
        return Answer(b"" if status_word is None else f"{status_word}\n{moment(at)}".encode(), "text/plain")
    entries = [
        {
            "id": int(message_id) if as_numbers else message_id,
            "status": status_word,
            "status_time": None if status_word is None else moment(at),
        }
        for message_id, status_word, at in found
    ]
    return Answer.of_json(entries[0] if len(entries) == 1 and drawn.get(ObjectFormFault) else entries)


def journal(rows: Sequence[Mapping[str, object]]) -> Answer:
    """One page of the journal."""
    return Answer.of_json(rows)


def journal_row(
    *,
    message_id: str,
    phone: int,
    order: Order,
    at: float,
    price: Decimal,
    status_word: str | None,
    changed_at: float,
) -> dict[str, object]:
    """One row of the journal, as its page shows it: prices are text, moments are Berlin's."""
    return {
        "id": message_id,
        "to": str(phone),
        "from": order.sender,
        "text": order.text,
        "timestamp": _milliseconds(at),
        "price": f"{price:.4f}",
        "dlr": status_word,
        "dlr_timestamp": None if status_word is None else _milliseconds(changed_at),
        "mccmnc": "24601",
        "latency": None if status_word is None else f"{changed_at - at:.4f}",
        "type": "direct",
        "channel": "SMS",
        "connection": "http",
        "label": order.label,
        "foreign_id": order.foreign_id,
    }


def hooks(entries: Sequence[Mapping[str, object]]) -> Answer:
    """The hooks there are."""
    return Answer.of_json({"success": True, "hooks": entries})


def hooked(number: int | None) -> Answer:
    """The answer to a hook that was to be added: its number; None: it was not."""
    if number is None:
        return Answer.of_json({"success": False, "error_message": "Invalid hook"})
    return Answer.of_json({"success": True, "id": number})


def unhooked(*, success: bool) -> Answer:
    """The answer to a hook that was to be removed."""
    return Answer.of_json({"success": success})


def deleted(ids: Sequence[str]) -> Answer:
    """The answer to scheduled messages that were to be taken back: those that were."""
    return Answer.of_json({"deleted": list(ids) or None, "success": bool(ids)})


def balance(money: Decimal, currency: str, *, wants_json: bool) -> Answer:
    """What is left on the account."""
    if wants_json:
        return Answer.of_json({"amount": float(money), "currency": currency})
    return Answer.of_text(f"{money:f}")


_COUNTRIES: Final = (("US", "1", "310"), ("CA", "1", "302"), ("DE", "49", "262"), ("LT", "370", "246"))
_DEARER: Final[Mapping[str, Decimal]] = {
    "DE": Decimal("1.2")
}  # its one network that is named, by this factor


def pricing(price: Decimal, iso_code: str) -> Answer:
    """The price list, whole or of one country; for each a line of its own and one of a network."""
    countries = [
        {
            "countryCode": code,
            "countryName": code,
            "countryPrefix": prefix,
            "networks": [
                _network(mcc, None, None, price),
                _network(mcc, ["01"], f"{code} Mobile", price * _DEARER.get(code, Decimal(1))),
            ],
        }
        for code, prefix, mcc in _COUNTRIES
        if iso_code in {"", code}
    ]
    if not iso_code:
        shared = "International Networks, shared code"
        countries.append({"countryCode": "", "countryName": shared, "countryPrefix": "882", "networks": []})
    count = 2 * len(_COUNTRIES) if not iso_code else 2 * len(countries)
    return Answer.of_json({"countCountries": len(countries), "countNetworks": count, "countries": countries})


def _network(mcc: str, mncs: Sequence[str] | None, name: str | None, price: Decimal) -> dict[str, object]:
    told = {"mcc": mcc, "mncs": mncs, "networkName": name, "features": [], "comment": None}
    return {**told, "price": float(price)}


def callback(
    url: str, how: CallbackMethod, signing_key: str, message_id: str, status_word: str, at: float, now: float
) -> Call:
    """What `url` is told of a message's new status word, in that form, signed where there is a key."""
    data = {"msg_id": message_id, "status": status_word}
    headers, body = dict[str, str](), b""
    match how:
        case "GET":
            query = urlencode({**data, "timestamp": _milliseconds(at)})
            url += ("&" if "?" in url else "?") + query
        case "POST":
            fields = {f"data[{name}]": value for name, value in {**data, "timestamp": _micro(at)}.items()}
            fields |= {"webhook_event": "dlr", "webhook_timestamp": _iso(now)}
            body = urlencode(fields).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        case "JSON":
            told = {
                "data": {**data, "timestamp": _micro(at)},
                "webhook_event": "dlr",
                "webhook_timestamp": _iso(now),
            }
            body = json.dumps(told, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
    method = "GET" if how == "GET" else "POST"
    if signing_key:
        timestamp, nonce = str(int(now)), secrets.token_hex(16)
        headers |= {
            "X-Timestamp": timestamp,
            "X-Nonce": nonce,
            "X-Signature": sign(timestamp, nonce, method, url, body, signing_key),
        }
    return Call(method, url, headers, body)


def sign(timestamp: str, nonce: str, method: str, url: str, body: bytes, signing_key: str) -> str:
    """The signature of a request, of a customer's or of a callback. Lower-case hex. Source: "Signing"."""
    lines = [timestamp, nonce, method, url, hashlib.md5(body, usedforsecurity=False).hexdigest()]
    signed = "\n".join(lines).encode(errors="surrogateescape")
    return hmac.new(signing_key.strip().encode(), signed, hashlib.sha256).hexdigest()


def berlin(at: float) -> datetime:
    """A moment in Berlin's time: all of seven.io's times without a zone are in it."""
    return datetime.fromtimestamp(at, UTC).astimezone(zone())


@cache
def zone() -> tzinfo:
    """Berlin's."""
    try:
        return ZoneInfo("Europe/Berlin")
    except (KeyError, OSError):  # no database of zones on this machine: winter time all year
        return timezone(timedelta(hours=1))


def _milliseconds(at: float) -> str:
    return berlin(at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _micro(at: float) -> str:
    return berlin(at).strftime("%Y-%m-%d %H:%M:%S.%f")


def _iso(at: float) -> str:
    return berlin(at).isoformat(timespec="seconds")


def _text(lines: Sequence[str]) -> Answer:
    return Answer.of_text("\n".join(lines))
