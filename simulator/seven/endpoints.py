"""seven.io over its own wire: `/api/sms`, `/api/status`, `/api/balance`, `/api/pricing`, `/api/journal`,
`/api/hooks`, and its callbacks. Everything that is answered is HTTP 200 with a code in the body.

Source: the provider's pages (delivery reports; docs.seven.io/en/rest-api: sms, status, logbook, webhooks,
signing) and what is public beside them. Where they are silent this file decides, strictly:

* a key is `X-Api-Key`, `Authorization: Basic` or `Bearer` with the key itself, or the field `p`; none is 300,
  another 900;
* a body or query that cannot be decoded, a field given twice, and more than Options.max_recipients numbers
  (413) are HTTP errors with a sentence: there is no code for it;
* a field nobody knows is 308, and so is a value of `foreign_id`, `delay`, `ttl`, `limit`, `offset` or a date
  that is not as documented; a `label` is 802;
* a number has 7 to 15 digits, after `+` or `00` or nothing. Contacts and groups are not simulated: another
  name is an invalid number (202). A sender may also hold space, dot, underscore, & and -;
* where every number of a request is refused with the same code, that code stands for the whole request;
  otherwise the request is 101 and each number has its own `success`;
* the reload lock (402) counts from acceptance, for Options.reload_lock_seconds, by text and number; a number
  named twice in one request meets it; `no_reload` switches it off for a request;
* a forbidden word is 305; 500 is decided by the price of every number of the request, refused ones included;
* of a status question with an id nobody knows, all is 901;
* the journal shows what was accepted, newest first, its last 30 days where nothing is said; `date_to` is the
  last day, included; it shows at most 100 rows, as many as `limit` where that says less;
* `/pricing` lists a few countries, +1 with two of them, each at Options.price but for one dearer network of
  Germany's; `country` is an ISO code in any case, of another there is nothing; `format=csv` is not simulated;
* `/journal` is asked with `type`; of others than outbound (`/journal/inbound`, …) there is nothing;
* `DELETE /sms` takes messages back whose time has not come, and their price with them;
* a callback is sent for every word, to every hook for delivery reports, of which Options.callback_url is the
  first; a repeated call has the same signature. The pauses from the seventh attempt on are made up.

Faults in seven.io's words: `code18` is 901 for the whole question; `clock` is the clock signatures of
requests are held against; `object_form` answers one id by an object, `int_codes` writes codes and ids as
numbers and moments as UNIX seconds; `missing_ids` leaves ids out.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import islice, takewhile

from aiohttp import web

from simulator.callbacks import Call, Callbacks
from simulator.faults import (
    Code18Fault,
    CodeFault,
    Drawn,
    Endpoint,
    Faults,
    MissingIdsFault,
    OmitFault,
    PhoneCodeFault,
    UnknownWordFault,
)
from simulator.ledger import Row, digest_of
from simulator.options import CallbackMethod, Options
from simulator.provider import Provider, Series, concerns_ids
from simulator.reading import Refused, Unreadable
from simulator.segments import count_segments
from simulator.seven import answers
from simulator.seven.answers import Line, Order
from simulator.seven.fates import FATES, Fate
from simulator.seven.hooks import Hooks
from simulator.seven.requests import (
    DIGITS,
    FIELDS,
    NUMBER,
    check_access,
    is_on,
    read_day,
    read_fields,
    read_order,
)
from simulator.wire import Answer, Wire

_MOST_ROWS = 100
_JOURNAL_DAYS = 30
_FILTERS = (("id", "id"), ("state", "dlr"))  # of the journal, and the column each looks at

Work = Callable[[Mapping[str, str], Drawn, bool], Answer]


class Seven(Provider):
    """One account at seven.io: its money, its ledger, its locks and its endpoints."""

    fates = FATES
    # Fourteen attempts, of which six are documented.
    retry_seconds = (60.0, 300.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 28_800.0, *[43_200.0] * 5)
    retried_statuses = frozenset({429, 500, 502, 503, 504})

    @staticmethod
    def new_series() -> Series:
        """Fifteen digits: the series and the number in it."""
        return Series(f"7{secrets.randbelow(10**5):05d}", 9)

    def __init__(self, options: Options, faults: Faults, wire: Wire, callbacks: Callbacks) -> None:
        super().__init__(options, faults, wire, callbacks)
        self._orders: dict[int, Order] = {}  # by the sequence number of their first acceptance
        self._locks: dict[tuple[bytes, int], float] = {}  # until when, oldest first
        self._deleted: set[int] = set()
        self._hooks = Hooks(options)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add its paths to `router`."""
        paths: list[tuple[str, str, Endpoint, Work]] = [
            ("POST", "sms", "send", self._send),
            ("DELETE", "sms", "delete", self._delete),
            ("GET", "status", "status", self._status),
            ("POST", "status", "status", self._status),
            ("GET", "balance", "balance", self._balance),
            ("GET", "pricing", "pricing", self._pricing),
            ("GET", "journal", "journal", self._journal),
            ("GET", "journal/outbound", "journal", self._journal),
            ("GET", "journal/{kind:inbound|voice}", "journal", lambda *_: answers.journal([])),
            ("GET", "hooks", "hooks", partial(self._hook, "GET")),
            ("POST", "hooks", "hooks", partial(self._hook, "POST")),
            ("DELETE", "hooks", "hooks", partial(self._hook, "DELETE")),
        ]
        for method, path, endpoint, work in paths:
            self._add(router, method, f"/api/{path}", endpoint, partial(self._handle, endpoint, work))

    async def _handle(self, endpoint: Endpoint, work: Work, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fields: Mapping[str, str] | Unreadable
        try:
            fields = read_fields(request, body)
        except Unreadable as unreadable:
            fields = unreadable
        ids = [] if isinstance(fields, Unreadable) else fields.get("msg_id", "").split(",")
        answer = partial(self._answer, endpoint, work, request, body, fields)
        return await self._exchange(endpoint, request, answer, partial(concerns_ids, ids, self._is_unknown))

    def _answer(
        self,
        endpoint: Endpoint,
        work: Work,
        request: web.Request,
        body: bytes,
        fields: Mapping[str, str] | Unreadable,
        drawn: Drawn,
    ) -> Answer:
        """What the endpoint says: its answer, its refusal, or that it cannot read the request."""
        read = {} if isinstance(fields, Unreadable) else fields
        wants_json = "application/json" in request.headers.get("Accept", "") or is_on(read, "json")
        ending, error_form = drawn.ending, self._options.error_form
        try:
            if isinstance(ending, CodeFault):
                error_form = ending.form or error_form
                raise Refused(ending.code)
            if isinstance(ending, Code18Fault):
                raise Refused("901")
            check_access(request, body, read, self._options, drawn)
            if isinstance(fields, Unreadable):
                raise fields
            if not fields.keys() <= FIELDS[endpoint]:
                raise Refused("308")
            self._forget()
            return work(fields, drawn, wants_json)
        except Refused as refused:
            return answers.refusal(refused.code, error_form, wants_json=wants_json)
        except Unreadable as unreadable:
            return unreadable.answer

    # --- send ---------------------------------------------------------------------------------------

    def _send(self, fields: Mapping[str, str], drawn: Drawn, wants_json: bool) -> Answer:
        order, recipients, due = read_order(fields, self._options, wants_json=wants_json)
        if due is not None:
            due = max(due, self.ledger.clock())
        segments = count_segments(order.text)
        price = self._options.price * segments
        if price * len(recipients) > self._money:
            raise Refused("500")
        digest = digest_of(order.text)
        lines, accepted = self._sift(recipients, digest, drawn, locks=not is_on(fields, "no_reload"))
        codes = {line.code for line in lines}
        if len(codes) == 1 and (code := codes.pop()) is not None:
            raise Refused(code)
        if not order.is_debug:
            lines = self._take(order, lines, accepted, due, digest, segments)
            self._money -= price * len(accepted)
        if omit := drawn.get(OmitFault):
            lines = lines[: -omit.count]
        return answers.sent(order, lines, price, segments, self._money, drawn)

    def _sift(
        self, recipients: Sequence[str], digest: bytes, drawn: Drawn, *, locks: bool
    ) -> tuple[list[Line], list[int]]:
        """Each number with the code it is refused with, or none, and those to be accepted."""
        now = self.ledger.clock()
        by_fault = drawn.get(PhoneCodeFault)
        lines: list[Line] = []
        accepted: list[int] = []
        for index, recipient in enumerate(recipients):
            known = NUMBER.fullmatch(recipient.strip())
            phone = int(known[1]) if known else 0
            code = FATES.of(phone).send_code if known else "202"
            if by_fault and index < by_fault.count:
                code = by_fault.code
            locked = phone in accepted or self._locks.get((digest, phone), 0.0) > now
            if code is None and locks and self._options.reload_lock_seconds and locked:
                code = "402"
            if code is None:
                accepted.append(phone)
            lines.append(Line(known[1] if known else recipient, None, code))
        return lines, accepted

    def _take(
        self,
        order: Order,
        lines: Sequence[Line],
        accepted: Sequence[int],
        due: float | None,
        digest: bytes,
        segments: int,
    ) -> list[Line]:
        """Record the acceptances, lock the numbers, schedule the callbacks; give the lines with their ids."""
        first = self.ledger.accept(accepted, due, digest, segments)
        if accepted:
            self._orders[first] = order
        until = self.ledger.clock() + self._options.reload_lock_seconds
        for phone in accepted:
            self._locks.pop((digest, phone), None)  # else it would keep its old position
            self._locks[digest, phone] = until
        if any(self._hooks.targets()):
            wait = 0.0 if due is None else due - self.ledger.clock()
            for offset, phone in enumerate(accepted):
                self._tell_next(first + offset, phone, wait, 0)
        ids = iter(range(first, first + len(accepted)))
        return [
            Line(line.phone, None if line.code else self._series.id_of(next(ids)), line.code)
            for line in lines
        ]

    def _forget(self) -> None:
        """Remove locks that ran out, and all of them after the ledger was cleared."""
        first = next(iter(self._orders), None)
        if first is not None and self.ledger.find(first) is None:
            self._orders.clear()
            self._locks.clear()
            self._deleted.clear()
        now = self.ledger.clock()
        for key in [*takewhile(lambda key: self._locks[key] <= now, self._locks)]:
            del self._locks[key]

    # --- callbacks ----------------------------------------------------------------------------------

    def _tell_next(self, sequence: int, phone: int, wait: float, index: int) -> None:
        """Schedule the callback of one status word, by its index, of a life that begins in `wait` seconds."""
        status_words = FATES.changes(FATES.of(phone), self._options.delivery_seconds)
        if index < len(status_words):
            after, status_word = status_words[index]
            before = status_words[index - 1][0] if index else 0.0
            for at, target in enumerate(self._hooks.targets()):
                call = partial(self._call, sequence, target, status_word, after)
                if at == 0:  # the first schedules the next one
                    call = partial(self._call, sequence, target, status_word, after, (phone, index + 1))
                self._callbacks.after(max(wait, 0.0) + after - before, call)

    def _call(
        self,
        sequence: int,
        target: tuple[str, CallbackMethod],
        status_word: str,
        after: float,
        then: tuple[int, int] | None = None,
    ) -> Call | None:
        """Tell of a new status word; nothing where the ledger was cleared or the message was deleted."""
        taken = self.ledger.find(sequence)
        if taken is None or sequence in self._deleted:
            return None
        if then is not None:
            self._tell_next(sequence, then[0], 0.0, then[1])
        key, at = self._options.signing_key, taken.due + after
        return answers.callback(*target, key, self._series.id_of(sequence), status_word, at, time.time())

    # --- status, journal, balance -------------------------------------------------------------------

    def _status(self, fields: Mapping[str, str], drawn: Drawn, wants_json: bool) -> Answer:
        ids = fields.get("msg_id", "").split(",")
        found = [self._status_word(message_id) for message_id in ids]
        if any(said is None for said in found):
            raise Refused("901")
        unknown = drawn.get(UnknownWordFault)
        said = [
            (message_id, unknown.status_word if unknown else status_word, at)
            for message_id, (status_word, at, _) in zip(ids, filter(None, found), strict=True)
        ]
        as_text = any(fate.text_form for _, _, fate in filter(None, found))
        if missing := drawn.get(MissingIdsFault):
            said, as_text = said[missing.count :], False
        return answers.statuses(said, drawn, wants_json=wants_json, as_text=as_text)

    def _status_word(self, message_id: str) -> tuple[str | None, float, Fate] | None:
        """The word of an id now (None: no status yet), when it came, its fate; None: nobody knows the id."""
        sequence = self._series.sequence_of(message_id)
        taken = None if sequence is None else self.ledger.find(sequence)
        if taken is None:
            return None
        fate = FATES.of(taken.phone)
        if sequence in self._deleted:
            return None, taken.due, fate
        age = self.ledger.clock() - taken.due
        after, status_word = FATES.status_word_at(fate, age, self._options.delivery_seconds)
        return status_word, taken.due + after, fate

    def _is_unknown(self, message_id: str) -> bool:
        said = self._status_word(message_id)
        return said is None or said[0] is None

    def _balance(self, _fields: Mapping[str, str], _drawn: Drawn, wants_json: bool) -> Answer:
        return answers.balance(self._money, self._options.currency, wants_json=wants_json)

    def _pricing(self, fields: Mapping[str, str], _drawn: Drawn, _wants_json: bool) -> Answer:
        if fields.get("format", "json") != "json":
            raise Refused("308")
        return answers.pricing(self._options.price, fields.get("country", "").upper())

    def _hook(self, method: str, fields: Mapping[str, str], _drawn: Drawn, _wants_json: bool) -> Answer:
        return self._hooks.answer(method, fields)

    def _delete(self, fields: Mapping[str, str], _drawn: Drawn, _wants_json: bool) -> Answer:
        """Take scheduled messages back, and give their price."""
        back: list[str] = []
        for message_id in fields.get("ids", "").split(","):
            sequence = self._series.sequence_of(message_id)
            taken = None if sequence is None else self.ledger.find(sequence)
            if sequence is None or taken is None or taken.due <= self.ledger.clock():
                continue
            if sequence not in self._deleted:
                self._deleted.add(sequence)
                back.append(message_id)
        for row in self.ledger.rows() if back else ():
            held = {self._series.id_of(row.first + offset) for offset in range(len(row.phones))}
            self._money += self._options.price * row.segments * len(held.intersection(back))
        return answers.deleted(back)

    def _journal(self, fields: Mapping[str, str], _drawn: Drawn, _wants_json: bool) -> Answer:
        if (fields.get("type") or "outbound") != "outbound":
            return answers.journal([])
        limit, offset = fields.get("limit") or str(_MOST_ROWS), fields.get("offset") or "0"
        if not DIGITS.fullmatch(limit) or not 1 <= int(limit) <= _MOST_ROWS or not DIGITS.fullmatch(offset):
            raise Refused("308")
        today = answers.berlin(self.ledger.clock()).date()
        first = read_day(fields.get("date_from"), today - timedelta(days=_JOURNAL_DAYS))
        last = read_day(fields.get("date_to"), today)
        rows = self._rows(fields, first, last)
        return answers.journal([*islice(rows, int(offset), int(offset) + int(limit))])

    def _rows(self, fields: Mapping[str, str], first: date, last: date) -> Iterator[dict[str, object]]:
        phone = _phone(fields["to"]) if fields.get("to") else None
        for row in reversed([*self.ledger.rows()]):
            day = answers.berlin(row.at).date()
            if not first <= day <= last or (phone is not None and phone not in row.phones):
                continue
            for offset in reversed(range(len(row.phones))):
                if phone is None or row.phones[offset] == phone:
                    said = self._journal_row(row, offset)
                    if all(not fields.get(name) or fields[name] == said[of] for name, of in _FILTERS):
                        yield said

    def _journal_row(self, row: Row, offset: int) -> dict[str, object]:
        fate = FATES.of(row.phones[offset])
        after, status_word = FATES.status_word_at(
            fate, self.ledger.clock() - row.due, self._options.delivery_seconds
        )
        status_word = None if row.first + offset in self._deleted else status_word
        return answers.journal_row(
            message_id=self._series.id_of(row.first + offset),
            phone=row.phones[offset],
            order=self._orders[row.first],
            at=row.at,
            price=self._options.price * row.segments,
            status_word=status_word,
            changed_at=row.due + after,
        )


def _phone(said: str) -> int:
    digits = re.sub("[^0-9]", "", said).removeprefix("00")
    return int(digits) if digits else 0
