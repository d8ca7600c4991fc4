"""What Loyalty.lt says, read: error codes, status words, answers, callbacks. Pure: no wire, no clock.

Their documents disagree (`code` is a number, a text or absent; `errors` an object or a list), so the HTTP
status is what decides and a code only says more; what cannot be read is in doubt, never a guess. None of
their sentences on a request is ever repeated: they hold numbers, sender names and whatever was sent; of a
message's own `error_message` what is left when it is masked. Sources are named as in `adapter.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, TypeGuard

from campaigns.domain.provider import Accepted, CallbackRefused, InDoubt, Receipt, Sighting
from campaigns.domain.said import LONGEST_PROVIDER_ID, believed_currency
from campaigns.domain.states import MessageState
from campaigns.providers.documents import Json, code_of, field_of, name_of, sentence_of, shown, text_of

CODES: dict[str, tuple[int, str, str]] = {
    "1001": (401, "the API key or secret is wrong", "LOY send, overview"),
    "1004": (401, "the API key or secret is missing", "OAS"),
    "401": (401, "the API key or secret is missing or wrong", "LOY error-handling"),
    "1002": (402, "not enough money", "LOY overview"),
    "403": (403, "the key or its plan may not do that", "LOY error-handling"),
    "1003": (429, "too many messages a minute", "LOY send, overview"),
    "429": (429, "too many requests", "LOY error-handling"),
    "2001": (422, "sender name not approved", "LOY send, overview"),
    "2002": (422, "invalid phone number", "LOY overview"),
    "VALIDATION_ERROR": (422, "found invalid", "LOY send"),
    "422": (422, "found invalid", "OAS, LOY error-handling"),
    "400": (400, "found unacceptable", "LOY error-handling"),
}
"""Every documented code: the HTTP status it comes with, what it says in our words, and where that is said."""

STATUSES: dict[str, tuple[MessageState, str]] = {
    "queued": (MessageState.ACCEPTED, "SEED Status Values: accepted and waiting to be sent; LOY send"),
    "sent": (MessageState.SENT, "SEED Status Values"),
    "delivered": (MessageState.DELIVERED, "SEED Status Values: stop polling"),
    "failed": (MessageState.FAILED, "SEED Status Values: stop polling"),
    "expired": (MessageState.EXPIRED, "SEED Status Values: stop polling"),
}
"""Every status word of the status page: our state, and where it is said. Any other is kept and changes
nothing.
"""

CALLBACK_STATUSES: dict[str, tuple[MessageState, bool, str]] = {
    "SENT": (MessageState.SENT, False, "LOY webhooks: right after it was handed to the operator"),
    "DELIVERED": (MessageState.DELIVERED, False, "LOY webhooks"),
    "FAILED": (MessageState.FAILED, False, "LOY webhooks: the operator rejects it"),
    "UNDELIVERABLE": (MessageState.UNDELIVERED, True, "LOY webhooks: number invalid, expired, or rejected"),
}
"""Every status word of a callback: our state, whether the status page knows more exactly, and where it is
said.
"""

_BY_HTTP_STATUS: Final = {
    400: "found unacceptable",
    401: "the API key or secret is missing or wrong",
    402: "not enough money",
    403: "the key or its plan may not do that",
    422: "found invalid",
}
_FIELDS: Final = frozenset({"source", "destination", "message", "receipt", "receiptURL"})  # what we send
_SENDER_NOT_ALLOWED: Final = "2001"
_OF_CALLBACK: Final = frozenset({"receipt", "receiptURL"})

_UNDOCUMENTED_CODE = re.compile(r"[A-Z][A-Z_]{0,63}|[0-9]{1,5}")  # no place for a number, a key or a text
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")
_COUNT = re.compile(r"[0-9]{1,4}")
_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An answer with an error status: nothing was taken."""

    code: str  # theirs where it can be read, else `http_` and the status
    reason: str
    is_said_by_them: bool  # JSON with `success: false`, not a page of some machine in between
    is_of_callback: bool  # complains of the callback address and of nothing else
    says_status: int | None = None  # the HTTP status that the documents have this code come with
    says_nothing: bool = False  # of what it refuses: no code, no field
    about: Literal["sender", "text"] | None = None  # what it complains of alone, where that is the campaign's


def read_sent(body: bytes) -> Accepted | InDoubt | ErrorAnswer:
    """Read the body of a send answered with HTTP 200, 201 or 202. Pure, never raises.

    A refusal is one that says no, gives no data and a documented code: nothing was taken, whatever the
    HTTP status.
    """
    document = load(body)
    if not isinstance(document, dict):
        return InDoubt("the answer cannot be read")
    says, data = document.get("success", True), document.get("data")
    if says is False and not data and not document.get("message_id"):
        refusal = read_refusal(None, body)
        return refusal if refusal.says_status is not None else InDoubt("the answer says no, and not why")
    if says not in (True, "true", "1"):
        return InDoubt("the answer says both yes and no")
    named = message_id_of(field_of(data, "message_id"))
    if named is None:
        return InDoubt("the answer says taken and gives no id that can be used")
    cost, currency = _money(field_of(data, "cost"))
    return Accepted(named, cost, _count(field_of(data, "parts")), currency)


def read_refusal(status: int | None, body: bytes) -> ErrorAnswer:
    """Read an answer that refuses. Takes its HTTP status, None where that is one of success: then the code
    alone speaks. Pure, never raises.
    """
    document = load(body)
    code = _code(field_of(document, "code")) or f"http_{status}"
    documented = CODES.get(code)
    sentence = _BY_HTTP_STATUS.get(status or 0, "refused")
    # A code that belongs to another status contradicts this one: the status stands.
    if documented is not None and status in (None, documented[0]):
        sentence = documented[1]
    blamed = set(_blamed(field_of(document, "errors")))
    known = sorted(blamed & _FIELDS)
    return ErrorAnswer(
        code,
        f"{sentence}: {', '.join(known)}" if known else sentence,
        is_said_by_them=field_of(document, "success") is False,
        is_of_callback=bool(blamed) and blamed <= _OF_CALLBACK,
        says_status=documented[0] if documented is not None else None,
        about=_about(code, blamed),
        says_nothing=code == f"http_{status}" and not blamed,
    )


def _about(code: str, blamed: set[str]) -> Literal["sender", "text"] | None:
    if blamed and not blamed <= {"source", "message"}:
        return None
    if code == _SENDER_NOT_ALLOWED or "source" in blamed:
        return "sender"
    return "text" if blamed else None


def read_status(body: bytes, asked: str) -> Sighting | None:
    """Read the body of a status answered with HTTP 200: what it says of `asked`. Pure, never raises.

    None where it cannot be read, or speaks of another message. Fields other than the status may be absent.
    """
    document = load(body)
    data, status_word = field_of(document, "data"), field_of(field_of(document, "data"), "status")
    if (
        not isinstance(status_word, str)
        or not shown(status_word).strip()
        or field_of(document, "success") is False
    ):
        return None
    named = field_of(data, "message_id")
    if named is not None and message_id_of(named) != asked:
        return None
    said = status_word.strip().lower()
    known = STATUSES.get(said)
    cost, currency = _money(field_of(data, "cost"))
    return Sighting(
        asked,
        known[0] if known else None,
        shown(status_word),
        phone=_phone(field_of(data, "destination")),
        segment_count=_count(field_of(data, "parts")),
        cost=cost,
        currency=currency,
        changed_at=_changed_at(data, said),
        code=code_of(field_of(data, "error_code")),
        reason=sentence_of(field_of(data, "error_message")),
    )


def _changed_at(data: object, status_word: str) -> datetime | None:
    """When it came into this status (SEED: `delivered_at` and its like); else the latest they name."""
    moments = {name: _moment(field_of(data, f"{name}_at")) for name in ("sent", "delivered", "failed")}
    return moments.get(status_word) or max((moment for moment in moments.values() if moment), default=None)


def _money(cost: object) -> tuple[Decimal | None, str | None]:
    """Amount and currency of a `cost`, as far as they can be read."""
    return _amount(field_of(cost, "amount")), believed_currency(name_of(field_of(cost, "currency")))


def read_callback_body(body: bytes) -> Receipt:
    """Read what a callback tells. Pure. Raises CallbackRefused, 400.

    The `id` in it is a UUID of their own and not the id a send is answered with (LOY webhooks): a message is
    named by `message_id` or by `externalId` where they stand, else by the token in the callback's address.
    """
    document = load(body)
    status_word = field_of(document, "status")
    if not isinstance(status_word, str) or not shown(status_word).strip():
        raise CallbackRefused(400, "a callback of Loyalty.lt is a JSON object with a status")
    known = CALLBACK_STATUSES.get(status_word.strip().upper())
    named, ours = field_of(document, "message_id"), field_of(document, "externalId")
    error = field_of(document, "error")
    return Receipt(
        message_id_of(named),
        known[0] if known else None,
        shown(status_word),
        message_ref=ours if is_message_id(ours) else None,
        is_coarse=known[1] if known else False,
        code=code_of(field_of(error, "code")),
        reason=sentence_of(field_of(error, "message") if isinstance(error, dict) else error),
        changed_at=_moment(field_of(document, "timestamp")),
    )


def validity_of(valid_until: datetime | None, now: float) -> str | None:
    """A validity as they take it: from a minute to a week ahead (LOY send, validityMinutes). Else None."""
    if valid_until is None or not 60 <= valid_until.timestamp() - now <= 10_080 * 60:
        return None
    return valid_until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def says_unknown(body: bytes) -> bool:
    """Whether the body of a 404 is theirs: it says that there is no such message, and not no such page."""
    return field_of(load(body), "success") is False


def _no_number(_constant: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


_JSON = Json(parse_float=Decimal, parse_constant=_no_number)


def load(body: bytes) -> object:
    """Their JSON with every fraction a Decimal; None where it is none."""
    try:
        return _JSON.read(text_of(body))
    except (ValueError, RecursionError, ArithmeticError):  # a Decimal may be too large for the machine
        return None


def message_id_of(value: object) -> str | None:
    """An id as text, also where it came as a whole number; None where it can be none."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        value = str(value)
    return value if is_message_id(value) else None


def is_message_id(value: object) -> TypeGuard[str]:
    """Whether a value can be an id: text one can see, store and put into a path, as it is."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_PROVIDER_ID
        and value.isprintable()
        and not value.isspace()
        and value not in (".", "..")  # would name another page
    )


def _code(value: object) -> str | None:
    """A code as text: a number or a word, None where it is neither or could be something else."""
    code = str(value) if isinstance(value, int) else value
    return code if isinstance(code, str) and _UNDOCUMENTED_CODE.fullmatch(code) else None


def _blamed(errors: object) -> Iterator[str]:
    """The fields an answer complains of: an object by field (LOY send), or a list (LOY error-handling)."""
    if isinstance(errors, dict):
        yield from errors
    elif isinstance(errors, list):
        for error in errors:
            # What names no field may be of any.
            name = field_of(error, "field")
            yield name if isinstance(name, str) else ""


def _amount(value: object) -> Decimal | None:
    """Money, from a number or a text; None where it is neither, or no price."""
    text = str(value) if isinstance(value, int | str) else ""
    if isinstance(value, Decimal) and -18 <= value.adjusted() < 12:  # else it may not even fit into memory
        text = f"{value:f}"
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        value = int(value) if _COUNT.fullmatch(value) else 0
    return value if 0 < value < 10_000 else None


def _phone(value: object) -> str | None:
    """E.164 with +; they may leave the + out."""
    digits = _PHONE.fullmatch(value) if isinstance(value, str) else None
    return f"+{digits[1]}" if digits else None


def _moment(value: object) -> datetime | None:
    """A moment of theirs; without a zone it is UTC, as all of their examples are."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
