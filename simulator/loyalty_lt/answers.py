"""How Loyalty.lt writes its answers and its callbacks. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import NAMESPACE_URL, uuid5

from simulator.loyalty_lt.fates import NO_CODE, Step
from simulator.wire import Answer

CodeForm = Literal["documented", "other", "absent"]
"""How `code` is written: as the page that documents it has it, the other way (a number as text, a text as
the number of the newer pages), or not at all.
"""

CODE_FORMS: Final[tuple[CodeForm, ...]] = ("documented", "other", "absent")

_DAY_SECONDS: Final = 86_400.0  # what the validity in their example, used where none was given

_REFUSALS: Final[Mapping[str, tuple[int, str]]] = {
    "1001": (401, "Invalid API credentials"),
    "1004": (401, "API key and secret are required."),
    "1002": (402, "Insufficient balance"),
    "403": (403, "Your plan does not include API access."),
    "404": (404, "Message not found"),
    "1003": (429, "Rate limit exceeded. Try again later."),
    "2001": (422, "Source address is not allowed."),
    "2002": (422, "Invalid phone number format"),
    "VALIDATION_ERROR": (422, "Validation failed"),
    "422": (422, "The given data was invalid."),
    NO_CODE: (422, "The message was refused"),
}
_WITHOUT_CODE: Final = frozenset({"403", "404", NO_CODE})  # of these no page shows a code


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request is refused with."""

    code: str  # of `_REFUSALS`; another one comes with 422
    message: str | None = None  # None: the code's own
    errors: Mapping[str, str] | None = None  # by field


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted message, as far as its answers tell of it."""

    message_id: str
    source: str
    phone: int
    segments: int
    cost: Decimal
    currency: str
    due: float  # when its life begins, seconds since 1970
    is_scheduled: bool
    validity: float | None  # seconds since 1970; None: not given


def sent(message: Message, form: CodeForm, *, registered: bool, extra_keys: bool, omit: bool) -> Answer:
    """The answer to an accepted send. `omit`: accepted, but the answer does not say so."""
    data: dict[str, object] = {
        "message_id": message.message_id,
        "source": message.source,
        "destination": f"+{message.phone}",
        "status": "queued",
        "parts": message.segments,
        "cost": {**_cost(message), "parts_charged": message.segments},
    }
    if message.segments == 1:  # their example of a long message lacks these
        data |= {**_validity(message), "marketing_consent_registered": registered}
    if extra_keys:
        data |= {"network": "Simulated", "ported": False}
    answer = {"success": True, "message": "SMS sent successfully", "data": {} if omit else data}
    return _json({**answer, **_code("200", form)})


def status(message: Message, status_word: str, steps: list[Step], now: float, *, short: bool) -> Answer:
    """The answer to a status question: the word, and the moments of those `steps` that are over."""
    over = {step.status: step for step in steps if message.due + step.age_seconds <= now}
    moments = {name: _moment(message.due + step.age_seconds) for name, step in over.items()}
    if short:
        data: dict[str, object] = {
            "message_id": message.message_id,
            "status": status_word,
            "reference": None,
            "sent_at": moments.get("sent"),
        }
        return _json({"success": True, "data": data, "code": 200})
    failed = over.get("failed")
    data = {
        "message_id": message.message_id,
        "status": status_word,
        "source": message.source,
        "destination": f"+{message.phone}",
        "sent_at": moments.get("sent"),
        "delivered_at": moments.get("delivered"),
        "failed_at": moments.get("failed"),
        **_validity(message),
        "cost": _cost(message),
        "error_message": failed.error if failed else None,
    }
    return _json({"success": True, "data": data})


def refusal(refused: Refusal, form: CodeForm) -> Answer:
    """An error, with its HTTP status."""
    code, errors = refused.code, refused.errors
    if code == "VALIDATION_ERROR" and form == "other":
        code, form = "422", "documented"
    http_status, sentence = _REFUSALS.get(code, (422, "Refused"))
    said: dict[str, object] = {"success": False, "message": refused.message or sentence}
    if code == "422":
        # The newer form: a list of errors and an id of the request.
        said["message"] = sentence
        said["request_id"] = str(uuid5(NAMESPACE_URL, repr(refused)))
        listed = (errors or {}).items()
        said["errors"] = [{"field": f, "message": m, "code": "INVALID_VALUE"} for f, m in listed]
    elif errors is not None:
        said["errors"] = {name: [sentence] for name, sentence in errors.items()}
    if code not in _WITHOUT_CODE:
        said |= _code(code, form)
    return Answer(json.dumps(said).encode(), status=http_status)


def callback(message: Message, step: Step, *, names_message_id: bool) -> bytes:
    """The body of a callback. Its `id` is a UUID, the same for each callback of a message."""
    said: dict[str, object] = {
        "id": str(uuid5(NAMESPACE_URL, message.message_id)),
        "externalId": None,  # no documented parameter of a send sets it
        "status": step.callback,
        "recipient": f"+{message.phone}",
        "timestamp": _moment(message.due + step.age_seconds, milliseconds=True),
        "error": step.error,
    }
    if names_message_id:
        said["message_id"] = message.message_id
    return json.dumps(said).encode()


def _code(code: str, form: CodeForm) -> dict[str, object]:
    if form == "absent":
        return {}
    return {"code": int(code) if form == "documented" and code.isdigit() else code}


def _cost(message: Message) -> dict[str, object]:
    return {"amount": float(message.cost), "currency": message.currency}


def _validity(message: Message) -> dict[str, object]:
    validity = message.due + _DAY_SECONDS if message.validity is None else message.validity
    return {
        "scheduled": _moment(message.due) if message.is_scheduled else None,
        "validity": _moment(validity),
    }


def _moment(seconds: float, *, milliseconds: bool = False) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.isoformat(timespec="milliseconds" if milliseconds else "seconds")
    return text.replace("+00:00", "Z")


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode())
