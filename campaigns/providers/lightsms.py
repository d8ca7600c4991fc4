"""LightSMS (lightsms.com): every call is a signed GET, every answer HTTP 200 with the error inside.

What shapes this file:

* A signature holds a timestamp that is good for 10 seconds of *their* clock, so we learn theirs.
* Many recipients to a request, one text, and no reference of ours: an answer not seen stays in doubt.
* Their documents disagree (100 numbers or 50; `deliver` or `delivered`; errors by number or by text, at
  the top, under an empty key or under the phone), so every form seen anywhere is read, and what cannot be
  read is in doubt, never a guess.

Sources, as named in the tables below: GUIDE developers.paysera.com/guides/lightsms (core-features,
error-codes, authentication) · API developers.paysera.com/api/lightsms (send-sms, get-balance) · INTIS
Intis-Telecom-SDK-PHP, MOBIL python-mobilvest, BALT Baltneta's C# sample, WEBCOM apidocs.webcom.mobi: other
clients of the same platform · SYMFONY Notifier/Bridge/LightSms.
"""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from random import getrandbits
from urllib.parse import quote

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    DayStatistics,
    Failed,
    InDoubt,
    Money,
    NotOurTurn,
    NotSent,
    OutboundMessage,
    Outcome,
    Receipt,
    Rejected,
    Throttled,
    Turn,
)
from campaigns.domain.states import MessageState
from campaigns.providers.wire import Answered, NeverLeft, Unseen, Wire, retry_after_seconds

_URL_TARGET = 4_000  # their limit is not documented; common servers stop near 8,000
_URL_LIMIT = 7_500  # beyond this a request is refused here, with a clear reason
_SIGNATURE_SECONDS = 5.0  # half of the timestamp's 10 s: what cannot leave by then is not sent
_CLOCK_SECONDS = 300.0  # how long a learned clock is good for
_CLOCK_ROUND_TRIP_SECONDS = 3.0  # learning may put us behind by so much and one second more
_CLOCK_DRIFT_SECONDS = 2.0  # wall and monotonic clock apart by more: the machine slept or was set
_BISECTIONS = 64  # questions one refused list of ids may cost


class Means(Enum):
    """What an error code means for the messages it speaks of."""

    TAKEN = "taken"
    REJECTED = "rejected"  # this message, for good
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
    "3": (Means.REJECTED, "text not specified", "API send-sms"),
    "4": (Means.REJECTED, "phone not specified", "API send-sms"),
    "5": (Means.REJECTED, "sender not specified", "API send-sms"),
    "6": (Means.CLOCK, "invalid signature or stale timestamp", "API send-sms, GUIDE error-codes"),
    "7": (Means.ACCOUNT, "invalid login", "API send-sms"),
    "8": (Means.REJECTED, "invalid sender name", "API send-sms, GUIDE sending-sms"),
    "9": (Means.REJECTED, "sender name not registered", "API send-sms, GUIDE sending-sms"),
    "10": (Means.REJECTED, "sender name not approved", "API send-sms"),
    "11": (Means.REJECTED, "forbidden words in the text", "API send-sms, GUIDE sending-sms"),
    "12": (Means.FAILED, "error sending the message", "API send-sms"),
    "13": (Means.REJECTED, "phone in the blacklist", "API send-sms, GUIDE sending-sms"),
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
    "34": (Means.REJECTED, "phone in the global stop list", "API send-sms"),
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

_DIGITS = re.compile(r"[0-9]{1,9}")
_CODE = re.compile(r"[0-9]{1,3}")
_MESSAGE_ID = re.compile(r"(?!0*$)[0-9A-Za-z._-]{1,64}")
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_MOMENT = re.compile(rb"\s*([0-9]{9,11})\s*")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Refusal:
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


Reading = Accepted | InDoubt | Refusal


def signature(parameters: Mapping[str, str], api_key: str) -> str:
    """Sign a call: md5 of all values in the order of their names, then the key, nothing between.

    Takes the values as they are meant (UTF-8 text, before URL encoding), without `signature` itself.
    Gives 32 lower-case hexadecimal digits. Source: GUIDE sending-sms, sample programs.
    """
    signed = "".join(parameters[name] for name in sorted(parameters)) + api_key
    return hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()


def read_answer(body: bytes, phones: Sequence[str]) -> list[Reading]:
    """Read the answer to a send: one reading for each of `phones` (E.164), in order. Pure, never raises.

    Takes every form seen: an object by phone, an error at the top, under an empty key, or a bare code.
    A phone the answer says nothing of is in doubt.
    """
    document = _load(body)
    if document is None:
        return [InDoubt("the answer cannot be read")] * len(phones)
    found: list[Reading] = []
    of_phone: dict[str, list[Reading]] = {}
    for key, entry in document.items() if isinstance(document, dict) else ():
        if isinstance(entry, dict) and "error" in entry:
            found.append(_read_entry(entry))
            for part in key.split(","):
                of_phone.setdefault(_msisdn(part), []).append(found[-1])
    match found:
        case [Refusal(of_message_with_id=False) as first, *more] if first.code in _OF_THE_WHOLE_REQUEST:
            if all(reading == first for reading in more):
                return [first] * len(phones)
    readings = [_choose(of_phone.get(_msisdn(phone), [])) for phone in phones]
    if not any(readings):
        code = _top_code(document)
        if len(phones) == 1 and len(found) == 1:
            readings = [*found]
        elif code == "0":
            readings = [InDoubt("the answer says taken and gives no ids")] * len(phones)
        elif code is not None:
            readings = [Refusal(code)] * len(phones)
    return [reading or InDoubt("the answer says nothing of this phone") for reading in readings]


def read_statuses(document: object, ids: Sequence[str]) -> list[Receipt]:
    """Read the JSON of status.php: what it says of `ids`, in their order. Pure, never raises.

    A value is a word, or an object with `status` (INTIS). Ids not asked for are left out.
    """
    receipts: list[Receipt] = []
    for provider_message_id in ids:
        said = _field(document, provider_message_id)
        word = _field(said, "status") if isinstance(said, dict) else said
        if isinstance(word, str):
            known = STATUSES.get(word.strip().lower())
            receipts.append(Receipt(provider_message_id, known[0] if known else None, _shown(word)))
    return receipts


def read_statistics(document: object) -> list[DayStatistics]:
    """Read the JSON of stat_by_month.php: by day an object of words, or a list of days (INTIS). Pure.

    Raises ProviderRefused where a line cannot be read: a sum that leaves lines out would be wrong.
    """
    statistics = []
    for line in _lines_of(document):
        match line:
            case (str(day), str(word), {"cost": cost, "parts": parts}) if _DAY.fullmatch(day):
                amount, count = _amount(cost), _count(parts)
            case _:
                amount, count = None, None
        if amount is None or count is None:
            raise ProviderRefused("LightSMS's statistics cannot be read")
        statistics.append(DayStatistics(day, _shown(word), amount, count))
    return sorted(statistics, key=lambda line: line.date)


def _lines_of(document: object) -> Iterator[tuple[object, object, object]]:
    """Day, word and numbers of each line; None where there should be one and is not."""
    days: list[tuple[object, object]] = [(None, None)]
    if isinstance(document, dict):
        days = list(document.items())
    elif isinstance(document, list):
        days = [(_field(entry, "date"), _field(entry, "stats")) for entry in document]
    for day, said in days:
        if isinstance(said, dict):
            yield from ((day, word, numbers) for word, numbers in said.items())
        elif isinstance(said, list):
            yield from ((day, _field(line, "status"), line) for line in said)
        else:
            yield None, None, None


def _load(body: bytes) -> object:
    """Their JSON, or a bare code as text; None where it is neither.

    Numbers stay text: an id of 22 digits does not survive being a number.
    """
    try:
        text = body.decode("utf-8-sig").strip()
        if _CODE.fullmatch(text):  # 000 is not JSON
            return text
        return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice: which of the two is meant nobody can say")
    return made


def _field(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, dict) else None


def _msisdn(phone: str) -> str:
    digits = phone.removeprefix("+")
    return (digits if digits.isdecimal() else re.sub("[^0-9]", "", digits)).removeprefix("00")


def _code(value: object) -> str | None:
    """A code as their tables print it. `000` is not `0`; what is not a number is not a code."""
    word = value.strip() if isinstance(value, str) else ""
    if word == "000":
        return word
    if not _CODE.fullmatch(word):
        return None
    code = str(int(word))
    return None if code == "0" and word != "0" else code


def _top_code(document: object) -> str | None:
    """The error of a whole answer: bare, at the top, or under an empty key (SYMFONY)."""
    return _code(document) or _code(_field(document, "error")) or _code(_field(_field(document, ""), "error"))


def _common_code(document: object) -> str | None:
    """The one error said under every id alike, other than 18, which does speak of the id."""
    entries = list(document.values()) if isinstance(document, dict) else []
    codes = {_code(_field(entry, "error")) for entry in entries}
    return codes.pop() if len(codes) == 1 and "18" not in codes else None


def _choose(readings: Sequence[Reading]) -> Reading | None:
    """One reading of all that is said of a phone: an accepted one counts, others must agree."""
    for reading in readings:
        if isinstance(reading, Accepted):
            return reading
    if any(reading != readings[0] for reading in readings):
        return InDoubt("the answer contradicts itself")
    return readings[0] if readings else None


def _read_entry(entry: Mapping[str, object]) -> Reading:
    code, named = _code(entry["error"]), entry.get("id_sms")
    if code is None:
        return InDoubt("the answer's error code cannot be read")
    if code != "0":
        return Refusal(code, bool(named))
    if not isinstance(named, str) or not _MESSAGE_ID.fullmatch(named):
        return InDoubt("the answer says taken and gives no id")
    return Accepted(named, _amount(entry.get("cost")), _count(entry.get("count_sms")))


def _amount(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else None


def _shown(word: str) -> str:
    return "".join(character for character in word if character.isprintable())[:64]


@dataclass(slots=True)
class _Clock:
    """Their clock, as we learned it."""

    ahead_seconds: float  # of our monotonic clock
    learned_at: float  # by our monotonic clock
    wall_ahead_seconds: float  # our own wall clock before our monotonic one, at that moment
    follows_refusal: bool  # learned because a signature was refused, and not believed since
    doubted: bool = False


class _NoAnswer(ProviderRefused):
    """A question was not answered."""

    def __init__(self, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after


class LightSms:
    """One account at LightSMS. Keeps `campaigns.domain.provider.Provider`.

    Takes `base_url`, everything before `/external/get/`; `timeout_seconds`, for one request as a whole;
    `currency`, where their answers name none; `clock` and `monotonic`, for tests.
    Promises: made inside the loop of its `wire`; any number of tasks may use it at once. Remembers
    their clock and how many recipients they take, nothing of any message.
    """

    def __init__(  # noqa: PLR0913  an account is configured once, all by name
        self,
        *,
        name: str,
        login: str,
        api_key: str,
        wire: Wire,
        base_url: str = "https://www.lightsms.com",
        timeout_seconds: float = 20.0,
        max_recipients_per_request: int = 100,
        max_status_ids_per_request: int = 100,
        currency: str | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._login = login
        self._api_key = api_key
        self._wire = wire
        self._root = base_url.rstrip("/") + "/external/get/"
        self._timeout_seconds = timeout_seconds
        self._max_recipients = max_recipients_per_request
        self._max_status_ids = max_status_ids_per_request
        self._currency = currency
        self._wall = clock
        self._monotonic = monotonic
        self._learning = asyncio.Lock()
        self._clock: _Clock | None = None
        self._clock_failure: tuple[float, str] | None = None  # when learning last failed, and why
        self._refused = False  # a signature was refused and none believed since

    def __repr__(self) -> str:
        return f"LightSms(name={self._name!r})"

    @property
    def name(self) -> str:
        """The account's name in our settings."""
        return self._name

    @property
    def timeout_seconds(self) -> float:
        """The longest one request may take."""
        return self._timeout_seconds

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` by text, then by recipients (fewer after a code 14) and length of the URL."""
        alike: dict[str, list[OutboundMessage]] = {}
        for message in messages:
            alike.setdefault(message.text, []).append(message)
        requests: list[list[OutboundMessage]] = []
        for text, group in alike.items():
            # Half of a surrogate pair can be measured; `hand_over` refuses it.
            measured = (each.encode(errors="replace").decode() for each in ("", text, sender_id))
            empty = len(self._url("send.php", self._send_parameters(*measured), 10**9))
            length, phones = empty, set[str]()
            for message in group:
                more = len(message.phone)  # the + we leave out makes room for the comma
                full = len(phones) >= self._max_recipients or length + more > _URL_TARGET
                # Their answer is keyed by phone and cannot hold one twice.
                if not phones or full or message.phone in phones:
                    requests.append([])
                    length, phones = empty, set()
                requests[-1].append(message)
                phones.add(message.phone)
                length += more
        return requests

    async def prepare(self) -> None:
        """Learn their clock, when ours of it is missing, old or doubted. One question however many ask.

        Raises ProviderRefused.
        """
        asked_at = self._monotonic()
        async with self._learning:
            now, clock = self._monotonic(), self._clock
            if (
                clock is not None
                and not clock.doubted
                and now - clock.learned_at < _CLOCK_SECONDS
                and abs(self._wall() - now - clock.wall_ahead_seconds) < _CLOCK_DRIFT_SECONDS
            ):
                return
            if self._clock_failure is not None and self._clock_failure[0] >= asked_at:
                raise _NoAnswer(self._clock_failure[1])  # it failed while we waited: that was our answer too
            try:
                self._clock = await self._learn()
            except _NoAnswer as failure:
                self._clock_failure = (self._monotonic(), str(failure))
                raise

    async def _learn(self) -> _Clock:
        before = self._monotonic()
        result = await self._wire.ask(
            self._root + "timestamp.php", timeout_seconds=self._timeout_seconds, max_bytes=4096
        )
        now = self._monotonic()
        answer = self._expect_answer(result)
        said = _MOMENT.fullmatch(answer.body)
        if said is None:
            raise _NoAnswer("LightSMS's clock cannot be read")
        if now - before > _CLOCK_ROUND_TRIP_SECONDS:
            raise _NoAnswer("LightSMS answers too slowly to set a clock by")
        # Counted from the moment the answer was here, so we are never ahead of them: a timestamp of the
        # past is good for 10 s, of the future they say nothing. Kept against the monotonic clock, which
        # nobody sets; where it runs away from the wall clock, `prepare` learns anew.
        return _Clock(int(said[1]) - now, now, self._wall() - now, self._refused)

    def _clock_refused(self, clock: _Clock) -> bool:
        """Note that a signature was refused; whether that says the credentials are at fault."""
        if clock is not self._clock:
            return False  # an answer to a signature of before: the clock in use was learned since
        clock.doubted = True
        self._refused = True
        return clock.follows_refusal

    def _clock_believed(self, clock: _Clock) -> None:
        if clock is self._clock:
            self._refused = clock.follows_refusal = False

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one request over: a signed GET to send.php, made at the last moment."""
        now = asyncio.get_running_loop().time()
        count, clock = len(request), self._clock
        if clock is None or clock.doubted:
            return [NotSent("LightSMS's clock must be learned first", clock is not None)] * count
        phones = [message.phone for message in request]
        url = self._paid_url(request, sender_id, clock)
        if not isinstance(url, str):
            return [url] * count
        result = await self._wire.hand_over(
            "GET",
            url,
            timeout_seconds=self._timeout_seconds,
            leave_by=min(leave_by, now + _SIGNATURE_SECONDS),
        )
        match result:
            case NeverLeft(why):
                return [NotSent(why)] * count
            case Unseen(why):
                return [InDoubt(why)] * count
            case Answered(status=status) if 200 <= status < 300:
                return self._outcomes(result, phones, clock)
            case Answered():
                return [self._outcome_of_status(result, count)] * count

    def _paid_url(
        self, request: Sequence[OutboundMessage], sender_id: str, clock: _Clock
    ) -> str | NotSent | Rejected:
        phones = [_msisdn(message.phone) for message in request]
        texts = {message.text for message in request}
        if len(texts) != 1 or len(set(phones)) != len(phones):
            return NotSent("a request holds one text and no phone twice")
        parameters = self._send_parameters(",".join(phones), texts.pop(), sender_id)
        try:
            url = self._url("send.php", parameters, int(self._monotonic() + clock.ahead_seconds))
        except UnicodeEncodeError:
            return Rejected("not_unicode", "text or sender cannot be written as UTF-8")
        if len(url) <= _URL_LIMIT:
            return url
        if len(phones) > 1:
            return NotSent("the request is too long for one URL")
        return Rejected("url_too_long", "the text is too long for one URL")

    def _outcomes(self, answer: Answered, phones: Sequence[str], clock: _Clock) -> list[Outcome]:
        readings = read_answer(answer.body, phones)
        refusals = [reading for reading in readings if isinstance(reading, Refusal)]
        at_fault = False
        if any(refusal.means is Means.CLOCK for refusal in refusals):
            at_fault = self._clock_refused(clock)
        elif not all(isinstance(reading, InDoubt) for reading in readings):
            self._clock_believed(clock)

        def outcome(refusal: Refusal) -> Outcome:  # noqa: PLR0911  one line for each meaning
            code, reason = refusal.code, refusal.reason
            match refusal.means:
                case Means.REJECTED:
                    return Rejected(code, reason)
                case Means.FAILED | Means.TAKEN:  # TAKEN is never a refusal; final if it were
                    return Failed(code, reason)
                case _ if refusal.of_message_with_id:
                    return InDoubt(f"refused with code {code}, and yet given an id")
                case Means.CLOSED:
                    return Throttled(retry_after_seconds(answer, self._wall()), reason)
                case Means.CLOCK if at_fault:
                    return AccountTrouble(code, f"{reason}, also by a clock learned anew")
                case Means.CLOCK:
                    return NotSent(reason, retry_at_once=True)
                case Means.TOO_MANY:
                    return self._too_many(code, reason, len(phones))
                case Means.ACCOUNT:
                    return AccountTrouble(code, reason)

        return [outcome(reading) if isinstance(reading, Refusal) else reading for reading in readings]

    def _too_many(self, code: str, reason: str, count: int) -> Outcome:
        if count == 1:
            return Rejected(code, reason)
        self._max_recipients = min(self._max_recipients, count // 2)
        return NotSent(reason, retry_at_once=True)

    def _outcome_of_status(self, answer: Answered, count: int) -> Outcome:
        """What an HTTP status other than success says. Their own answers all come with 200 (SYMFONY)."""
        said = f"HTTP {answer.status}"
        match answer.status:
            case 429 | 503:  # RFC 6585, 4 and RFC 9110, 15.6.4: not handled now, come back
                return Throttled(retry_after_seconds(answer, self._wall()), said)
            case 413 | 414 | 431:  # the server in front found it too long to read
                return self._too_many(f"http_{answer.status}", "the request is too long", count)
            case 401 | 403 | 404 | 405 | 410:  # nothing behind this address takes messages from us
                return AccountTrouble(f"http_{answer.status}", "the address or the access is wrong")
            case _:  # 3xx, 5xx, and a 4xx nobody documents: somebody may have taken it
                return InDoubt(said)

    async def ask(self, provider_message_ids: Sequence[str], turn: Turn) -> Answers:
        """Ask status.php, up to `max_status_ids_per_request` at a time.

        Code 18 does not say which of several ids it means: the list is halved until it does, up to a
        bound, in random order so that every id gets its turn in the end.
        """
        ids = [each for each in dict.fromkeys(provider_message_ids) if _MESSAGE_ID.fullmatch(each)]
        size = self._max_status_ids
        waiting = [ids[at : at + size] for at in range(0, len(ids), size)][::-1]
        receipts: list[Receipt] = []
        bisections, trouble = 0, None
        try:
            while waiting:
                asked = waiting.pop()
                said = await self._question("status.php", {"state": ",".join(asked)}, turn)
                if not isinstance(said, Refusal):
                    receipts += read_statuses(said, asked)
                elif said.code != "18":
                    return Answers(
                        receipts, f"LightSMS refused the question: {said.reason} (code {said.code})"
                    )
                elif len(asked) > 1 and bisections < _BISECTIONS:
                    bisections += 1
                    halves = [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
                    waiting += halves if getrandbits(1) else halves[::-1]
                elif len(asked) > 1:
                    trouble = "LightSMS knows too many of these ids not, to ask for each at once"
        except NotOurTurn as later:
            return Answers(receipts, "the account's pace is used up", later.wait_seconds)
        except _NoAnswer as failure:
            return Answers(receipts, str(failure), failure.retry_after_seconds)
        return Answers(receipts, trouble)

    async def balance(self) -> Money:
        """Ask balance.php. Raises ProviderRefused."""
        said = await self._question("balance.php", {})
        if isinstance(said, Refusal):
            raise ProviderRefused(f"LightSMS refused the balance: {said.reason} (code {said.code})")
        amount, currency = _amount(_field(said, "money")), _field(said, "currency")
        if amount is None:
            raise ProviderRefused("LightSMS's balance cannot be read")
        named = isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)
        return Money(amount, str(currency) if named else self._currency)

    async def statistics(self, month: str) -> list[DayStatistics]:
        """Ask stat_by_month.php. Ordered by day. Raises ProviderRefused."""
        if not _MONTH.fullmatch(month):
            raise ProviderRefused("A month is written YYYY-MM, for example 2025-01.")
        said = await self._question("stat_by_month.php", {"month": month})
        if isinstance(said, Refusal):
            if said.code == "19":
                return []
            raise ProviderRefused(f"LightSMS refused the statistics: {said.reason} (code {said.code})")
        return read_statistics(said)

    async def _question(
        self, script: str, parameters: Mapping[str, str], turn: Turn | None = None
    ) -> object | Refusal:
        """Ask one thing, once more with a clock learned anew. Raises ProviderRefused, NotOurTurn."""
        for _ in range(2):
            await self.prepare()
            if turn is not None:
                await turn()
            clock = self._clock
            assert clock is not None  # noqa: S101  prepare() gave one or raised
            moment = int(self._monotonic() + clock.ahead_seconds)
            url = self._url(script, {"login": self._login, "return": "json", **parameters}, moment)
            result = await self._wire.ask(url, timeout_seconds=self._timeout_seconds)
            document = _load(self._expect_answer(result).body)
            if document is None:
                raise _NoAnswer("LightSMS's answer cannot be read")
            code = _top_code(document) or _common_code(document)
            if code is None or code == "0":
                self._clock_believed(clock)
                return document
            refusal = Refusal(code)
            if refusal.means is Means.CLOSED:
                raise _NoAnswer(f"LightSMS refused the question: {refusal.reason} (code {code})")
            if refusal.means is not Means.CLOCK:
                return refusal
            if self._clock_refused(clock):
                break
        raise _NoAnswer("LightSMS refused the signature, also by a clock learned anew (code 6 or 24)")

    def _expect_answer(self, result: Answered | NeverLeft | Unseen) -> Answered:
        match result:
            case NeverLeft(why) | Unseen(why):
                raise _NoAnswer(f"LightSMS did not answer: {why}")
            case Answered(status=status) if not 200 <= status < 300:
                raise _NoAnswer(f"LightSMS answered HTTP {status}", retry_after_seconds(result, self._wall()))
            case Answered():
                return result

    def _send_parameters(self, phones: str, text: str, sender_id: str) -> dict[str, str]:
        return {"login": self._login, "phone": phones, "text": text, "sender": sender_id, "return": "json"}

    def _url(self, script: str, parameters: Mapping[str, str], moment: int) -> str:
        named = {**parameters, "timestamp": str(moment)}
        named["signature"] = signature(named, self._api_key)
        # A comma may stand as it is, as in their examples: two bytes less for each recipient.
        query = "&".join(f"{key}={quote(value, safe=',')}" for key, value in named.items())
        return f"{self._root}{script}?{query}"
