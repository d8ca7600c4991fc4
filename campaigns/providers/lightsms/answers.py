"""What LightSMS says, read: its error codes, its status words, its answers. Pure: no wire, no clock.

Their documents disagree (errors by number or by text, at the top, under an empty key or under the phone;
`deliver` or `delivered`), so every form seen anywhere is read, and what cannot be read is in doubt, never a
guess. Sources are named as in `adapter.py`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Accepted, DayStatistics, InDoubt, Receipt, StopListEntry
from campaigns.domain.states import MessageState
from campaigns.providers.documents import Json, amount_of, count_of, field_of, is_message_id, shown, text_of


class Means(Enum):
    """What an error code means for the messages it speaks of."""

    TAKEN = "taken"
    REJECTED = "rejected"  # this message, for good
    STOPPED = "stopped"  # the same, since its number wants nothing any more
    SENDER = "sender"  # nothing taken: the sender is at fault, whatever the number
    TEXT = "text"  # nothing taken: the text is
    FAILED = "failed"  # final, and the words leave open what happened: never again
    CLOSED = "closed"  # nothing taken, come back later
    CLOCK = "clock"  # nothing taken: signature or timestamp
    TOO_MANY = "too many"  # nothing taken: fewer recipients to a request
    ACCOUNT = "account"  # nothing taken: credentials, configuration or money


CODES: dict[str, tuple[Means, str, str]] = {
    "000": (Means.CLOSED, "service unavailable", "BALT"),
    "0": (Means.TAKEN, "taken", "GUIDE sending-sms"),
    "1": (Means.ACCOUNT, "signature not specified", "API send-sms"),
    "2": (Means.ACCOUNT, "login not specified", "API send-sms"),
    "3": (Means.TEXT, "text not specified", "API send-sms"),
    "4": (Means.REJECTED, "phone not specified", "API send-sms"),
    "5": (Means.SENDER, "sender not specified", "API send-sms"),
    "6": (Means.CLOCK, "invalid signature or stale timestamp", "API send-sms, GUIDE error-codes"),
    "7": (Means.ACCOUNT, "invalid login", "API send-sms"),
    "8": (Means.SENDER, "invalid sender name", "API send-sms, GUIDE sending-sms"),
    "9": (Means.SENDER, "sender name not registered", "API send-sms, GUIDE sending-sms"),
    "10": (Means.SENDER, "sender name not approved", "API send-sms"),
    "11": (Means.TEXT, "forbidden words in the text", "API send-sms, GUIDE sending-sms"),
    "12": (Means.FAILED, "error sending the message", "API send-sms"),
    "13": (Means.STOPPED, "phone in the blacklist", "API send-sms, GUIDE sending-sms"),
    "14": (Means.TOO_MANY, "too many numbers in the request", "API send-sms, SYMFONY, INTIS"),
    "15": (Means.FAILED, "list not specified", "API send-sms"),
    "16": (Means.REJECTED, "invalid phone number", "API send-sms"),
    "17": (Means.FAILED, "message id not specified", "API send-sms, GUIDE delivery-status"),
    "18": (Means.FAILED, "status not obtained", "API send-sms, GUIDE delivery-status"),
    "19": (Means.FAILED, "nothing found", "API send-sms, MOBIL"),
    "20": (Means.FAILED, "number already exists", "API send-sms"),
    "21": (Means.FAILED, "no name", "API send-sms"),
    "22": (Means.FAILED, "template already exists", "API send-sms"),
    "23": (Means.FAILED, "month not specified", "API send-sms"),
    "24": (Means.CLOCK, "timestamp not specified", "API send-sms"),
    "25": (Means.FAILED, "error accessing the list", "API send-sms"),
    "26": (Means.FAILED, "no numbers in the list", "API send-sms"),
    "27": (Means.REJECTED, "no valid numbers", "API send-sms"),
    "28": (Means.FAILED, "start date not specified", "API send-sms"),
    "29": (Means.FAILED, "end date not specified", "API send-sms"),
    "30": (Means.FAILED, "date not specified", "API send-sms"),
    "31": (Means.REJECTED, "destination closed", "API send-sms, INTIS"),
    "32": (Means.ACCOUNT, "not enough money", "API send-sms, GUIDE sending-sms"),
    "33": (Means.REJECTED, "phone number not set", "API send-sms, INTIS"),
    "34": (Means.STOPPED, "phone in the global stop list", "API send-sms"),
    "35": (Means.ACCOUNT, "not enough money", "API send-sms, INTIS"),
    "36": (Means.FAILED, "phone information not obtained", "API send-sms"),
    "37": (Means.FAILED, "list id not set", "API send-sms"),
    "38": (Means.FAILED, "phone already in the list", "API send-sms"),
    "39": (Means.FAILED, "phone not in the list", "API send-sms"),
}
"""Every documented code: what it means, in words, and where that is said."""

STATUSES: dict[str, tuple[MessageState, str]] = {
    "": (MessageState.ACCEPTED, "bsg.world, same vocabulary: blank while queued"),
    "pending": (MessageState.ACCEPTED, "GUIDE delivery-status"),
    "send": (MessageState.ACCEPTED, "WEBCOM: status not yet received"),
    "sent": (MessageState.SENT, "GUIDE delivery-status"),
    "partly_deliver": (MessageState.SENT, "INTIS; WEBCOM: sent, status not received"),
    "delivered": (MessageState.DELIVERED, "GUIDE delivery-status"),
    "deliver": (MessageState.DELIVERED, "INTIS, WEBCOM"),
    "read": (MessageState.READ, "WEBCOM: final"),
    "not_deliver": (MessageState.UNDELIVERED, "GUIDE delivery-status, INTIS, MOBIL"),
    "expired": (MessageState.EXPIRED, "GUIDE delivery-status, INTIS"),
}
"""Every status word seen: our state, and where it is said. Any other word is kept and changes nothing."""

_OF_THE_WHOLE_REQUEST = frozenset({"1", "2", "6", "7", "14", "24"})
"""Said under one phone these speak of all: one signature, one login, one list (GUIDE error-codes keys
a refused signature by phone)."""

_JSON = Json(parse_int=str, parse_float=str)
_CODE = re.compile(r"[0-9]{1,3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An error code, for one message or for a whole request."""

    code: str
    of_message_with_id: bool = False  # it also holds a message id: then nobody can say it was not taken

    @property
    def means(self) -> Means:
        """What the documents say of the code; a code they do not hold is final."""
        return CODES[self.code][0] if self.code in CODES else Means.FAILED

    @property
    def reason(self) -> str:
        """The code in words."""
        return CODES[self.code][1] if self.code in CODES else "a code their documents do not hold"


Reading = Accepted | InDoubt | ErrorCode


def read_answer(body: bytes, phones: Sequence[str]) -> list[Reading]:
    """Read the answer to a send: one reading for each of `phones` (E.164), in order. Pure, never raises.

    Takes every form seen: an object by phone, an error at the top, under an empty key, or a bare code.
    A phone the answer says nothing of is in doubt, and so is each of two that it gives one id to.
    """
    readings = _readings(body, phones)
    given = Counter(reading.provider_message_id for reading in readings if isinstance(reading, Accepted))
    return [
        InDoubt("the answer gives one id to several phones")
        if isinstance(reading, Accepted) and given[reading.provider_message_id] > 1
        else reading
        for reading in readings
    ]


def _readings(body: bytes, phones: Sequence[str]) -> list[Reading]:
    document = load(body)
    if document is None:
        return [InDoubt("the answer cannot be read")] * len(phones)
    numbers = [msisdn(phone) for phone in phones]
    asked = frozenset(numbers)
    found: list[Reading] = []
    of_number: dict[str, Reading] = {}
    for key, entry in document.items() if isinstance(document, dict) else ():
        if isinstance(entry, dict) and "error" in entry:
            reading = _read_entry(entry)
            found.append(reading)
            for number in (key,) if key in asked else map(msisdn, key.split(",")):
                before = of_number.get(number)
                of_number[number] = reading if before is None else _agreed(before, reading)
    match found:
        case [ErrorCode(of_message_with_id=False) as first, *more] if first.code in _OF_THE_WHOLE_REQUEST:
            if all(reading == first for reading in more):
                return [first] * len(phones)
    silent: Reading = InDoubt("the answer says nothing of this phone")
    if asked.isdisjoint(of_number):
        code = top_code(document)
        if len(phones) == 1 and len(found) == 1:
            return found
        if code == "0":
            silent = InDoubt("the answer says taken and gives no ids")
        elif code is not None:
            silent = ErrorCode(code)
    return [of_number.get(number, silent) for number in numbers]


def read_statuses(document: object, ids: Sequence[str]) -> list[Receipt]:
    """Read the JSON of status.php: what it says of `ids`, in their order. Pure, never raises.

    A value is a word, or an object with `status` (INTIS). Ids not asked for are left out.
    """
    receipts: list[Receipt] = []
    answers = _by_id(document)
    for provider_message_id in ids:
        status_word = _status_word(answers.get(provider_message_id))
        if isinstance(status_word, str):
            known = STATUSES.get(status_word.strip().lower())
            receipts.append(Receipt(provider_message_id, known[0] if known else None, shown(status_word)))
    return receipts


def is_status_answer(document: object, ids: Sequence[str]) -> bool:
    """Whether `read_statuses` can read all that an answer says: not one in another form, or about other ids
    alone. An id may be missing, have no word yet (null), or not be known (18). Pure, never raises.
    """
    if document in ([], {}):  # PHP writes an object without entries as []
        return True
    answers = _by_id(document)
    said = [answers[each] for each in ids if each in answers]
    return bool(said) and all(
        isinstance(_status_word(value), str | None) or _code(field_of(value, "error")) == "18"
        for value in said
    )


def _by_id(document: object) -> Mapping[str, object]:
    return {key.strip(): said for key, said in document.items()} if isinstance(document, dict) else {}


def _status_word(said: object) -> object:
    return said["status"] if isinstance(said, dict) and "status" in said else said


def read_statistics(document: object) -> list[DayStatistics]:
    """Read the JSON of stat_by_month.php: by day an object of words, or a list of days (INTIS). Pure.

    Raises ProviderRefused where a line cannot be read: a sum that leaves lines out would be wrong.
    """
    statistics = []
    for line in _lines_of(document):
        match line:
            case (str(day), str(status_word), {"cost": cost, "parts": parts}) if _DAY.fullmatch(day):
                amount, count = amount_of(cost), count_of(parts)
            case _:
                amount, count = None, None
        if amount is None or count is None:
            raise ProviderRefused("LightSMS's statistics cannot be read")
        statistics.append(DayStatistics(day, shown(status_word), amount, count))
    return sorted(statistics, key=lambda line: line.date)


def _lines_of(document: object) -> Iterator[tuple[object, object, object]]:
    """Day, word and numbers of each line; None where there should be one and is not."""
    days: list[tuple[object, object]] = [(None, None)]
    if isinstance(document, dict):
        days = list(document.items())
    elif isinstance(document, list):
        days = [(field_of(entry, "date"), field_of(entry, "stats")) for entry in document]
    for day, said in days:
        if isinstance(said, dict):
            yield from ((day, status_word, numbers) for status_word, numbers in said.items())
        elif isinstance(said, list):
            yield from ((day, field_of(line, "status"), line) for line in said)
        else:
            yield None, None, None


def read_stop_list(document: object) -> StopListEntry | None:
    """Read the JSON of find_on_stop.php; None: the number is not listed. Pure.

    Takes every form seen: `time_in` and `description` (GUIDE blacklist), the same under an id (INTIS),
    `blacklisted` (API check-blacklist), and nothing. Raises ProviderRefused for any other.
    """
    if document in ([], {}):
        return None
    within = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    for entry in (document, *within):
        listed, reason = field_of(entry, "blacklisted"), field_of(entry, "description")
        if listed is False:
            return None
        since = field_of(entry, "time_in") or field_of(entry, "added_at")
        if listed is True or isinstance(since, str):
            return StopListEntry(
                shown(since) if isinstance(since, str) else None,
                shown(reason) if isinstance(reason, str) and reason.strip() else None,
            )
    raise ProviderRefused("LightSMS's answer cannot be read")


def load(body: bytes) -> object:
    """Their JSON, or a bare code as text; None where it is neither.

    Numbers stay text: an id of 22 digits does not survive being a number.
    """
    try:
        text = text_of(body)
        return text if _CODE.fullmatch(text) else _JSON.read(text)  # 000 is not JSON
    except (ValueError, RecursionError):
        return None


def msisdn(phone: str) -> str:
    """The digits of a number alone, as their wire has it."""
    digits = phone.removeprefix("+")
    return (digits if digits.isdecimal() else re.sub("[^0-9]", "", digits)).removeprefix("00")


def _code(value: object) -> str | None:
    """A code as their tables print it. `000` is not `0`; what is not a number is not a code."""
    text = value.strip() if isinstance(value, str) else ""
    if text == "000":
        return text
    if not _CODE.fullmatch(text):
        return None
    code = str(int(text))
    return None if code == "0" and text != "0" else code


def top_code(document: object) -> str | None:
    """The error of a whole answer: bare, at the top, or under an empty key (SYMFONY)."""
    match document:
        case [{"error": error, **more}] if not more:  # an object with the key 0, as PHP writes it
            return _code(error)
    return (
        _code(document)
        or _code(field_of(document, "error"))
        or _code(field_of(field_of(document, ""), "error"))
    )


def common_code(document: object) -> str | None:
    """The one error said under every id alike, other than 18, which does speak of the id."""
    common: str | None = None
    for entry in document.values() if isinstance(document, dict) else ():
        code = _code(field_of(entry, "error"))
        if code is None or code == "18" or code != (common or code):
            return None
        common = code
    return common


def _agreed(before: Reading, now: Reading) -> Reading:
    """One reading of two that are said of a phone: an accepted one counts, others must agree."""
    if before == now or isinstance(before, Accepted):
        return before
    return now if isinstance(now, Accepted) else InDoubt("the answer contradicts itself")


def _read_entry(entry: Mapping[str, object]) -> Reading:
    error, named = entry["error"], entry.get("id_sms")
    named = named.strip() if isinstance(named, str) else named
    if error != "0":
        code = _code(error)
        if code is None:
            return InDoubt("the answer's error code cannot be read")
        if code != "0":
            return ErrorCode(code, bool(named))
    if not isinstance(named, str) or not is_message_id(named):
        return InDoubt("the answer says taken and gives no id")
    return Accepted(named, amount_of(entry.get("cost")), count_of(entry.get("count_sms")))
