"""What seven.io says, read: its codes, its status words, its answers. Pure: no wire, no clock.

Every answer is HTTP 200 and its clients disagree about the rest (a code as JSON text, as a number, under
`code` or `error_code`; ids as text or numbers; one status as an array, an object or two lines), so every
form seen anywhere is read, and what cannot be read is in doubt, never a guess. Their own `error_text` is not
repeated: it may quote the number, and the code says the same. Sources are named as in `adapter.py`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from zoneinfo import ZoneInfo

from campaigns.domain.provider import Accepted, InDoubt, Money, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.documents import Json, amount_of, count_of, field_of, is_message_id, shown, text_of


class Means(Enum):
    """What a code means for the messages it speaks of."""

    TAKEN = "taken"
    REJECTED = "rejected"  # these messages, for good
    SENDER = "sender"  # nothing taken: the sender is at fault, whatever the number
    TEXT = "text"  # nothing taken: the text is
    ONE_NUMBER = "one number"  # nothing taken, and it speaks of a number without saying which
    FAILED = "failed"  # final, and their documents disagree about what it says
    CLOSED = "closed"  # nothing taken, come back later
    LOCKED = "locked"  # nothing taken now; an attempt of before may have been
    DOUBT = "doubt"  # nobody can say
    ACCOUNT = "account"  # nothing taken: credentials, money, or the form of every request of ours


CODES: dict[str, tuple[Means, str, str]] = {
    "11": (Means.CLOSED, "carrier temporarily unavailable", "PHP StatusCode, GO"),
    "100": (Means.TAKEN, "taken", "DOCS sms"),
    "101": (Means.TAKEN, "taken for some recipients", "DOCS sms"),
    "201": (Means.SENDER, "invalid sender", "DOCS sms; JS calls it a country code"),
    "202": (Means.ONE_NUMBER, "invalid recipient", "DOCS sms"),
    "300": (Means.ACCOUNT, "authentication missing", "JS ErrorCode"),
    # 301, 308, 400 and 802 are faults in the form of a request, the same in all of ours: each message
    # would be refused for it, for good. Held, they go out once it is mended.
    "301": (Means.ACCOUNT, "recipient field missing", "DOCS sms"),
    "302": (Means.TEXT, "invalid text", "PHP ApiException"),
    "303": (Means.TEXT, "text too long", "PHP ApiException"),
    "304": (Means.FAILED, "message type missing, or no route", "JS ErrorCode; PHP ApiException"),
    "305": (Means.TEXT, "text missing or invalid", "DOCS sms, JS, GO"),
    "306": (Means.SENDER, "invalid sender", "JS ErrorCode"),
    "307": (Means.FAILED, "URL missing", "JS ErrorCode: of other endpoints"),
    "308": (Means.ACCOUNT, "unknown field in the request", "DOCS sms"),
    "400": (Means.ACCOUNT, "invalid message type", "JS ErrorCode; PHP: invalid message id"),
    "401": (Means.TEXT, "text too long", "DOCS sms, JS"),
    "402": (Means.LOCKED, "reload lock", "DOCS sms, JS: same text and recipient within 180 s"),
    "403": (Means.ONE_NUMBER, "daily limit of this number", "DOCS sms, JS"),
    "500": (Means.ACCOUNT, "not enough money", "DOCS sms, JS"),
    "600": (Means.DOUBT, "carrier or sending error", "DOCS sms, JS"),
    "700": (Means.DOUBT, "unknown error", "JS ErrorCode"),
    "801": (Means.FAILED, "logo file missing", "JS ErrorCode: legacy"),
    "802": (Means.ACCOUNT, "invalid label", "DOCS sms; JS: legacy"),
    "803": (Means.FAILED, "ringtone missing", "JS ErrorCode: legacy"),
    "900": (Means.ACCOUNT, "invalid API key", "DOCS sms, JS, PHP"),
    "901": (
        Means.ACCOUNT,
        "signature of the request refused",
        "DOCS sms; another thing when asked for statuses",
    ),
    "902": (Means.ACCOUNT, "API disabled, or not allowed for this key", "DOCS sms, JS, PHP"),
    "903": (Means.ACCOUNT, "IP address not allowed", "DOCS sms, JS, PHP"),
}
"""Every documented code at hand-over: what it means, in words, and where that is said."""

INVALID_ID = "901"
"""What 901 says when statuses are asked for (GO StatusApiCodeInvalidMessageId, JS ErrorCode)."""

STATUSES: dict[str, tuple[MessageState | None, str]] = {
    "ACCEPTED": (MessageState.ACCEPTED, "SEED: accepted by the SMSC"),
    "TRANSMITTED": (MessageState.SENT, "SEED: sent by the SMSC and should arrive soon"),
    "BUFFERED": (MessageState.BUFFERED, "SEED: cached by the SMSC; DOCS: not final"),
    "DELIVERED": (MessageState.DELIVERED, "SEED"),
    "NOTDELIVERED": (MessageState.UNDELIVERED, "SEED"),
    "EXPIRED": (MessageState.EXPIRED, "SEED"),
    "REJECTED": (MessageState.REJECTED, "SEED: by the carrier"),
    "FAILED": (MessageState.FAILED, "SEED: error while sending"),
    # Our `unknown` settles a message and theirs does not: DELIVERED may follow.
    "UNKNOWN": (None, "SEED; absent from the newest list of DOCS"),
}
"""Every status word: our state, and where it is said. UNKNOWN, and any other word, changes nothing."""

LOCKED = InDoubt("code 402, reload lock: an attempt of the last 180 s may have been taken")
"""Nothing was taken now, but the text went to that number within the last 180 seconds, and we cannot know
here whether that was an earlier attempt of ours whose answer was lost. The journal knows: see `look_up`."""

_UNREADABLE = InDoubt("the answer cannot be read")
_CONTRADICTION = InDoubt("the answer contradicts itself")

_JSON = Json(parse_int=str, parse_float=str)
_CODE = re.compile(r"[1-9][0-9]{1,2}")
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Answers repeat the text for each recipient, and JSON may spell it in escapes: a hundred of 1520 characters
each come to 1.8 MB at most."""

_UNIX = re.compile(r"[0-9]{9,14}")
_STATUS_WORD = re.compile(r"[A-Za-z_]{2,64}")
_MILLISECONDS_FROM = 10**11  # a UNIX time above this counts milliseconds


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code that says what became of a message. Of TAKEN, LOCKED and DOUBT there is none."""

    code: str
    means: Means
    reason: str


Reading = Accepted | InDoubt | ErrorCode


def read_answer(body: bytes, phones: Sequence[str]) -> list[Reading]:
    """Read the answer to a send: one reading for each of `phones` (E.164), in order. Pure, never raises.

    Entries are known by their recipient's digits; where one is not found and there are as many entries as
    phones, by position. A phone the answer says nothing of is in doubt.
    """
    document = load(body)
    messages = field_of(document, "messages")
    if not isinstance(messages, list) or not messages:
        return [_read_whole(document)] * len(phones)
    keys = [
        digits(recipient) if isinstance(recipient := field_of(m, "recipient"), str) else "" for m in messages
    ]
    wanted = [digits(phone) for phone in phones]
    positions: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    readings = []
    for position, phone in enumerate(wanted):
        found = positions.get(phone, [])
        if not found and len(messages) == len(phones) and keys[position] not in wanted:
            found = [position]
        readings.append(_choose([_read_entry(messages[at]) for at in found]))
    given = Counter(reading.provider_message_id for reading in readings if isinstance(reading, Accepted))
    return [
        InDoubt("the answer gives one id to several messages")
        if isinstance(reading, Accepted) and given[reading.provider_message_id] > 1
        else reading
        for reading in readings
    ]


def _read_whole(document: object) -> Reading:
    """An answer without entries: a code, or nothing that can be read."""
    code = top_code(document)
    if code is None:
        return _UNREADABLE
    if code not in CODES:
        return InDoubt(f"code {code}, which their documents do not hold")
    means, reason, _ = CODES[code]
    match means:
        case Means.TAKEN:
            return InDoubt("the answer says taken and gives no ids")
        case Means.LOCKED:
            return LOCKED
        case Means.DOUBT:
            return InDoubt(f"code {code}, {reason}")
        case _:
            return ErrorCode(code, means, reason)


def _read_entry(entry: object) -> Reading:
    """One of `messages`: `success` says whether this one was sent."""
    taken, named = field_of(entry, "success"), field_of(entry, "id")
    if taken is False:
        return _read_refusal(_code(field_of(entry, "error")), has_id=bool(named))
    if taken is not True:
        return _UNREADABLE
    named = named.strip() if isinstance(named, str) else ""
    if not is_message_id(named):
        return InDoubt("the answer says taken and gives no id")
    return Accepted(named, amount_of(field_of(entry, "price")), count_of(field_of(entry, "parts")))


def _read_refusal(code: str | None, *, has_id: bool) -> Reading:  # noqa: PLR0911  one line for each meaning
    """Why one message was not sent. An undocumented code is a refusal too: `success` is false."""
    if code is None:
        return ErrorCode("success_false", Means.REJECTED, "refused without a code")
    means, reason, _ = CODES.get(code, (Means.REJECTED, "a code their documents do not hold", ""))
    match means:
        case Means.TAKEN:
            return _CONTRADICTION
        case Means.LOCKED:
            return LOCKED
        case Means.DOUBT:
            return InDoubt(f"code {code}, {reason}")
        case Means.CLOSED | Means.ACCOUNT if has_id:
            return InDoubt(f"refused with code {code}, and yet given an id")
        case Means.SENDER | Means.TEXT if has_id:
            return ErrorCode(code, Means.REJECTED, reason)  # final, for it may have been taken
        case Means.CLOSED | Means.ACCOUNT | Means.SENDER | Means.TEXT:
            return ErrorCode(code, means, reason)
        case Means.REJECTED | Means.ONE_NUMBER | Means.FAILED:
            return ErrorCode(code, Means.REJECTED, reason)


def _choose(readings: Sequence[Reading]) -> Reading:
    """One reading of all that is said of a phone: an accepted one counts, others must agree."""
    if not readings:
        return InDoubt("the answer says nothing of this phone")
    for reading in readings:
        if isinstance(reading, Accepted):
            return reading
    return _CONTRADICTION if any(reading != readings[0] for reading in readings) else readings[0]


def read_statuses(body: bytes, ids: Sequence[str]) -> list[Receipt] | str | None:
    """Read the answer of /status: what it says of `ids`, in their order. Pure, never raises.

    Gives a code where it is one, None where it cannot be read. Takes an array, one object, or (for one id
    alone) two lines of text (SEED). Ids not asked for, and those without a status yet, are left out.
    """
    document = load(body)
    if (code := top_code(document)) is not None:
        return code
    if isinstance(document, list):
        entries = [entry for entry in document if isinstance(entry, dict) and "status" in entry]
        if len(entries) != len(document):
            return None
    elif isinstance(document, dict) and "status" in document:
        entries = [document if document.get("id") or len(ids) != 1 else {**document, "id": ids[0]}]
    else:
        lines = _read_lines(body) if len(ids) == 1 else None
        if lines is None:
            return None
        entries = [{"id": ids[0], "status": lines[0], "status_time": lines[1]}]
    said = {entry.get("id"): entry for entry in entries if isinstance(entry.get("id"), str)}
    found = [(each, said[each]) for each in ids if each in said]
    return [
        receipt
        for each, entry in found
        if (receipt := receipt_of(each, entry["status"], changed_at=moment_of(entry.get("status_time"))))
        is not None
    ]


def _read_lines(body: bytes) -> tuple[str, str | None] | None:
    """Status word and moment of a status in text form: the word is known, or a moment follows on the next
    line.
    """
    try:
        lines = text_of(body).split("\n")
    except UnicodeDecodeError:
        return None
    status_word, below = lines[0].strip(), [line.strip() for line in lines[1:] if line.strip()]
    if not _STATUS_WORD.fullmatch(status_word) or len(below) > 1:
        return None
    dated = bool(below) and moment_of(below[0]) is not None
    if dated:
        return status_word, below[0]
    return (status_word, None) if status_word.upper() in STATUSES and not below else None


def receipt_of(
    provider_message_id: str,
    status_word: object,
    message_ref: str | None = None,
    *,
    is_stale: bool = False,
    changed_at: datetime | None = None,
) -> Receipt | None:
    """A receipt with this word, None where there is no word yet. A stale one says that something was said."""
    if not isinstance(status_word, str) or not status_word.strip() or _code(status_word) is not None:
        return None
    known = None if is_stale else state_of(status_word)
    return Receipt(
        provider_message_id,
        known,
        shown(status_word),
        message_ref,
        is_coarse=is_stale,
        changed_at=None if is_stale else changed_at,
    )


def state_of(status_word: str) -> MessageState | None:
    """Our state for a status word; None for UNKNOWN and for a word we do not know."""
    known = STATUSES.get(status_word.strip().upper())
    return known[0] if known else None


def read_balance(body: bytes) -> Money | str | None:
    """Read the answer of /balance: an object. A code alone is a refusal and no money. Pure, never raises."""
    document = load(body)
    amount, currency = amount_of(field_of(document, "amount")), field_of(document, "currency")
    if amount is None:
        return top_code(document)
    named = isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)
    return Money(amount, str(currency) if named else None)


def load(body: bytes) -> object:
    """Their JSON; None where it is none. Numbers stay text: an id does not survive being a number."""
    try:
        return _JSON.read(text_of(body))
    except (ValueError, RecursionError):
        return None


def top_code(document: object) -> str | None:
    """The code of a whole answer: bare, or in `success`, `code`, `error_code` or `error` (PHP, JS)."""
    if isinstance(document, str):
        return _code(document)
    if not isinstance(document, dict):
        return None
    codes = {_code(document.get(name)) for name in ("success", "code", "error_code", "error")} - {None}
    return codes.pop() if len(codes) == 1 else None


def digits(phone: str) -> str:
    """The digits of a number alone, as their wire has it."""
    return re.sub("[^0-9]", "", phone).removeprefix("00")


def moment_of(text: object) -> datetime | None:
    """A moment as they write it, None where it is none: UNIX seconds or milliseconds, ISO 8601 with an
    offset, or a naive one, which is Berlin's (DOCS; SEED shows UNIX seconds).
    """
    if not isinstance(text, str):
        return None
    try:
        if _UNIX.fullmatch(text):
            number = int(text)
            return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS_FROM else number, UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            zone = _berlin()
            return moment.replace(tzinfo=zone).astimezone(UTC) if zone is not None else None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None  # their own example holds a 63rd second


@cache
def _berlin() -> ZoneInfo | None:
    try:
        return ZoneInfo("Europe/Berlin")
    except (KeyError, OSError):  # a slim machine has no database of zones; the hour is then not known
        return None


def _code(value: object) -> str | None:
    code = value.strip() if isinstance(value, str) else ""
    return code if _CODE.fullmatch(code) else None
