"""seven.io, formerly sms77: a form by POST, every answer HTTP 200 with a code inside.

What shapes this file:

* Many recipients to a request, one text, and one reference of ours for all of them (`foreign_id`): the part
  of our references that the batch shares, or the whole of it for a message that goes alone.
* An answer not seen can be looked up: their journal holds what they took, by number and `foreign_id`.
* They refuse the same text to the same number for 180 seconds (the reload lock, 402). A refusal for that says
  that nothing was taken now, and leaves open whether an attempt of ours before it was.
* One address of ours is called back for a whole account, where it is registered there (hooks); callbacks
  may be signed, and so are our requests where there is a signing key.

Sources, as named in the tables: SEED the delivery report page (sms77) · DOCS docs.seven.io/en/rest-api
(endpoints/sms, endpoints/status, endpoints/logbook, webhooks, signing) · OPENAPI seven-io/api-schemes ·
PHP, JS, GO: seven-io's clients (php-client, js-client, go-client).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from urllib.parse import quote_plus, urlencode

from campaigns.domain.prices import Quote
from campaigns.domain.provider import (
    AccountTrouble,
    Answers,
    Callback,
    CampaignTrouble,
    Doubtful,
    Failed,
    InDoubt,
    Money,
    NotSent,
    OutboundMessage,
    Outcome,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    Throttled,
    WaitForPace,
)
from campaigns.domain.traits import Traits
from campaigns.providers.base import BaseAdapter, answer_or_outcome, outcome_of_status, text_too_long
from campaigns.providers.seven.access import SIGNATURE_SECONDS, Access
from campaigns.providers.seven.answers import MAX_ANSWER_BYTES, ErrorCode, Means, digits, read_answer
from campaigns.providers.seven.callbacks import is_stale, read_receipts
from campaigns.providers.seven.hooks import Hooks
from campaigns.providers.seven.journal import foreign_id_of, shared_part
from campaigns.providers.seven.questions import Questions
from campaigns.providers.seven.settings import LIMITS
from campaigns.providers.wire import Answered, Wire, retry_after_seconds

log = logging.getLogger("campaigns.providers")


_VALIDITY_MINUTES = 2880  # what they keep trying for where nothing is said (DOCS sms, `ttl`)
# Time for a message to stand in the journal, and a minute short of the reload lock. What is absent then is
# sent again while the lock still holds: were it taken after all, and the journal late, they would refuse the
# second one with 402.
_SETTLES_DOUBT_SECONDS = 120.0
_ALONE_SECONDS = 60.0  # how long messages go one by one after a request was refused for one number


class Seven(BaseAdapter):
    """One account at seven.io. Keeps `campaigns.domain.provider.Provider`.

    Takes `base_url`, everything before `/sms`; `timeout_seconds`, for one request as a whole; `signing_key`,
    which our requests are signed and callbacks verified with (None: neither); `clock` (wall) and
    `monotonic`, for tests. Raises ValueError for a key that cannot be one.
    Promises: made inside the loop of its `wire`; any number of tasks may use it at once. Remembers when a
    request was last refused for one number, nothing of any message.
    """

    company = "seven.io"
    on_statistics = "has no statistics by day and state"  # theirs are by kind, country or label (JS)

    def __init__(  # noqa: PLR0913  an account is configured once, all by name
        self,
        *,
        name: str,
        api_key: str,
        wire: Wire,
        signing_key: str | None = None,
        base_url: str = "https://gateway.seven.io/api",
        timeout_seconds: float = 20.0,
        max_recipients_per_request: int = 100,
        concurrency: int = 1,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        traits = Traits(
            timeout_seconds,
            concurrency,
            settles_doubt_after_seconds=_SETTLES_DOUBT_SECONDS,
            calls_back_by_id=True,  # its callbacks hold its id and nothing of ours
        )
        super().__init__(name, traits)
        self._access = access = Access(api_key, signing_key, clock)
        self._wire = wire
        self._root = base_url.rstrip("/")
        self._questions = Questions(wire, self._root, access, timeout_seconds, clock, monotonic)
        self._hooks = Hooks(wire, self._root, access, timeout_seconds, monotonic)
        self._max_recipients = max_recipients_per_request
        self._wall = clock
        self._monotonic = monotonic
        self._alone_until = float("-inf")

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` by text and batch, then by recipients: one by one after a whole request was
        refused for one of its numbers. Their answer is read by phone, so no request holds one twice.
        """
        most = 1 if self._monotonic() < self._alone_until else self._max_recipients
        alike: dict[tuple[str, str], list[OutboundMessage]] = {}
        for message in messages:
            alike.setdefault((message.text, shared_part(message.message_ref)), []).append(message)
        requests: list[list[OutboundMessage]] = []
        for group in alike.values():
            phones: set[str] = set()
            for message in group:
                if not phones or len(phones) >= most or message.phone in phones:
                    requests.append([])
                    phones = set()
                requests[-1].append(message)
                phones.add(message.phone)
        return requests

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one request over: POST /sms."""
        count = len(request)
        form = self._form(request, sender_id, self._wall())
        if not isinstance(form, bytes):
            return [form] * count
        url = f"{self._root}/sms"
        result = await self._wire.hand_over(
            "POST",
            url,
            timeout_seconds=self.traits.timeout_seconds,
            leave_by=min(leave_by, asyncio.get_running_loop().time() + SIGNATURE_SECONDS),
            headers={
                **self._access.headers("POST", url, form),
                "Content-Type": "application/x-www-form-urlencoded",
            },
            data=form,
            max_bytes=MAX_ANSWER_BYTES,
        )
        answer = answer_or_outcome(result)
        if not isinstance(answer, Answered):
            return [answer] * count
        if 200 <= answer.status < 300:
            readings = read_answer(answer.body, [message.phone for message in request])
            return [
                self._outcome(reading, answer, count) if isinstance(reading, ErrorCode) else reading
                for reading in readings
            ]
        return [self._outcome_of_status(answer, count)] * count

    @staticmethod
    def _form(
        request: Sequence[OutboundMessage], sender_id: str, now: float
    ) -> bytes | NotSent | Rejected | CampaignTrouble:
        phones = [digits(message.phone) for message in request]
        texts = {message.text for message in request}
        batches = {shared_part(message.message_ref) for message in request}
        if len(texts) != 1 or len(batches) != 1 or len(set(phones)) != len(phones):
            return NotSent("a request holds one text, one batch and no phone twice")
        text = texts.pop()
        if trouble := text_too_long(LIMITS, text):
            return trouble
        foreign_id = foreign_id_of([message.message_ref for message in request])
        if foreign_id is None:  # it could never be looked up
            return Rejected("foreign_id", "seven.io does not take this message's reference")
        fields = {"to": ",".join(phones), "text": text, "from": sender_id, "foreign_id": foreign_id}
        ends = [message.valid_until for message in request if message.valid_until is not None]
        if ends and (minutes := int((min(ends).timestamp() - now) // 60)) < _VALIDITY_MINUTES:
            fields["ttl"] = str(max(minutes, 1))
        try:
            return urlencode(fields, safe=",", quote_via=quote_plus).encode("ascii")
        except UnicodeEncodeError:
            return Rejected("not_unicode", "text or sender cannot be written as UTF-8")

    def _outcome(  # noqa: PLR0911  one line for each meaning
        self, refusal: ErrorCode, answer: Answered, count: int
    ) -> Outcome:
        code, reason = refusal.code, refusal.reason
        match refusal.means:
            case Means.ONE_NUMBER if count > 1:
                return self._one_of_many(reason)
            case Means.REJECTED | Means.ONE_NUMBER:
                return Rejected(code, reason)
            case Means.SENDER:
                return CampaignTrouble(code, reason, "sender")
            case Means.TEXT:
                return CampaignTrouble(code, reason, "text")
            case Means.FAILED:
                return Failed(code, reason)
            case Means.CLOSED:
                return Throttled(retry_after_seconds(answer, self._wall()), reason)
            case Means.ACCOUNT:
                return AccountTrouble(code, reason)
            case Means.TAKEN | Means.LOCKED | Means.DOUBT:  # no reader calls these a refusal
                return InDoubt(f"code {code}, {reason}")

    def _one_of_many(self, reason: str) -> NotSent:
        """A whole request was refused for one number: nobody says which, and the others shall not pay for it.

        They document 101 for a request of which anything was taken, so nothing was. Were it otherwise, the
        reload lock would meet those that went out.
        """
        self._alone_until = self._monotonic() + _ALONE_SECONDS
        return NotSent(f"{reason}, of a request with several", retry_at_once=True)

    def _outcome_of_status(self, answer: Answered, count: int) -> Outcome:
        """What an HTTP status other than success says. Their own answers all come with 200 (JS, PHP)."""
        if answer.status != 413:
            return outcome_of_status(answer, self._wall())
        why = "the request is too long"  # for the server in front
        return self._one_of_many(why) if count > 1 else Rejected("http_413", why)

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask GET /status, a hundred ids at a time."""
        return await self._questions.statuses(provider_message_ids, wait_for_pace)

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Look for messages in their journal, by number and `foreign_id`."""
        return await self._questions.look_up(doubtful, wait_for_pace)

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask the journal, by id, number or reference. Raises ProviderRefused, PaceUsedUp."""
        return await self._questions.find(question, wait_for_pace)

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """The receipts in a callback, verified where there is a signing key. Raises CallbackRefused.

        What is genuine and in no form we know is logged by the names of its fields: refused, it would be
        lost, for 4xx is final there.
        """
        signing_key = self._access.signing_key
        stale = signing_key is not None and is_stale(callback, signing_key)
        told = read_receipts(callback, stale=stale)
        if told.unread:
            form, count = told.unread[0], len(told.unread)
            log.warning("%d of account %s's callbacks could not be read: %s", count, self.name, form)
        return list(told.receipts)

    async def callbacks_registered(self, url: str) -> bool:
        """Ask GET /hooks. An address that was set by hand in their settings may not stand there."""
        return await self._hooks.are_registered(url)

    async def register_callbacks(self, url: str) -> bool:
        """POST /hooks, where there is none for `url`."""
        return await self._hooks.register(url)

    async def probe(self) -> Money:
        """The balance."""
        return await self.balance()

    async def balance(self) -> Money:
        """Ask GET /balance. Raises ProviderRefused."""
        return await self._questions.balance()

    async def quote(self, countries: Collection[str]) -> Quote:
        """Ask GET /pricing. Raises ProviderRefused."""
        return await self._questions.quote(countries)
