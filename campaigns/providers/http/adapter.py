"""Any provider with an HTTP interface, spoken to as its mapping says.

What shapes this file:

* It knows no provider. What the mapping does not tell for certain is in doubt: see `answers`.
* Requests are made whole before anything leaves: what cannot be filled in is refused, message by message.
* Where no balance can be asked, nothing tells for free whether the account is well again: a person says so.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    Doubtful,
    Money,
    NotSent,
    OutboundMessage,
    Outcome,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    WaitForPace,
)
from campaigns.domain.said import believed_currency
from campaigns.domain.segments import count_segments
from campaigns.domain.traits import Traits
from campaigns.providers.base import (
    BaseAdapter,
    NoAnswer,
    answer_or_outcome,
    ask_each,
    ask_in_halves,
    expect_answer,
    expect_success,
    text_too_long,
)
from campaigns.providers.documents import is_message_id
from campaigns.providers.http import templates
from campaigns.providers.http.answers import load, read_money, read_outcomes, read_receipts
from campaigns.providers.http.callbacks import document_of
from campaigns.providers.http.settings import HttpAccount
from campaigns.providers.http.tables import Lookup, Request, StatusRequest
from campaigns.providers.http.templates import Values
from campaigns.providers.wire import Answered, HandOverResult, Wire


@dataclass(frozen=True, slots=True)
class _Made:
    """A request as it goes out."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


class HttpProvider(BaseAdapter):
    """One account at a provider. Keeps `campaigns.domain.provider.Provider`.

    Takes the settings of the account, its mapping among them; `clock`, for tests.
    Promises: made inside the loop of its `wire`; any number of tasks may use it at once. Remembers nothing.
    """

    def __init__(
        self, *, name: str, account: HttpAccount, wire: Wire, clock: Callable[[], float] = time.time
    ) -> None:
        mapping = account.mapping
        self._mapping = mapping
        self._send = mapping.send
        lookup = mapping.lookup
        settles = None if lookup is None else lookup.absent_after_seconds or account.timeout_seconds
        traits = Traits(
            account.timeout_seconds,
            account.concurrency if mapping.send.recipients_per_request == 1 else 1,
            # Never less than one request may take: what they work on cannot be found yet.
            settles_doubt_after_seconds=None if settles is None else max(settles, account.timeout_seconds),
            least_pause_seconds=0.0 if mapping.status is None else mapping.status.least_pause_seconds,
            # Where each message has an address of its own, the address says which it is.
            calls_back_by_id=mapping.callback is not None and not mapping.send.uses("callback_url"),
        )
        super().__init__(name, traits)
        self.company = mapping.name  # type: ignore[misc]  # of each account, not of the class
        self._limits = mapping.bounds()
        self._currency = account.currency
        self._values = account.values()
        self._concurrency = account.concurrency
        self._base_url = account.base_url
        self._is_elsewhere = account.base_url != mapping.base_url
        self._basic = account.basic
        self._wire = wire
        self._wall = clock

    # --- handing over -------------------------------------------------------------------------------

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` by what a request has once (text, validity), then by recipients."""
        most = self._send.recipients_per_request
        shared = self._send.shared() if most > 1 else set()
        by_phone = self._send.answer.ref == ()  # else an entry could not be told from another
        groups: dict[tuple[str, datetime | None], list[list[OutboundMessage]]] = {}
        requests: list[list[OutboundMessage]] = []
        phones: dict[int, set[str]] = {}
        for message in messages:
            alike = (
                message.text if shared.intersection(templates.OF_TEXT) else "",
                message.valid_until if shared.intersection(templates.OF_VALIDITY) else None,
            )
            mine = groups.setdefault(alike, [])
            if not mine or len(mine[-1]) >= most or (by_phone and message.phone in phones[id(mine[-1])]):
                mine.append([])
                requests.append(mine[-1])
                phones[id(mine[-1])] = set()
            mine[-1].append(message)
            phones[id(mine[-1])].add(message.phone)
        return requests

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one request over, as the mapping's `send` says."""
        if not 0 < len(request) <= self._send.recipients_per_request:
            return [NotSent(f"a request holds {self._send.recipients_per_request} messages")] * len(request)
        made = self._made(request, sender_id)
        if not isinstance(made, _Made):
            return [made] * len(request)
        result = await self._wire.hand_over(
            made.method,
            made.url,
            timeout_seconds=self.traits.timeout_seconds,
            leave_by=leave_by,
            headers=made.headers,
            data=made.body,
        )
        answer = answer_or_outcome(result)
        if not isinstance(answer, Answered):
            return [answer] * len(request)
        return read_outcomes(self._send, answer, request, self._wall())

    def _made(self, request: Sequence[OutboundMessage], sender_id: str) -> _Made | Rejected | CampaignTrouble:
        for message in request:
            if trouble := text_too_long(self._limits, message.text):
                return trouble
        each = [self._values_of(message, sender_id) for message in request]
        phones = self._send.separator.join(message.phone for message in request)
        msisdns = self._send.separator.join(message.phone[1:] for message in request)
        values = {**each[0], "phones": phones, "msisdns": msisdns}
        try:
            return self._filled(self._send, values, each)
        except UnicodeEncodeError:
            return Rejected("not_unicode", "text or sender cannot be written as UTF-8")

    def _values_of(self, message: OutboundMessage, sender_id: str) -> Values:
        encoding, bounds = self._send.encoding, self._send.validity
        seconds = None
        if message.valid_until is not None:
            left = message.valid_until.timestamp() - self._wall()
            seconds = int(min(max(left, bounds.least_seconds), bounds.most_seconds))
        said = None
        if encoding is not None:
            is_gsm = count_segments(message.text).encoding == "gsm7"
            said = encoding.gsm if is_gsm else encoding.unicode
        return {
            **self._values,
            "phone": message.phone,
            "msisdn": message.phone[1:],
            "text": message.text,
            "sender": sender_id,
            "ref": message.message_ref,
            "callback_url": message.callback_url,
            "encoding": said,
            "valid_until": None if message.valid_until is None else message.valid_until.isoformat(),
            "validity_seconds": seconds,
            "validity_minutes": None if seconds is None else ceil(seconds / 60),
            "validity_milliseconds": None if seconds is None else seconds * 1000,
        }

    def _filled(self, request: Request, values: Values, each: Sequence[Values] = ()) -> _Made:
        """A request with its values. Raises UnicodeEncodeError."""
        own = None if self._is_elsewhere else request.base_url
        url = (own or self._base_url) + templates.fill_address(request.url, request.query, values)
        basic = self._basic(request.basic or self._mapping.basic)
        headers = {"Accept": "application/json"}
        headers |= {} if basic is None else {"Authorization": f"Basic {basic}"}
        headers |= dict(templates.fill_pairs({**self._mapping.headers, **request.headers}, values))
        body = None
        if request.form is not None:
            body = templates.fill_form(request.form, values)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif request.document is not None:
            at = self._send.each
            repeats = request is self._send and at is not None
            body = templates.fill_json(
                request.document, values, at.parts if repeats and at else (), each if repeats else ()
            )
            headers.setdefault("Content-Type", "application/json")
        return _Made(request.method, url, headers, body)

    # --- asking -------------------------------------------------------------------------------------

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask as `status` says, several ids at a time or each alone; nothing where there is none."""
        status = self._mapping.status
        ids = [each for each in dict.fromkeys(provider_message_ids) if is_message_id(each)]
        if status is None:
            return Answers([])
        if status.ids_per_request > 1:

            async def ask_several(some: Sequence[str]) -> Answers | None:
                await wait_for_pace()
                named = {"ids": status.separator.join(some), "id": some[0]}
                found = await self._receipts(status, named)
                if found is None:
                    return None if len(some) > 1 else Answers([])
                known = {each.casefold(): each for each in some}
                mine = [
                    replace(receipt, provider_message_id=known[receipt.provider_message_id.casefold()])
                    for receipt in found
                    if receipt.provider_message_id and receipt.provider_message_id.casefold() in known
                ]
                order = {each: at for at, each in enumerate(some)}
                return Answers(sorted(mine, key=lambda receipt: order[str(receipt.provider_message_id)]))

            return await ask_in_halves(
                ids,
                status.ids_per_request,
                ask_several,
                too_many=f"{self.company} knows too many of these ids not, to ask for each at once",
            )

        async def ask_one(message_id: str) -> Receipt | None:
            return await self._one(status, message_id)

        asked = await ask_each(
            ids,
            wait_for_pace,
            ask_one,
            concurrency=self._concurrency,
            begin_within_seconds=self.traits.timeout_seconds,
        )
        return Answers(asked.found(ids), asked.trouble, asked.retry_after_seconds, asked.unasked(ids))

    async def _one(self, status: StatusRequest, message_id: str) -> Receipt | None:
        """The receipt of one id; None where the provider does not know it. Raises NoAnswer."""
        found = await self._receipts(status, {"id": message_id, "ids": message_id})
        if not found:
            return None
        named = found[-1].provider_message_id
        if named is not None and named.casefold() != message_id.casefold():
            raise NoAnswer(f"{self.company}'s answer speaks of another message", of_one=True)
        return replace(found[-1], provider_message_id=message_id)

    async def _receipts(self, status: StatusRequest, named: Values) -> list[Receipt] | None:
        """What a question brought; None where it says that nothing is known. Raises NoAnswer."""
        try:
            made = self._filled(status, {**self._values, **named})
        except UnicodeEncodeError:
            raise NoAnswer("what is asked for cannot be written as UTF-8", of_one=True) from None
        answer = expect_answer(self.company, await self._asked(made))
        if answer.status in status.absent_http:
            return None
        body = expect_success(self.company, answer, self._wall()).body
        found = read_receipts(status.answer, status.words, load(body))
        if found is None:
            raise NoAnswer(f"{self.company}'s answer cannot be read", of_one=True)
        return found

    async def _asked(self, made: _Made) -> HandOverResult:
        return await self._wire.ask(
            made.url,
            timeout_seconds=self.traits.timeout_seconds,
            method=made.method,
            headers=made.headers,
            data=made.body,
        )

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Ask for each reference as `lookup` says. Absent only where the mapping says when it is certain."""
        lookup = self._mapping.lookup
        if lookup is None:
            return await super().look_up(doubtful, wait_for_pace)
        refs = list(dict.fromkeys(each.message_ref for each in doubtful))

        async def ask_one(ref: str) -> Sighting | None:
            return await self._seen(lookup, ref)

        asked = await ask_each(
            refs,
            wait_for_pace,
            ask_one,
            concurrency=self._concurrency,
            begin_within_seconds=self.traits.timeout_seconds,
        )
        return Sightings(
            asked.found(refs),
            [] if lookup.absent_after_seconds is None else asked.absent(refs),
            asked.trouble,
            asked.retry_after_seconds,
            asked.unasked(refs),
        )

    async def _seen(self, lookup: Lookup, ref: str) -> Sighting | None:
        found = await self._receipts(lookup, {"ref": ref})
        named = [each for each in found or () if each.provider_message_id is not None]
        ours = [each for each in named if each.message_ref in (None, ref)]
        if not ours:
            if found:
                raise NoAnswer(f"{self.company}'s answer speaks of other messages", of_one=True)
            return None
        last = max(ours, key=lambda each: -1 if each.evidence is None else each.evidence.rank)
        return _sighting(last, ref)

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask by id or reference. Raises ProviderRefused, PaceUsedUp."""
        status, lookup = self._mapping.status, self._mapping.lookup
        if question.by == "reference" and lookup is not None:
            await wait_for_pace()
            seen = await self._seen(lookup, question.value)
            return [] if seen is None else [seen]
        if question.by != "id" or status is None or not is_message_id(question.value):
            raise ProviderRefused(f"{self.company} cannot be asked so: its mapping has no request for it.")
        await wait_for_pace()
        receipt = await self._one(status, question.value)
        return [] if receipt is None else [_sighting(receipt, receipt.message_ref)]

    # --- callbacks, balance -------------------------------------------------------------------------

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """The receipts in a callback, as `callback` says. Raises CallbackRefused."""
        where = self._mapping.callback
        if where is None:
            return super().read_callback(callback)
        found = read_receipts(where.answer, where.words, document_of(callback))
        if found is None:
            raise CallbackRefused(400, f"the callback is not one of {self.company}'s")
        return found

    async def probe(self) -> Money:
        """The balance. Raises ProviderRefused, also where none can be asked: then a person lifts the hold."""
        if self._mapping.balance is None:
            raise ProviderRefused(
                f"{self.company} cannot be asked whether the account is well, as its mapping has no "
                f"[balance]: mend the account, then say: campaigns account {self.name} resume"
            )
        return await self.balance()

    async def balance(self) -> Money:
        """Ask as `balance` says. Raises ProviderRefused."""
        where = self._mapping.balance
        if where is None:
            return await super().balance()
        made = self._filled(where, self._values)
        answer = expect_success(self.company, await self._asked(made), self._wall())
        amount, currency = read_money(where.amount, where.currency, answer.body)
        if amount is None:
            raise ProviderRefused(f"{self.company}'s balance cannot be read.")
        return Money(amount, believed_currency(currency) or self._currency)


def _sighting(receipt: Receipt, ref: str | None) -> Sighting:
    return Sighting(
        str(receipt.provider_message_id),
        receipt.evidence,
        receipt.provider_state,
        message_ref=ref,
        segment_count=receipt.segment_count,
        cost=receipt.cost,
        changed_at=receipt.changed_at,
        code=receipt.code,
        reason=receipt.reason,
        currency=receipt.currency,
        channel=receipt.channel,
    )
