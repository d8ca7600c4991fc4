"""How Namirial reads a send and writes its answers, as its pages show them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_OID, uuid4, uuid5

from simulator.namirial.fates import Fate
from simulator.reading import Unreadable
from simulator.wire import Answer

LONGEST_TEXT = 1600
SAYINGS: Final[Mapping[str, str]] = {
    "8": "Wrong number",
    "12": "Error sending",  # in no document: of the number that is refused with HTTP 200
    "56": "Invalid number",
    "59": "Invalid reference service",
    "60": "Anti-flooding error",
    "61": "Message in watchlist",
    "63": "Authentication error",
    "64": "Provider unavailable",
    "66": "Empty message text",
    "74": "URL not allowed",
}
"""The codes and their messages."""

_FIELDS: Final[Mapping[str, type]] = {
    "destination": str,
    "text": str,
    "reference": dict,
    "attemptCount": int,
    "detailed": bool,
    "businessRelationId": str,
    "webhook": dict,
}
_REFERENCE: Final[Mapping[str, type]] = {"service": str, "action": str, "key": str}
_CALLBACK: Final[Mapping[str, type]] = {"url": str, "authentication": dict}
_AUTHENTICATION: Final[Mapping[str, type]] = {"type": str}
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Order:
    """One message to be sent, as it was asked for."""

    destination: str = field(repr=False)
    text: str = field(repr=False)
    reference: Mapping[str, str]
    detailed: bool
    callback_url: str | None = field(repr=False)

    def code(self, services: frozenset[str]) -> str | None:
        """The code that the message itself is refused with; None: nothing is wrong with it."""
        if not self.text:
            return "66"
        if not is_phone(self.destination):
            return "56"
        if self.reference and self.reference.get("service") not in services:
            return "59"  # also where only one of action and key is given
        return None


def is_phone(text: str) -> bool:
    """Whether it is a number in the form they want."""
    return _PHONE.fullmatch(text) is not None


def read_order(body: bytes) -> Order:
    """Read the body of a send, strictly. Raises Unreadable."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError):  # its text would hold what was sent
        raise Unreadable("the body is no JSON, or has a key twice") from None
    _check("the body", document, _FIELDS, {"destination", "text"})
    if len(document["text"]) > LONGEST_TEXT:
        raise Unreadable(f"text is longer than {LONGEST_TEXT} characters")
    reference = document.get("reference", {})
    _check("reference", reference, _REFERENCE, set())
    callback_url = None
    if "webhook" in document:
        _check("webhook", document["webhook"], _CALLBACK, set(_CALLBACK))
        _check("authentication", document["webhook"]["authentication"], _AUTHENTICATION, {"type"})
        if document["webhook"]["authentication"]["type"] != "NONE":
            raise Unreadable("authentication knows the type NONE alone")
        callback_url = document["webhook"]["url"]
        if not _may_be_called(callback_url):
            raise Unreadable("the url of a webhook is public and begins with https://")
    return Order(
        document["destination"], document["text"], reference, document.get("detailed", False), callback_url
    )


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _check(name: str, value: object, known: Mapping[str, type], needed: set[str]) -> None:
    if not isinstance(value, dict):
        raise Unreadable(f"{name} is no object")
    if not value.keys() <= known.keys():
        raise Unreadable(f"{name} has a field nobody knows")
    if not needed <= value.keys():
        raise Unreadable(f"{name} misses a field")
    for key, kind in known.items():
        # In Python True is an int; in JSON it is not.
        if key in value and type(value[key]) is not kind:
            raise Unreadable(f"{key} is of another type")
        if kind is str and _HALF_A_PAIR.search(value.get(key, "")):
            raise Unreadable(f"{key} is no text")


def _may_be_called(url: str) -> bool:
    """https anywhere, or http on this machine, where demos and tests listen."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_here = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    return bool(parts.hostname) and (parts.scheme == "https" or is_here)


# --- what it says -----------------------------------------------------------------------------------


def taken(message_id: str | None, *, detailed: bool, more: Mapping[str, object]) -> Answer:
    """A send that was accepted. What it says without `detailed` is not documented: the message alone."""
    document: dict[str, object] = {"message": "0: Accepted for delivery"}
    if detailed:
        document["provider"] = "PROVIDER1"
        if message_id is not None:
            document["id"] = message_id
    return _json({**document, **more})


def refusal(code: str, status: int = 500) -> Answer:
    """A refusal: always HTTP 500."""
    return _json({"code": int(code), "message": SAYINGS.get(code, "Error"), "details": None}, status)


def refusal_with_200(code: str) -> Answer:
    """A refusal in the form of a success (in no document: their "0:" leaves room for it)."""
    return _json({"message": f"{code}: {SAYINGS[code]}", "provider": "PROVIDER1"})


def message(
    message_id: str,
    reference: Mapping[str, str],
    fate: Fate,
    *,
    status_word: str,
    accepted_at: float,
    changed_at: float,
    segments: int,
) -> dict[str, object]:
    """One message object, as every status answer and callback has it."""
    provider: dict[str, object] = {
        "name": "PROVIDER1",
        "id": str(uuid5(NAMESPACE_OID, message_id)),
        "status": status_word.lower(),
        "code": "0",
    }
    if fate.provider_message is not None and fate.status_words[-1] == status_word:
        provider |= {"status": fate.provider_status, "code": "1", "message": fate.provider_message}
    document: dict[str, object] = {
        "id": message_id,
        "providerAcceptanceAt": date(accepted_at, with_fraction=fate.has_fraction),
        "statusChangedAt": date(changed_at, with_fraction=fate.has_fraction),
        "reference": dict(reference),
        "channel": fate.channel,
        "status": status_word,
        "provider": provider,
    }
    if fate.has_sms:
        document["sms"] = {"segments": segments}
    return document


def one(said: Mapping[str, object]) -> Answer:
    """The status of one message."""
    return _json({"message": said})


def many(said: Sequence[Mapping[str, object]]) -> Answer:
    """The statuses of several: each wrapped by itself."""
    return _json({"messages": [{"message": each} for each in said]})


def unknown() -> Answer:
    """There is no message of that id."""
    return Answer(b"", status=404)


def forbidden() -> Answer:
    """The API key is missing or invalid."""
    return _json({"message": "Forbidden"}, 403)


def health(*, is_well: bool) -> Answer:
    """The answer of the health check."""
    return _json(
        {
            "globalStatus": is_well,
            "dbStatus": is_well,
            "servicesStatus": True,
            "errorMessage": "" if is_well else "The database is away",
            "versionNumber": "27.1.0.4",
        }
    )


def notification(configuration_id: str, said: Mapping[str, object], at: float) -> bytes:
    """The body of a callback, under an id of its own."""
    document = {
        "id": str(uuid4()),
        "webhookConfigurationId": configuration_id,
        "type": "STATUS_UPDATE",
        "createdAt": date(at, with_fraction=False),
        "message": said,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def date(at: float, *, with_fraction: bool) -> str:
    """A moment as they write it: ISO 8601, UTC, Z."""
    spec = "milliseconds" if with_fraction else "seconds"
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def _json(value: object, status: int = 200) -> Answer:
    return Answer.of_json(value, status, ensure_ascii=False)
