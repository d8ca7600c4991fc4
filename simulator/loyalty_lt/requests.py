"""What Loyalty.lt reads in the body of a send, strictly. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

_SOURCE = re.compile(r"[A-Za-z0-9 ]{1,11}", re.ASCII)
_PHONE = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_LONGEST_MESSAGE = 1600
_MOST_MINUTES = 10_080


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer asks to be sent."""

    source: str
    phone: int | None  # None: no number in E.164 format
    message: str
    receipt_url: str | None  # where callbacks go; None: nowhere
    scheduled: float | None  # seconds since 1970
    validity: float | None
    validity_minutes: int | None
    registers_consent: bool


class Wrong(Exception):
    """The body is refused; by field, a sentence without a value."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("the body is refused")
        self.errors = errors


class _Twice(ValueError):
    """A field is given twice."""

    def __init__(self, name: str) -> None:
        super().__init__("a field is given twice")
        self.name = name


def read_order(body: bytes) -> Order:
    """Read the body of a send. Raises Wrong."""
    fields = _fields(body)
    errors = {name: f"The {name} field is not known." for name in fields.keys() - _CHECKS.keys()}
    for name, (is_required, check) in _CHECKS.items():
        if fields.get(name) is None:
            if is_required:
                errors[name] = f"The {name} field is required."
        elif (complaint := check(fields[name])) is not None:
            errors[name] = f"The {name} {complaint}."
    if fields.get("receipt") is True and fields.get("receiptURL") is None:
        errors["receiptURL"] = "The receiptURL field is required when receipt is true."
    if fields.get("validity") is not None and fields.get("validityMinutes") is not None:
        errors["validityMinutes"] = "The validityMinutes field excludes validity."
    if errors:
        raise Wrong(errors)
    phone = _PHONE.fullmatch(str(fields["destination"]))
    minutes = fields.get("validityMinutes")
    return Order(
        source=str(fields["source"]),
        phone=int(phone[1]) if phone else None,
        message=str(fields["message"]),
        receipt_url=str(fields["receiptURL"]) if fields.get("receipt") is True else None,
        scheduled=_seconds(fields.get("scheduled")),
        validity=_seconds(fields.get("validity")),
        validity_minutes=minutes if isinstance(minutes, int) else None,
        registers_consent=fields.get("marketing_consent") is True,
    )


def _fields(body: bytes) -> dict[str, object]:
    """The fields of a JSON object; none where it is none, as if nothing had been given. Raises Wrong."""
    try:
        fields = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except _Twice as twice:
        raise Wrong({twice.name: f"The {twice.name} field is given twice."}) from None
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: dict[str, object] = {}
    for name, value in pairs:
        if name in seen:
            raise _Twice(name)
        seen[name] = value
    return seen


def _refuse_constant(_constant: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


def _seconds(value: object) -> float | None:
    return None if value is None else datetime.fromisoformat(str(value)).timestamp()


def _text(value: object) -> str | None:
    """What is wrong with a text; None: nothing."""
    if not isinstance(value, str) or not value:
        return "must be a string"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "must be valid Unicode"
    return None


def _source(value: object) -> str | None:
    said = str(value)
    return _text(value) or (None if _SOURCE.fullmatch(said) and said.strip() else "format is invalid")


def _message(value: object) -> str | None:
    too_long = f"may not be greater than {_LONGEST_MESSAGE} characters"
    return _text(value) or (too_long if len(str(value)) > _LONGEST_MESSAGE else None)


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "field must be true or false"


def _address(value: object) -> str | None:
    complaint = _text(value)
    try:
        parts = urlsplit(str(value))
        is_absolute = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_absolute = False
    is_plain = str(value).isascii() and not any(letter.isspace() for letter in str(value))
    return complaint or (None if is_absolute and is_plain else "must be a valid URL")


def _moment(value: object) -> str | None:
    complaint = "is not a valid date"
    if _text(value) or not _DATE_TIME.fullmatch(str(value)):
        return complaint
    try:
        year = datetime.fromisoformat(str(value)).year
    except ValueError:
        return complaint
    return None if 1970 < year < 9999 else complaint


def _minutes(value: object) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_MINUTES
    return None if good else f"must be an integer between 1 and {_MOST_MINUTES}"


_CHECKS: Final[Mapping[str, tuple[bool, Callable[[object], str | None]]]] = {
    "source": (True, _source),
    "destination": (True, _text),
    "message": (True, _message),
    "receipt": (False, _boolean),
    "receiptURL": (False, _address),
    "scheduled": (False, _moment),
    "validity": (False, _moment),
    "validityMinutes": (False, _minutes),
    "marketing_consent": (False, _boolean),
    "client_ip": (False, _text),
    "client_user_agent": (False, _text),
    "consent_page_url": (False, _text),
}
"""Every documented field: whether it must be there, and what is wrong with a value (None: nothing)."""
