"""Loyalty.lt (api.loyalty.lt): one message a request, JSON both ways, errors by HTTP status.

What shapes this file:

* No reference of ours and no key against repetition: an answer not seen stays in doubt until a callback
  comes to the address made for that message alone, which proves that it was taken. Silence proves nothing.
* One id a question, and at least five seconds before the same id is asked again, whatever the settings say.
* What a callback calls `id` is not the id a send is answered with; `UNDELIVERABLE` is also said of what
  expired, which the status page tells apart.

Sources, as named here and in `answers.py`: SEED the page "Get SMS Status" · LOY docs.loyalty.lt
(api-reference: endpoints/sms/overview, send, status, webhooks; error-handling) · OAS their OpenAPI file.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import shuffle
from urllib.parse import quote

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.limits import LOYALTY_LT, is_too_long
from campaigns.domain.provider import (
    AccountTrouble,
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    DayStatistics,
    Doubtful,
    InDoubt,
    Money,
    NotOurTurn,
    NotSent,
    OutboundMessage,
    Outcome,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    Throttled,
    Turn,
    receipt_from,
)
from campaigns.providers.base import BaseAdapter
from campaigns.providers.loyalty_lt.answers import (
    Refusal,
    is_message_id,
    load,
    read_callback_body,
    read_refusal,
    read_sent,
    read_status,
    says_unknown,
    validity_of,
)
from campaigns.providers.loyalty_lt.recently_asked import RecentlyAsked
from campaigns.providers.wire import Answered, NeverLeft, Unseen, Wire, retry_after_seconds

_AGAIN_SECONDS = 5.0  # before the same id may be asked again; source: SEED, Polling vs Webhooks
_MOST_UNREADABLE = 3  # in one round: a single one may be that message's own, three are the provider's
_NO_MESSAGE = "msg_0"  # cannot exist: theirs are `msg_` and twelve characters


@dataclass(frozen=True, slots=True)
class _InVain:
    """A question that was not answered."""

    why: str
    retry_after_seconds: float | None = None
    may_be_of_this_id: bool = False  # other ids may well be answered


@dataclass(slots=True)
class _Round:
    """What is known so far of one round of questions."""

    to_ask: list[str]
    found: dict[str, Sighting] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # whatever the answer was, if it was about them
    asked_count: int = 0
    unreadable_count: int = 0
    trouble: str | None = None
    retry_after_seconds: float | None = None
    is_over: bool = False

    def note(self, why: str | None, retry_after: float | None, *, is_over: bool) -> None:
        """Write down why a question was not asked or not answered; None: our own pace."""
        self.trouble = self.trouble or why
        waits = [seconds for seconds in (self.retry_after_seconds, retry_after) if seconds is not None]
        self.retry_after_seconds = max(waits, default=None)
        self.is_over = self.is_over or is_over


class LoyaltyLt(BaseAdapter):
    """One account at Loyalty.lt. Keeps `campaigns.domain.provider.Provider`.

    Takes `base_url`, everything before `/{locale}/sms/`; `locale`, the language of their sentences, of which
    none is read; `timeout_seconds`, for one request as a whole; `concurrency`, at least 1; `clock` and
    `monotonic`, for tests. Raises ValueError for a concurrency below 1.
    Promises: any number of tasks may use it at once. Remembers which ids were asked within the last five
    seconds, nothing of any message.
    """

    company = "Loyalty.lt"

    def __init__(  # noqa: PLR0913  an account is configured once, all by name
        self,
        *,
        name: str,
        api_key: str,
        api_secret: str,
        wire: Wire,
        locale: str = "en",
        base_url: str = "https://api.loyalty.lt",
        timeout_seconds: float = 20.0,
        concurrency: int = 8,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self._name = name
        # Without Accept a server of their kind may answer what it refuses with a redirect to a page.
        self._headers = {"X-API-Key": api_key, "X-API-Secret": api_secret, "Accept": "application/json"}
        self._wire = wire
        self._root = f"{base_url.rstrip('/')}/{quote(locale, safe='')}/sms/"
        self._timeout_seconds = timeout_seconds
        self._concurrency = concurrency
        self._wall = clock
        self._monotonic = monotonic
        self._recently = RecentlyAsked(_AGAIN_SECONDS, monotonic)
        self._probing = asyncio.Lock()
        self._probed: tuple[float, str | None] | None = None  # when, and why it was in vain

    def __repr__(self) -> str:
        return f"LoyaltyLt(name={self._name!r})"

    @property
    def name(self) -> str:
        """The account's name in our settings."""
        return self._name

    @property
    def timeout_seconds(self) -> float:
        """The longest one request may take."""
        return self._timeout_seconds

    @property
    def concurrency(self) -> int:
        """As it was made: a request takes one message."""
        return self._concurrency

    @property
    def settles_doubt_after_seconds(self) -> None:
        """Never: Loyalty.lt cannot be asked by our reference."""
        return

    @property
    def least_pause_seconds(self) -> float:
        """Five, as the page on status says."""
        return _AGAIN_SECONDS

    @property
    def calls_back_by_id(self) -> bool:
        """Each message has an address of its own to be called back at."""
        return False

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """One message each."""
        return [[message] for message in messages]

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one message over: POST sms/send."""
        if len(request) != 1:
            return [NotSent("a request holds one message")] * len(request)
        return [await self._hand_over(request[0], sender_id, leave_by)]

    async def _hand_over(self, message: OutboundMessage, sender_id: str, leave_by: float) -> Outcome:
        if is_too_long(LOYALTY_LT, message.text):
            why = f"the text is longer than {LOYALTY_LT.most_characters} characters"
            return CampaignTrouble("text_too_long", why, "text")
        said: dict[str, object] = {
            "source": sender_id,
            "destination": message.phone,
            "message": message.text,
            "receipt": message.callback_url is not None,
        }
        if message.callback_url is not None:
            said["receiptURL"] = message.callback_url
        if validity := validity_of(message.valid_until, self._wall()):
            said["validity"] = validity
        try:
            data = json.dumps(said, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return Rejected("not_unicode", "text or sender cannot be written as UTF-8")
        result = await self._wire.hand_over(
            "POST",
            self._root + "send",
            timeout_seconds=self._timeout_seconds,
            leave_by=leave_by,
            headers={**self._headers, "Content-Type": "application/json"},
            data=data,
        )
        match result:
            case NeverLeft(why):
                return NotSent(why)
            case Unseen(why):
                return InDoubt(why)
            case Answered(status=200 | 201 | 202):
                read = read_sent(result.body)
                return self._outcome_of(read.says_status, read, result) if isinstance(read, Refusal) else read
            case Answered(status=status):
                return self._outcome_of(status, read_refusal(status, result.body), result)

    def _outcome_of(  # noqa: PLR0911  one line for each meaning
        self, status: int | None, refusal: Refusal, answer: Answered
    ) -> Outcome:
        """What it says by its HTTP status; of money, credentials and pace its code has the last word."""
        said = f"HTTP {answer.status}"
        if status in (400, 422) and refusal.is_said_by_them and refusal.says_status in (401, 402, 403, 429):
            status = refusal.says_status
        match status:
            case 429 | 503:  # 1003 of their table, and RFC 9110, 15.6.4: not handled now, come back
                why = said if answer.status == status else refusal.reason
                return Throttled(retry_after_seconds(answer, self._wall()), why)
            case 401 | 402 | 403:
                return AccountTrouble(refusal.code, refusal.reason)
            case 422 if refusal.is_of_callback:
                # The address is ours and the same for all: no message is to be lost over it.
                return AccountTrouble(refusal.code, f"the callback address is {refusal.reason}")
            case 400 | 422 if refusal.is_said_by_them and refusal.about is not None:
                return CampaignTrouble(refusal.code, refusal.reason, refusal.about)
            case 422:
                return Rejected(refusal.code, refusal.reason, is_unclear=refusal.says_nothing)
            case 400 if refusal.is_said_by_them:  # else it may be a machine on the way that says so
                return Rejected(refusal.code, refusal.reason)
            case 413:
                return Rejected("http_413", "the request is too long")
            case 404 | 405 | 410:  # nothing behind this address takes messages from us
                return AccountTrouble(f"http_{answer.status}", "the address is wrong")
            case _:  # another 2xx, 3xx, 5xx, and a 4xx nobody documents: somebody may have taken it
                return InDoubt(said)

    async def ask(self, provider_message_ids: Sequence[str], turn: Turn) -> Answers:
        """Ask for each id, up to `concurrency` at once, until trouble comes.

        Ids asked less than five seconds ago are left out. In random order, so that every id gets its turn in
        the end, however few a round gets through.
        """
        ids = [each for each in dict.fromkeys(provider_message_ids) if is_message_id(each)]
        round_ = _Round([each for each in ids if not self._recently.wait_seconds(each)])
        shuffle(round_.to_ask)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(round_.to_ask))):
                    group.create_task(self._ask_on(round_, turn))
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from None  # a bug, of `turn` or of ours: the first says it
        retry_after = round_.retry_after_seconds
        if not round_.asked_count and not round_.is_over:
            retry_after = max((self._recently.wait_seconds(each) for each in ids), default=None)
        return Answers(
            [receipt_from(round_.found[each]) for each in ids if each in round_.found],
            round_.trouble,
            retry_after,
            [each for each in ids if each not in round_.asked],
        )

    async def _ask_on(self, round_: _Round, turn: Turn) -> None:
        """Ask one id after the other as long as there is one and nothing stands against it."""
        while round_.to_ask and not round_.is_over:
            asked = round_.to_ask.pop()
            try:
                await turn()
            except NotOurTurn as later:
                round_.note(None, later.wait_seconds, is_over=True)
                return
            # Both may have changed while we waited for our turn.
            if round_.is_over or self._recently.wait_seconds(asked):
                continue
            round_.asked_count += 1
            match await self._status(asked):
                case Sighting() as sighting:
                    round_.found[asked] = sighting
                    round_.asked.add(asked)
                case _InVain(why, retry_after, may_be_of_this_id):
                    round_.unreadable_count += 1
                    if may_be_of_this_id:
                        round_.asked.add(asked)
                    is_over = not may_be_of_this_id or round_.unreadable_count >= _MOST_UNREADABLE
                    round_.note(why, retry_after, is_over=is_over)
                case None:  # they have no such message: nothing is said of it
                    round_.asked.add(asked)

    async def _status(self, message_id: str) -> Sighting | _InVain | None:
        """Ask sms/status for one id that may be asked now; None: they have no such message."""
        answer = await self._question(message_id)
        if isinstance(answer, _InVain):
            return answer
        if answer.status == 404:
            return None
        cannot_be_read = _InVain("Loyalty.lt's answer cannot be read", may_be_of_this_id=True)
        return read_status(answer.body, message_id) or cannot_be_read

    async def _question(self, message_id: str) -> Answered | _InVain:
        """An answer with 200, or with a 404 of their own."""
        with self._recently.asking(message_id):
            result = await self._wire.ask(
                f"{self._root}status/{quote(message_id, safe='')}",
                timeout_seconds=self._timeout_seconds,
                headers=self._headers,
                once=True,  # a second pass would be the same id again within five seconds
            )
        match result:
            case NeverLeft(why) | Unseen(why):
                return _InVain(f"Loyalty.lt did not answer: {why}")
            case Answered(status=200):
                return result
            case Answered(status=404) if says_unknown(result.body):
                return result
            case Answered(status=400 | 401 | 402 | 403 | 422 as status):
                reason = read_refusal(status, result.body).reason
                why = f"Loyalty.lt refused the question: {reason} (HTTP {status})"
                return _InVain(why, may_be_of_this_id=status in {400, 422})
            case Answered(status=status):
                why = f"Loyalty.lt answered HTTP {status}"
                return _InVain(why, retry_after_seconds(result, self._wall()))

    async def look_up(self, doubtful: Sequence[Doubtful], turn: Turn) -> Sightings:
        """Nothing to ask by: only a callback tells."""
        return Sightings(trouble="Loyalty.lt cannot be asked by our reference: only a callback tells")

    async def find(self, question: Question, turn: Turn) -> list[Sighting]:
        """Ask sms/status for one id. Raises ProviderRefused; NotOurTurn, also within five seconds of the
        last question for it.
        """
        if question.by != "id":
            raise ProviderRefused("Loyalty.lt tells of a message by its own id alone.")
        if not is_message_id(question.value):
            return []
        self._expect_may_ask(question.value)
        await turn()
        self._expect_may_ask(question.value)
        found = await self._status(question.value)
        if isinstance(found, _InVain):
            raise ProviderRefused(found.why)
        return [] if found is None else [found]

    def _expect_may_ask(self, message_id: str) -> None:
        if wait_seconds := self._recently.wait_seconds(message_id):
            raise NotOurTurn(wait_seconds)

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """The one receipt in a callback: POST with JSON. Raises CallbackRefused.

        It is not signed: that it is genuine is proven by the token in its address, which is the caller's to
        check, as is whose message that is. `message_ref` is what the body claims.
        """
        if callback.method != "POST":
            raise CallbackRefused(405, "Loyalty.lt calls back by POST")
        said = [value for name, value in callback.headers.items() if name.lower() == "content-type"]
        if [value.partition(";")[0].strip().lower() for value in said] != ["application/json"]:
            raise CallbackRefused(415, "Loyalty.lt calls back with application/json")
        return [read_callback_body(callback.body)]

    async def probe(self) -> None:
        """Ask for a message that cannot exist: being told so shows that access is well.

        That, too, is asked once in five seconds; until then the last answer stands. Raises ProviderRefused.
        """
        async with self._probing:
            if self._probed is None or self._monotonic() - self._probed[0] >= _AGAIN_SECONDS:
                why = await self._why_not_well()
                self._probed = (self._monotonic(), why)
        if self._probed[1] is not None:
            raise ProviderRefused(self._probed[1])

    async def _why_not_well(self) -> str | None:
        if wait_seconds := self._recently.wait_seconds(_NO_MESSAGE):
            return f"Loyalty.lt was asked the same a moment ago; ask again in {wait_seconds:.0f} s"
        answer = await self._question(_NO_MESSAGE)
        if isinstance(answer, _InVain):
            return answer.why
        return None if isinstance(load(answer.body), dict) else "Loyalty.lt's answer cannot be read"

    async def balance(self) -> Money:
        """Not told. Raises ProviderRefused."""
        raise ProviderRefused("Loyalty.lt does not tell the balance over its API.")

    async def statistics(self, month: str) -> list[DayStatistics]:
        """Not told. Raises ProviderRefused."""
        raise ProviderRefused("Loyalty.lt does not tell statistics over its API.")
