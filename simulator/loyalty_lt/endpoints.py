"""Loyalty.lt over its own wire: JSON both ways, two headers for access, errors by HTTP status, callbacks.

    POST /{locale}/sms/send                 one message
    GET  /{locale}/sms/status/{message_id}

Source: the provider's page "Get SMS Status" and what is public beside it (docs.loyalty.lt api-reference:
endpoints/sms/overview, send, status, webhooks; error-handling). Where they are silent this file decides,
strictly:

* a locale is two small letters; any other is no page of theirs (404 without JSON);
* what is missing, unknown, given twice, of another type or range is 422 VALIDATION_ERROR with its field; a
  body of another content type than JSON, or that is no JSON object, holds no field at all;
* checked in this order: credentials, pace, fields, sender, money, what the number is refused with;
* `receiptURL` is an absolute http or https address, and without `receipt` it is ignored; `scheduled` in the
  past is now; `validity` and `validityMinutes` (counted from the moment the life begins) exclude each other;
* a message whose validity passes expires; without one it never does, whatever its status then says of a day;
* a code is written as documented, then the other way, then not at all, in turn: over all refusals, and over
  all successes (`200`, `"200"`, none). A text of several parts is answered without three fields, as in
  their example;
* Options.messages_per_minute is counted over the sixty seconds before, what was accepted alone (1003);
* a status asked for again within five seconds is answered, and counted as `too_soon` among the requests of
  the ledger: their page asks for a pause and does not say what happens without;
* a callback is made at each change of the status, if asked for. Options.login, .password, .forbidden_words,
  .max_recipients, .timezone and .error_form are not used.

Faults in Loyalty.lt's words: `code` and `phone_code` refuse the request with that code and its status
(422 where no page knows the code); `omit` takes the message and leaves `data` empty; `missing_ids` makes an
id unknown; `object_form` is the short status of their OpenAPI file; `int_codes` writes every code as a
number; `extra_keys` adds to a send's answer. `clock` and `code18` change nothing here.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from aiohttp import web

from simulator.callbacks import Call, Callbacks
from simulator.faults import (
    CodeFault,
    Drawn,
    ExtraKeysFault,
    Faults,
    IntCodesFault,
    MissingIdsFault,
    ObjectFormFault,
    OmitFault,
    PhoneCodeFault,
    UnknownWordFault,
)
from simulator.ledger import digest_of
from simulator.loyalty_lt import answers
from simulator.loyalty_lt.answers import CODE_FORMS, CodeForm, Refusal
from simulator.loyalty_lt.fates import FATES, Step, status_word_at, steps_of
from simulator.loyalty_lt.requests import Order, Wrong, read_order
from simulator.options import APPROVED_SENDERS, Options
from simulator.provider import Provider, Series
from simulator.reading import same
from simulator.segments import count_segments
from simulator.wire import Answer, Wire

_MINUTE_SECONDS = 60.0
_TOO_SOON_SECONDS = 5.0  # "Wait at least 5 seconds between requests"
_USER_AGENT = "Loyalty-LT-SMPP-Gateway/1.0"
_LOCALE = "{locale:[a-z]{2}}"


@dataclass(frozen=True, slots=True)
class _Note:
    """What the ledger does not keep of a message. Equal messages share one."""

    source: str
    segments: int
    is_scheduled: bool
    validity: float | None


class LoyaltyLt(Provider):
    """One account at Loyalty.lt: its money, its pace, its ledger and the two pages."""

    fates = FATES
    retry_seconds = (30.0, 120.0, 600.0, 1800.0, 3600.0)  # docs.loyalty.lt, webhooks, Retry Policy

    @staticmethod
    def new_series() -> Series:
        """`msg_`, the series and the number in it."""
        return Series(f"msg_{secrets.token_hex(3)}", 8, 16)

    def __init__(self, options: Options, faults: Faults, wire: Wire, callbacks: Callbacks) -> None:
        super().__init__(options, faults, wire, callbacks)
        self._accepted_at: deque[float] = deque()  # within the last minute
        self._asked_at: dict[str, float] = {}  # by id, within the last five seconds
        self._notes: list[_Note] = []  # by sequence number, from 1
        self._alike: dict[_Note, _Note] = {}
        self._refused_forms: Iterator[CodeForm] = cycle(CODE_FORMS)
        self._sent_forms: Iterator[CodeForm] = cycle(CODE_FORMS)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the pages to `router`."""
        self._add(router, "POST", f"/{_LOCALE}/sms/send", "send", self._handle_send)
        self._add(router, "GET", f"/{_LOCALE}/sms/status/{{message_id}}", "status", self._handle_status)

    # --- send ---------------------------------------------------------------------------------------

    async def _handle_send(self, request: web.Request) -> web.StreamResponse:
        body = await request.read() if request.content_type == "application/json" else b""
        return await self._exchange(
            "send", request, partial(self._answer, request, partial(self._send, body))
        )

    def _send(self, body: bytes, drawn: Drawn) -> Answer:
        if by_fault := drawn.get(PhoneCodeFault):
            return self._refuse(Refusal(by_fault.code), drawn)
        now = time.monotonic()
        while self._accepted_at and now - self._accepted_at[0] >= _MINUTE_SECONDS:
            self._accepted_at.popleft()
        most = self._options.messages_per_minute
        if most is not None and len(self._accepted_at) >= most:
            return self._refuse(Refusal("1003"), drawn)
        try:
            order = read_order(body)
        except Wrong as wrong:
            return self._refuse(Refusal("VALIDATION_ERROR", errors=wrong.errors), drawn)
        segments = count_segments(order.message)
        refused = self._refusal_of(order, segments)
        if refused is not None:
            return self._refuse(refused, drawn)
        if most is not None:
            self._accepted_at.append(now)
        self._money -= self._options.price * segments
        return self._accept(order, segments, drawn)

    def _refusal_of(  # noqa: PLR0911  one return for each refusal
        self, order: Order, segments: int
    ) -> Refusal | None:
        """What a well-formed message is refused with; None: it is taken."""
        options = self._options
        if order.phone is None:
            return Refusal("2002")
        allowed = (*APPROVED_SENDERS, *options.senders)
        not_allowed = Refusal(
            "2001",
            f"Source address '{order.source}' is not allowed. Allowed senders: {', '.join(allowed)}",
        )
        if order.source not in allowed:
            return not_allowed
        if options.price * segments > self._money:
            return Refusal("1002")
        match FATES.of(order.phone).refusal:
            case None:
                return None
            case "2001":
                return not_allowed
            case "VALIDATION_ERROR" | "422" as code:
                return Refusal(code, errors={"destination": "The destination format is invalid."})
            case code:
                return Refusal(code)

    def _accept(self, order: Order, segments: int, drawn: Drawn) -> Answer:
        assert order.phone is not None  # noqa: S101  else it was refused; this tells mypy
        now = self.ledger.clock()
        due = max(order.scheduled or now, now)
        validity = order.validity
        if order.validity_minutes is not None:
            validity = due + order.validity_minutes * 60
        note = _Note(order.source, segments, order.scheduled is not None, validity)
        sequence = self.ledger.accept([order.phone], due, digest_of(order.message), segments)
        self._notes.append(self._alike.setdefault(note, note) if validity is None else note)
        message = self._message(sequence)
        assert message is not None  # noqa: S101  accepted just now; this tells mypy
        if order.receipt_url is not None:
            for step in self._steps(message):
                make = partial(self._call, sequence, step, order.receipt_url)
                self._callbacks.after(due - now + step.age_seconds, make)
        return answers.sent(
            message,
            "documented" if drawn.get(IntCodesFault) else next(self._sent_forms),
            registered=order.registers_consent,
            extra_keys=drawn.get(ExtraKeysFault) is not None,
            omit=drawn.get(OmitFault) is not None,
        )

    # --- status -------------------------------------------------------------------------------------

    async def _handle_status(self, request: web.Request) -> web.StreamResponse:
        message_id = request.match_info["message_id"]
        self._count_too_soon(message_id)
        work = partial(self._status, message_id)
        return await self._exchange("status", request, partial(self._answer, request, work))

    def _count_too_soon(self, message_id: str) -> None:
        now = time.monotonic()
        while self._asked_at:
            oldest, at = next(iter(self._asked_at.items()))
            if now - at < _TOO_SOON_SECONDS:
                break
            del self._asked_at[oldest]
        if self._asked_at.pop(message_id, None) is not None:
            self.ledger.requests["too_soon"] += 1
        self._asked_at[message_id] = now

    def _status(self, message_id: str, drawn: Drawn) -> Answer:
        sequence = self._series.sequence_of(message_id)
        message = None if sequence is None else self._message(sequence)
        if message is None or drawn.get(MissingIdsFault):
            return self._refuse(Refusal("404"), drawn)
        fate = FATES.of(message.phone)
        if fate.status is None:
            return self._refuse(Refusal("404"), drawn)
        now, steps = self.ledger.clock(), self._steps(message)
        unknown = drawn.get(UnknownWordFault)
        status_word = unknown.status_word if unknown else status_word_at(steps, now - message.due)
        short = fate.is_short or drawn.get(ObjectFormFault) is not None
        return answers.status(message, status_word, steps, now, short=short)

    # --- callbacks ----------------------------------------------------------------------------------

    def _call(self, sequence: int, step: Step, url: str) -> Call | None:
        """Tell of a step; nothing where the ledger was cleared."""
        message = self._message(sequence)
        if message is None:
            return None
        fate = FATES.of(message.phone)
        body = answers.callback(message, step, names_message_id=fate.names_message_id)
        return Call("POST", url, {"Content-Type": "application/json", "User-Agent": _USER_AGENT}, body)

    # --- common to both pages -----------------------------------------------------------------------

    def _answer(self, request: web.Request, work: Callable[[Drawn], Answer], drawn: Drawn) -> Answer:
        if isinstance(drawn.ending, CodeFault):
            return self._refuse(Refusal(drawn.ending.code), drawn)
        refused = self._no_access(request)
        return work(drawn) if refused is None else self._refuse(refused, drawn)

    def _no_access(self, request: web.Request) -> Refusal | None:
        key, secret = (",".join(request.headers.getall(n, [])) for n in ("X-API-Key", "X-API-Secret"))
        if not key or not secret:
            return Refusal("1004")
        is_known = same(key, self._options.api_key) and same(secret, self._options.api_secret)
        return None if is_known else Refusal("1001")

    def _refuse(self, refused: Refusal, drawn: Drawn) -> Answer:
        if drawn.get(IntCodesFault):
            # The number of a word is that of the newer pages.
            return answers.refusal(refused, "other" if refused.code == "VALIDATION_ERROR" else "documented")
        return answers.refusal(refused, next(self._refused_forms))

    def _message(self, sequence: int) -> answers.Message | None:
        """The accepted message of that number; None where nobody knows it (any more)."""
        taken = self.ledger.find(sequence)
        if taken is None:
            return None
        note = self._notes[sequence - 1]
        return answers.Message(
            message_id=self._series.id_of(sequence),
            source=note.source,
            phone=taken.phone,
            segments=note.segments,
            cost=self._options.price * note.segments,
            currency=self._options.currency,
            due=taken.due,
            is_scheduled=note.is_scheduled,
            validity=note.validity,
        )

    def _steps(self, message: answers.Message) -> list[Step]:
        expires_in = None if message.validity is None else max(message.validity - message.due, 0.0)
        fate = FATES.of(message.phone)
        return steps_of(fate, self._options.delivery_seconds, expires_in)
