"""What Namirial's SMS Gateway says, read: its error codes, its status words, its answers. Pure: no wire.

What cannot be read is in doubt, never a guess. Sources are named as in `adapter.py`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum

from campaigns.domain.provider import Accepted, Failed, InDoubt, Receipt, Sighting
from campaigns.domain.said import believed_channel
from campaigns.domain.states import MessageState
from campaigns.providers.documents import Json, code_of, field_of, name_of, sentence_of, shown, text_of


class Means(Enum):
    """What an error code of the sending host means for the message."""

    REJECTED = "rejected"  # this message, for good
    TEXT = "text"  # nothing taken: the text is at fault, whatever the number
    FLOODED = "flooded"  # nothing taken: this number had too much of late
    ACCOUNT = "account"  # nothing taken: credentials or configuration
    DOUBT = "doubt"  # the words do not say that nothing was taken


CODES: dict[str, tuple[Means, str, str]] = {
    "8": (Means.REJECTED, "wrong number", "CODES, SEND"),
    "56": (Means.REJECTED, "invalid number", "CODES, SEND"),
    "59": (Means.ACCOUNT, "the reference service is none of those Namirial allows", "CODES, SEND, REFERENCE"),
    "60": (Means.FLOODED, "blocked by anti-flooding", "CODES, SEND, FLOODING"),
    "61": (Means.REJECTED, "the number is on a watchlist", "CODES, SEND"),
    "63": (Means.ACCOUNT, "user name or password is wrong", "CODES"),
    # Another company's trouble on the far side of Namirial: how far the message came it does not say.
    "64": (Means.DOUBT, "the provider behind Namirial is unavailable", "CODES; meaning inferred"),
    "66": (Means.TEXT, "the text is empty", "CODES"),
    "74": (Means.TEXT, "a text with a URL is not allowed", "CODES"),
}
"""Every documented code: what it means, in words, and where it is said."""

STATUSES: dict[str, tuple[MessageState, str]] = {
    "PROVIDER_ACCEPTANCE": (MessageState.ACCEPTED, "STATUS: accepted by the provider, the first of all"),
    "SENT": (MessageState.SENT, "STATUS"),
    "DELIVERED": (MessageState.DELIVERED, "STATUS: to the handset"),
    "REJECTED": (MessageState.REJECTED, "STATUS: by the provider, not sent"),
    "UNDELIVERED": (MessageState.UNDELIVERED, "STATUS: failed to deliver"),
    "READ": (MessageState.READ, "STATUS: by the recipient, RCS only"),
}
"""Every status word: our state, and where it is said. Any other word is kept and changes nothing."""

_WELL = frozenset({MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED, MessageState.READ})

MESSAGE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
"""A UUID today (STATUS); what may be put into a path and stored, should that change."""

UNREADABLE = InDoubt("the answer cannot be read")
"""Neither taken nor refused in any form that is known."""

_JSON = Json(parse_int=str, parse_float=str, parse_constant=str)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CODE = re.compile(r"[0-9]{1,4}")
_SAID = re.compile(r"\s*([0-9]{1,4})\s*:")  # "0: Accepted for delivery" (SEND)
_COUNT = re.compile(r"[1-9][0-9]{0,2}")
_LONGEST_NAME = 128  # characters; a longer key is not read
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def load(body: bytes) -> object:
    """Their JSON, None where it is none. Numbers stay text, so that nothing is lost on the way."""
    try:
        return _JSON.read(text_of(body))
    except (ValueError, RecursionError):
        return None


def read_taken(body: bytes) -> Accepted | Failed | InDoubt:
    """Read the body of a send that was answered with HTTP 200. Pure, never raises.

    Taken is an id beside a message that begins with "0:" (SEND), or a UUID without any message. A number
    other than 0 and no id is a refusal in a form nobody documents (inferred): final, never sent again.
    """
    document = load(body)
    said, named = field_of(document, "message"), field_of(document, "id")
    told = _SAID.match(said) if isinstance(said, str) else None
    code = told[1] if told else None
    if named is None or named == "":
        if code == "0":
            return InDoubt("the answer says taken and gives no id")
        if code is not None and int(code) > 0:
            return Failed(code, CODES[code][1] if code in CODES else "a code their documents do not hold")
        return UNREADABLE
    if not isinstance(named, str) or not MESSAGE_ID.fullmatch(named):
        return InDoubt("the answer's id cannot be read")
    if code == "0" or (said is None and _UUID.fullmatch(named) and field_of(document, "code") is None):
        return Accepted(named)
    return InDoubt("the answer gives an id and does not say taken")


def read_refusal(body: bytes) -> str | None:
    """The error code in a refusal, None where there is none to be read. Pure, never raises.

    An answer that holds an id as well contradicts itself: then nobody can say that it was not taken.
    """
    document = load(body)
    code = field_of(document, "code")
    if field_of(document, "id") or not isinstance(code, str) or not _CODE.fullmatch(code):
        return None
    return code


def read_receipt(said: object) -> Receipt | None:
    """Read one message object of a status answer or a callback; None where it has no status. Pure.

    A name that cannot be stored (no text, too long, control characters) is None in the receipt.
    """
    told = field_of(said, "status")
    status_word = shown(told) if isinstance(told, str) else ""
    if not status_word.strip():
        return None
    known = STATUSES.get(status_word.strip().upper())
    named, key = field_of(said, "id"), field_of(field_of(said, "reference"), "key")
    operator = field_of(said, "provider")
    segments = field_of(field_of(said, "sms"), "segments")  # RCS may have none
    # Of what went well their operator's code and sentence say no more than the word does.
    is_well = known is not None and known[0] in _WELL
    return Receipt(
        named if isinstance(named, str) and MESSAGE_ID.fullmatch(named) else None,
        known[0] if known else None,
        status_word,
        key if isinstance(key, str) and 0 < len(key) <= _LONGEST_NAME and key.isprintable() else None,
        code=None if is_well else code_of(field_of(operator, "code")),
        reason=None if is_well else _why(operator),
        changed_at=moment(field_of(said, "statusChangedAt")),
        segment_count=int(segments) if isinstance(segments, str) and _COUNT.fullmatch(segments) else None,
        channel=believed_channel(name_of(field_of(said, "channel"))),
    )


def _why(operator: object) -> str | None:
    """What the operator behind Namirial says: its sentence, else its own status word; then its name."""
    name = sentence_of(field_of(operator, "name"))
    why = sentence_of(field_of(operator, "message")) or sentence_of(field_of(operator, "status"))
    return f"{why} ({name})" if why and name else why or name


def read_sighting(said: object, phone: str | None = None) -> Sighting | None:
    """Read one message object as a sighting; None where id or status is missing. Pure.

    Takes the phone that was asked for, since theirs is not in the object.
    """
    receipt = read_receipt(said)
    if receipt is None or receipt.provider_message_id is None:
        return None
    reference = field_of(said, "reference")
    return Sighting(
        receipt.provider_message_id,
        receipt.evidence,
        receipt.provider_state,
        message_ref=receipt.message_ref,
        phone=phone,
        segment_count=receipt.segment_count,
        accepted_at=moment(field_of(said, "providerAcceptanceAt")),
        changed_at=receipt.changed_at,
        code=receipt.code,
        reason=receipt.reason,
        channel=receipt.channel,
        service=name_of(field_of(reference, "service")),
        action=name_of(field_of(reference, "action")),
    )


def read_list(body: bytes, phone: str | None = None) -> list[Sighting] | None:
    """Read `{"messages":[{"message":{...}}]}`; None where any part is not as documented. Pure.

    Whole or not at all: a list that leaves out what it cannot read would say absent of what is there.
    """
    messages = field_of(load(body), "messages")
    if not isinstance(messages, list):
        return None
    sightings = [read_sighting(field_of(entry, "message"), phone) for entry in messages]
    whole = [sighting for sighting in sightings if sighting is not None]
    return whole if len(whole) == len(sightings) else None


def newest_first(sightings: Sequence[Sighting]) -> list[Sighting]:
    """In order of the last change; their own order is not documented. What has no date comes last."""
    return sorted(sightings, key=lambda each: each.changed_at or each.accepted_at or _LONG_AGO, reverse=True)


def moment(value: object) -> datetime | None:
    """A date of theirs (ISO 8601, a fraction or none, UTC where no zone is said); None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        said = datetime.fromisoformat(value)
        return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)
    except (ValueError, OverflowError):  # the second: a zone that leads before the year 1
        return None
