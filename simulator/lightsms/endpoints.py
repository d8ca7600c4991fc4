"""LightSMS over its own wire: `GET /external/get/*.php`, signed, answered with 200 and a code in the body.

Source: the provider's pages "Sending SMS Messages" and "Delivery Status & Monitoring" and what is public
beside them. Where they are silent this file decides, strictly:

* a parameter given twice, or one the script does not know, is HTTP 400 with a sentence: no code says it;
* a timestamp more than ten seconds off, to either side, is code 6; one that is no integer is code 24;
* a number of another form than 7 to 15 digits, after `+` or `00` or nothing, is code 16, a shorter one
  code 33, an empty item in the list is code 4 for the whole request;
* a number named twice in one request is accepted, paid and recorded in the ledger twice, and the answer,
  an object by number, holds only the last id: the worst case, which the ledger then shows;
* code 32 is decided by the price of every number of the request, refused ones included;
* ids nobody knows are left out of a status answer; when nothing is left, it is code 18;
* a status answer has no largest number of ids; a URL may have 8190 bytes;
* without `return` status.php answers plain text ("Delivery Status": the default) of our own making (a line
  each, fields parted by `;`), for no document shows it; the other scripts answer JSON (API send-sms: the
  default, on which Symfony's transport relies); an error in XML is `<response><error>6</error></response>`.
"""

import hashlib
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

from aiohttp import web

from simulator.faults import (
    ClockFault,
    Code18Fault,
    CodeFault,
    Drawn,
    Endpoint,
    MissingIdsFault,
    ObjectFormFault,
    OmitFault,
    PhoneCodeFault,
    UnknownWordFault,
)
from simulator.ledger import digest_of
from simulator.lightsms import answers
from simulator.lightsms.fates import FATES, status_word_at
from simulator.options import APPROVED_SENDERS
from simulator.provider import Provider, Series, concerns_ids
from simulator.reading import Refused, Unreadable, read_query
from simulator.segments import count_segments
from simulator.wire import Answer

_CLOCK_SECONDS = 10
_PHONE = re.compile(r"(?:\+|00)?[1-9][0-9]{6,14}", re.ASCII)
_SHORT = re.compile(r"[0-9]{1,6}", re.ASCII)
_SENDER = re.compile(r"[A-Za-z0-9 ._&-]{1,11}|[0-9]{1,15}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)
_SENDING_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
_UNAPPROVED_SENDER = "Pending"

_SIGNED = frozenset({"login", "signature", "timestamp", "return"})
_PARAMETERS: Final[Mapping[Endpoint, frozenset[str]]] = {
    "send": _SIGNED | {"phone", "text", "sender", "sendingTime"},
    "status": _SIGNED | {"state"},
    "stat_by_month": _SIGNED | {"month"},
    "balance": _SIGNED,
    "find_on_stop": _SIGNED | {"phone"},
    "timestamp": frozenset(),
}
_RETURNS: Final[Mapping[Endpoint, frozenset[str]]] = {
    endpoint: frozenset({"", "json", "xml"} | ({"array"} if endpoint == "stat_by_month" else set()))
    for endpoint in _PARAMETERS
}

Work = Callable[[Mapping[str, str], Drawn], Answer]


class LightSms(Provider):
    """One account at LightSMS: its money, its ledger and the six scripts."""

    fates = FATES

    @staticmethod
    def new_series() -> Series:
        """Twenty-two digits: the series and the number in it."""
        return Series(str(10**11 + secrets.randbelow(9 * 10**11)), 10)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the scripts to `router`. GET only: another method is 405."""
        scripts: dict[Endpoint, Work] = {
            "send": self._send,
            "status": self._status,
            "stat_by_month": self._statistics,
            "balance": self._balance,
            "find_on_stop": self._find_on_stop,
            "timestamp": self._timestamp,
        }
        for endpoint, work in scripts.items():
            handle = partial(self._handle, endpoint, work)
            self._add(router, "GET", f"/external/get/{endpoint}.php", endpoint, handle)

    async def _handle(self, endpoint: Endpoint, work: Work, request: web.Request) -> web.StreamResponse:
        query: Mapping[str, str] | Unreadable
        try:
            query = _read(endpoint, request)
        except Unreadable as unreadable:
            query = unreadable
        ids = [] if isinstance(query, Unreadable) else query.get("state", "").split(",")
        answer = partial(self._answer, endpoint, work, query)
        return await self._exchange(endpoint, request, answer, partial(concerns_ids, ids, self._is_unknown))

    def _answer(
        self, endpoint: Endpoint, work: Work, query: Mapping[str, str] | Unreadable, drawn: Drawn
    ) -> Answer:
        """What the script says: its answer, its refusal, or that it cannot read the question."""
        if isinstance(query, Unreadable):
            return query.answer
        ending, error_form, form = drawn.ending, self._options.error_form, _form(query, endpoint)
        try:
            if isinstance(ending, CodeFault):
                error_form = ending.form or error_form
                raise Refused(ending.code)
            if isinstance(ending, Code18Fault):
                raise Refused("18")
            if endpoint != "timestamp":
                self._check(query, drawn)
            return work(query, drawn)
        except Refused as refused:
            keys: list[str] = []
            if endpoint in ("send", "find_on_stop"):
                keys = query.get("phone", "").split(",")
            elif endpoint == "status" and isinstance(ending, CodeFault) and ending.form == "keyed":
                keys = query.get("state", "").split(",")
            return answers.refusal(refused.code, error_form, [key for key in keys if key], form, drawn)

    def _check(self, query: Mapping[str, str], drawn: Drawn) -> None:
        """What every signed script checks first, in its order. Raises Refused."""
        for name, code in (("signature", "1"), ("login", "2"), ("timestamp", "24")):
            if not query.get(name):
                raise Refused(code)
        if not _TIMESTAMP.fullmatch(query["timestamp"]):
            raise Refused("24")
        if query["login"] != self._options.login:
            raise Refused("7")
        if query["signature"] != sign(query, self._options.api_key):
            raise Refused("6")
        if abs(self._now(drawn) - int(query["timestamp"])) > _CLOCK_SECONDS:
            raise Refused("6")

    @staticmethod
    def _now(drawn: Drawn) -> int:
        """The provider's clock in whole seconds, off by what a fault says."""
        clock = drawn.get(ClockFault)
        return int(time.time() + (clock.offset_seconds if clock else 0.0))

    def _timestamp(self, _query: Mapping[str, str], drawn: Drawn) -> Answer:
        return Answer(f"{self._now(drawn)}\n".encode(), "text/plain")  # programs of the pages trim it

    # --- send ---------------------------------------------------------------------------------------

    def _send(self, query: Mapping[str, str], drawn: Drawn) -> Answer:
        options = self._options
        text, sender = query.get("text", ""), query.get("sender", "")
        phones = query.get("phone", "").split(",")
        if not text:
            raise Refused("3")
        if not all(phones):
            raise Refused("4")
        if not sender:
            raise Refused("5")
        if len(phones) > options.max_recipients:
            raise Refused("14")
        due = self._due(query.get("sendingTime", ""))
        if sender not in APPROVED_SENDERS and sender not in options.senders:
            if not _SENDER.fullmatch(sender):
                raise Refused("8")
            raise Refused("10" if sender == _UNAPPROVED_SENDER else "9")
        folded = text.casefold()
        if any(each.casefold() in folded for each in options.forbidden_words):
            raise Refused("11")
        segments = count_segments(text)
        cost = options.price * segments
        if cost * len(phones) > self._money:
            raise Refused("32")

        by_fault = drawn.get(PhoneCodeFault)
        codes = [_phone_code(phone) for phone in phones]
        if by_fault:
            codes[: by_fault.count] = [by_fault.code] * min(by_fault.count, len(phones))
        accepted = [int(phone) for phone, code in zip(phones, codes, strict=True) if code is None]
        first = self.ledger.accept(accepted, due, digest_of(text), segments)
        self._money -= cost * len(accepted)

        ids = iter(range(first, first + len(accepted)))
        entries = [
            (phone, code, self._series.id_of(next(ids)) if code is None else "")
            for phone, code in zip(phones, codes, strict=True)
        ]
        if omit := drawn.get(OmitFault):
            entries = entries[: -omit.count]
        return answers.sent(entries, cost, segments, sender, _form(query), drawn)

    def _due(self, sending_time: str) -> float | None:
        """When a scheduled message's life begins; None where nothing is scheduled. Raises Refused."""
        if not sending_time:
            return None
        form = "%Y-%m-%d %H:%M:%S" if sending_time.count(":") == 2 else "%Y-%m-%d %H:%M"
        try:
            if not _SENDING_TIME.fullmatch(sending_time):
                raise ValueError
            local = datetime.strptime(sending_time, form).replace(tzinfo=self._options.zone())
        except ValueError:
            raise Refused("30") from None
        return max(local.timestamp(), self.ledger.clock())

    # --- status -------------------------------------------------------------------------------------

    def _status(self, query: Mapping[str, str], drawn: Drawn) -> Answer:
        if not query.get("state"):
            raise Refused("17")
        found: dict[str, tuple[str, bool]] = {}
        at = self.ledger.clock()
        for message_id in query["state"].split(","):
            status_word, as_object = self._status_word(message_id, at)
            if status_word is not None:
                found[message_id] = (status_word, as_object)
        if not found:
            raise Refused("18")
        if missing := drawn.get(MissingIdsFault):
            for message_id in query["state"].split(",")[: missing.count]:
                found.pop(message_id, None)
        if unknown := drawn.get(UnknownWordFault):
            found = {message_id: (unknown.status_word, form) for message_id, (_, form) in found.items()}
        if drawn.get(ObjectFormFault):
            found = {message_id: (status_word, True) for message_id, (status_word, _) in found.items()}
        now = datetime.now(UTC).astimezone(self._options.zone()).strftime("%Y-%m-%d %H:%M:%S")
        return answers.statuses(found, now, _form(query, "status"))

    def _status_word(self, message_id: str, at: float) -> tuple[str | None, bool]:
        """The status word of an id at a moment of the ledger's clock (None: nobody knows), and whether it
        is served as an object.
        """
        sequence = self._series.sequence_of(message_id)
        taken = None if sequence is None else self.ledger.find(sequence)
        if taken is None:
            return None, False
        fate = FATES.of(taken.phone)
        status_word = status_word_at(fate, at - taken.due, self._options.delivery_seconds)
        return status_word, fate.object_form

    def _is_unknown(self, message_id: str) -> bool:
        return self._status_word(message_id, self.ledger.clock())[0] is None

    # --- statistics, balance, stop list -------------------------------------------------------------

    def _statistics(self, query: Mapping[str, str], drawn: Drawn) -> Answer:
        """Messages that came to an end, on the day they were accepted. The other words are not counted."""
        month = query.get("month", "")
        if not _MONTH.fullmatch(month):
            raise Refused("23")
        parts: dict[str, Counter[str]] = {}
        now = self.ledger.clock()
        for row in self.ledger.rows():
            day = datetime.fromtimestamp(row.at, UTC).astimezone(self._options.zone()).strftime("%Y-%m-%d")
            if not day.startswith(month):
                continue
            for phone in row.phones:
                status_word = status_word_at(FATES.of(phone), now - row.due, self._options.delivery_seconds)
                if status_word in answers.COUNTED:
                    parts.setdefault(day, Counter())[answers.COUNTED[status_word]] += row.segments
        if not parts:
            raise Refused("19")
        return answers.statistics(parts, self._options.price, _form(query), drawn)

    def _balance(self, query: Mapping[str, str], drawn: Drawn) -> Answer:
        return answers.balance(self._money, self._options.currency, _form(query), drawn)

    def _find_on_stop(self, query: Mapping[str, str], _drawn: Drawn) -> Answer:
        """Numbers whose fate is the blacklist or the stop list are on it."""
        phone = query.get("phone", "")
        if not phone:
            raise Refused("4")
        if not _PHONE.fullmatch(phone):
            raise Refused("16")
        return answers.stop_list(FATES.of(int(phone[-2:])).send_code in ("13", "34"), _form(query))


def sign(query: Mapping[str, str], api_key: str) -> str:
    """The signature of decoded parameters: md5 of their values in order of name (bytes), then the key.

    `signature` itself is left out. Lower-case hex. Source: "Sending SMS Messages", the three programs.
    """
    names = sorted((name for name in query if name != "signature"), key=str.encode)
    signed = "".join(query[name] for name in names) + api_key
    return hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()


def _read(endpoint: Endpoint, request: web.Request) -> dict[str, str]:
    """The decoded query. Raises Unreadable for what no document allows."""
    query = read_query(request)
    if not query.keys() <= _PARAMETERS[endpoint]:
        raise Unreadable(f"{endpoint}.php does not know a parameter it was given")
    if query.get("return", "") not in _RETURNS[endpoint]:
        raise Unreadable(f"{endpoint}.php does not know the value of return")
    return query


def _form(query: Mapping[str, str], endpoint: Endpoint = "send") -> str:
    """How the answer is written; empty: as text."""
    return query.get("return") or ("" if endpoint in ("status", "timestamp") else "json")


def _phone_code(phone: str) -> str | None:
    """The code one number is refused with; None: it is accepted."""
    if _PHONE.fullmatch(phone):
        return FATES.of(int(phone[-2:])).send_code
    return "33" if _SHORT.fullmatch(phone) else "16"
