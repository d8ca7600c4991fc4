"""Namirial SMS Gateway over its own wire: a host that sends and a host that tells statuses, on one port.

    POST /api/Services/send                 HTTP Basic: Options.login and .password
    POST /api/Services/checkServiceStatus   nothing
    GET  /api/messagestatus/{id}            X-Api-Key: Options.api_key
    GET  /api/messagestatus/phonenumber/{number}, /api/messagestatus/reference/{key}

Source: the provider's page on the status of messages and what is public beside it
(docs.namirial.app/products/sms: services-send, error-codes, attribute-reference, smsgw-anti-flooding, wb-how,
wb-configuration, openapi). Where they are silent this file decides, strictly:

* wrong or missing credentials of the sending host are HTTP 401 with code 63;
* what is not as documented and has no code (an unknown field, a missing one, another type, a key
  twice, a text of more than 1600 characters, a count below 1) is HTTP 400 with a sentence; another content
  type than JSON is HTTP 415;
* the services a message may be of are `SERVICES` and Options.senders; any other is code 59;
* a callback's address begins with https://, or is http on this machine (they want a public https);
* what is said without `detailed` is the message alone, without the id;
* a third message of one text to one number within an hour is dropped, as documented, and answered as if it
  had been taken, under an id that no question finds; it is not in the ledger. The 151st to one number is
  code 60;
* a status host's list is the latest of all, the oldest of them first: no order is documented, and nobody
  may rely on one. `sendDate` leaves out the moment itself;
* nothing costs anything: no document names prices. Options.balance, .price, .timezone, .error_form and
  .forbidden_words are not used; URLs in texts are allowed (code 74 comes by a fault).

Faults in Namirial's words: `code` is HTTP 500 with that code (at `health`: HTTP 200, not well);
`phone_code` refuses the message; `omit` takes it and leaves the id out; `missing_ids` makes an id unknown
or leaves messages out of a list, as an index does that is behind; `extra_keys` adds to a send's answer.
`object_form`, `int_codes`, `clock` and `code18` change nothing here.
"""

import re
import secrets
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import uuid4

from aiohttp import web

from simulator.callbacks import Call, Callbacks
from simulator.faults import (
    CodeFault,
    Drawn,
    Endpoint,
    ExtraKeysFault,
    Faults,
    MissingIdsFault,
    OmitFault,
    PhoneCodeFault,
    UnknownWordFault,
)
from simulator.ledger import digest_of
from simulator.namirial import answers
from simulator.namirial.answers import Order, read_order
from simulator.namirial.fates import ACCEPTED, FATES, Fate
from simulator.options import Options
from simulator.provider import Provider, Series
from simulator.reading import Unreadable, read_query, same
from simulator.segments import count_segments
from simulator.wire import Answer, Wire

SERVICES = frozenset({"ADMIN", "AUTHENTICATION", "DIGITALSIGN", "MARKETING"})
"""Names of services every simulated account may use; those of the pages and one for campaigns."""

_WINDOW_SECONDS = 3600.0
_MOST_OF_ONE_TEXT = 2
_MOST_TO_ONE_NUMBER = 150
_MOST_LISTED = 100
_LISTED_BY_ITSELF = 50
_COUNT = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)

Work = Callable[[Drawn], Answer]


@dataclass(frozen=True, slots=True)
class _Note:
    """What the ledger does not keep of a message."""

    reference: Mapping[str, str]
    digest: bytes
    segments: int
    callback_url: str | None


@dataclass(slots=True)
class _Notes:
    """Of every message, by sequence number, and where to find them. Sequence numbers ascend."""

    of: dict[int, _Note] = field(default_factory=dict)
    by_phone: dict[int, list[int]] = field(default_factory=dict)
    by_key: dict[str, list[int]] = field(default_factory=dict)

    def add(self, sequence: int, phone: int, note: _Note) -> None:
        self.of[sequence] = note
        self.by_phone.setdefault(phone, []).append(sequence)
        if "key" in note.reference:
            self.by_key.setdefault(note.reference["key"], []).append(sequence)


class Namirial(Provider):
    """One account at Namirial: its ledger and the two hosts."""

    fates = FATES
    retry_seconds = (60.0, 300.0, 1800.0)  # theirs are not known: these are made up

    @staticmethod
    def new_series() -> Series:
        """A UUID: the series and the number in it."""
        return Series(_beginning("4", "8"), 12, 16)

    def __init__(self, options: Options, faults: Faults, wire: Wire, callbacks: Callbacks) -> None:
        super().__init__(options, faults, wire, callbacks)
        self._services = SERVICES | frozenset(options.senders)
        basic = b64encode(f"{options.login}:{options.password}".encode()).decode()
        self._authorization = f"Basic {basic}"
        self._configurations = Series(_beginning("4", "9"), 12, 16)
        self._notes = _Notes()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add its paths to `router`."""
        self._add(router, "POST", "/api/Services/send", "send", self._handle_send)
        self._add(router, "POST", "/api/Services/checkServiceStatus", "health", self._handle_health)
        questions: dict[Endpoint, str] = {
            "status": "{name}",
            "phone_number": "phonenumber/{name}",
            "reference": "reference/{name}",
        }
        for endpoint, path in questions.items():
            handle = partial(self._handle_question, endpoint)
            self._add(router, "GET", f"/api/messagestatus/{path}", endpoint, handle)

    # --- the sending host ---------------------------------------------------------------------------

    async def _handle_send(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return await self._exchange("send", request, partial(self._send, request, body))

    def _send(self, request: web.Request, body: bytes, drawn: Drawn) -> Answer:
        if isinstance(drawn.ending, CodeFault):
            return answers.refusal(drawn.ending.code)
        given = request.headers.getall("Authorization", [])
        if len(given) != 1 or not same(given[0], self._authorization):
            return answers.refusal("63", 401)
        if request.content_type != "application/json":
            return Unreadable("a message comes as application/json", 415).answer
        try:
            order = read_order(body)
        except Unreadable as unreadable:
            return unreadable.answer
        by_fault = drawn.get(PhoneCodeFault)
        code = order.code(self._services) or (by_fault.code if by_fault else None)
        return self._take(order, drawn) if code is None else answers.refusal(code)

    def _take(self, order: Order, drawn: Drawn) -> Answer:
        """Take a message nothing is wrong with, or refuse its number."""
        phone = int(order.destination[1:])
        more = {"queue": "normal", "accounts": [{}]} if drawn.get(ExtraKeysFault) else {}
        fate = FATES.of(phone)
        if fate.send_code is not None:
            say = answers.refusal_with_200 if fate.said_with_200 else answers.refusal
            return say(fate.send_code)
        digest = digest_of(order.text)
        recent = self._recent(phone)
        if len(recent) >= _MOST_TO_ONE_NUMBER:
            return answers.refusal("60")
        if sum(self._notes.of[sequence].digest == digest for sequence in recent) >= _MOST_OF_ONE_TEXT:
            return answers.taken(
                str(uuid4()), detailed=order.detailed, more=more
            )  # dropped, and answered as taken
        segments = count_segments(order.text)
        sequence = self.ledger.accept([phone], None, digest, segments)
        self._notes.add(sequence, phone, _Note(order.reference, digest, segments, order.callback_url))
        if order.callback_url is not None:
            for after_seconds, status_word in FATES.changes(fate, self._options.delivery_seconds):
                self._callbacks.after(
                    after_seconds, partial(self._call, sequence, status_word, after_seconds)
                )
        message_id = None if drawn.get(OmitFault) else self._series.id_of(sequence)
        return answers.taken(message_id, detailed=order.detailed, more=more)

    def _recent(self, phone: int) -> Sequence[int]:
        """What was taken to that number within the hour."""
        self._forget()
        sequences = self._notes.by_phone.get(phone, [])
        since = self.ledger.clock() - _WINDOW_SECONDS
        return sequences[bisect_left(sequences, since, key=self._due) :]

    def _due(self, sequence: int) -> float:
        taken = self.ledger.find(sequence)
        return 0.0 if taken is None else taken.due

    def _forget(self) -> None:
        """After the ledger was cleared: forget what was noted of its messages."""
        first = next(iter(self._notes.of), None)
        if first is not None and self.ledger.find(first) is None:
            self._notes = _Notes()

    async def _handle_health(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return await self._exchange("health", request, partial(self._health, body))

    @staticmethod
    def _health(body: bytes, drawn: Drawn) -> Answer:
        if body:
            return Unreadable("the health check takes no body").answer
        return answers.health(is_well=not isinstance(drawn.ending, CodeFault))

    # --- the status host ----------------------------------------------------------------------------

    async def _handle_question(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        return await self._exchange(endpoint, request, partial(self._answer, endpoint, request))

    def _answer(self, endpoint: Endpoint, request: web.Request, drawn: Drawn) -> Answer:
        if isinstance(drawn.ending, CodeFault):
            return answers.refusal(drawn.ending.code)
        given = request.headers.getall("X-Api-Key", [])
        if len(given) != 1 or not same(given[0], self._options.api_key):
            return answers.forbidden()
        self._forget()
        name = request.match_info["name"]
        try:
            if endpoint == "status":
                _read_query(request, frozenset())
                return self._by_id(name.lower(), drawn)
            query = _read_query(request, frozenset({"count", "sendDate"}))
            return self._list(endpoint, name, query, drawn)
        except Unreadable as unreadable:
            return unreadable.answer

    def _by_id(self, message_id: str, drawn: Drawn) -> Answer:
        sequence = self._series.sequence_of(message_id)
        taken = None if sequence is None else self.ledger.find(sequence)
        if sequence is None or taken is None or not FATES.of(taken.phone).known_by_id:
            return answers.unknown()
        return (
            answers.unknown() if drawn.get(MissingIdsFault) else answers.one(self._message(sequence, drawn))
        )

    def _list(self, endpoint: Endpoint, name: str, query: Mapping[str, str], drawn: Drawn) -> Answer:
        count = query.get("count", str(_LISTED_BY_ITSELF))
        if not _COUNT.fullmatch(count):
            raise Unreadable("count is a number of at least 1")
        if endpoint == "phone_number":
            if not answers.is_phone(name):
                raise Unreadable("a phone number is written in E.164 format")
            sequences = self._notes.by_phone.get(int(name[1:]), [])
        else:
            sequences = self._notes.by_key.get(name, [])
        if "sendDate" in query:
            sequences = sequences[: bisect_left(sequences, _moment(query["sendDate"]), key=self._due)]
        latest = sequences[-min(int(count), _MOST_LISTED) :]
        if missing := drawn.get(MissingIdsFault):
            latest = latest[missing.count :]
        return answers.many([self._message(sequence, drawn) for sequence in latest])

    def _message(self, sequence: int, drawn: Drawn) -> dict[str, object]:
        """The message as it is now."""
        fate, due = self._fate_and_due(sequence)
        after, status_word = FATES.status_word_at(
            fate, self.ledger.clock() - due, self._options.delivery_seconds
        )
        unknown = drawn.get(UnknownWordFault)
        return self._said(sequence, unknown.status_word if unknown else status_word or ACCEPTED, after)

    def _fate_and_due(self, sequence: int) -> tuple[Fate, float]:
        taken = self.ledger.find(sequence)
        assert taken is not None  # noqa: S101  only asked of what is in the notes; this tells mypy
        return FATES.of(taken.phone), taken.due

    def _said(self, sequence: int, status_word: str, after_seconds: float) -> dict[str, object]:
        fate, due = self._fate_and_due(sequence)
        note = self._notes.of[sequence]
        return answers.message(
            self._series.id_of(sequence),
            note.reference,
            fate,
            status_word=status_word,
            accepted_at=due,
            changed_at=due + after_seconds,
            segments=note.segments,
        )

    # --- callbacks ----------------------------------------------------------------------------------

    def _call(self, sequence: int, status_word: str, after_seconds: float) -> Call | None:
        """Tell that a word came; nothing where the ledger was cleared."""
        self._forget()
        note = self._notes.of.get(sequence)
        if note is None or note.callback_url is None:
            return None
        said = self._said(sequence, status_word, after_seconds)
        configuration_id = self._configurations.id_of(sequence)
        body = answers.notification(configuration_id, said, self.ledger.clock())
        return Call("POST", note.callback_url, {"Content-Type": "application/json"}, body)


def _beginning(version: str, variant: str) -> str:
    """The first four groups of a UUID of this run."""
    digits = secrets.token_hex(9)
    return f"{digits[:8]}-{digits[8:12]}-{version}{digits[12:15]}-{variant}{digits[15:18]}-"


def _read_query(request: web.Request, known: frozenset[str]) -> dict[str, str]:
    query = read_query(request)
    if not query.keys() <= known:
        raise Unreadable("the query has a parameter nobody knows")
    return query


def _moment(said: str) -> float:
    try:
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            raise ValueError
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise Unreadable("sendDate is a date and time with its zone, in ISO 8601") from None
