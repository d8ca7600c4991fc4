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
from urllib.parse import quote

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    AccountTrouble,
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Throttled,
    WaitForPace,
    receipt_from,
)
from campaigns.domain.traits import Traits
from campaigns.providers.base import (
    NoAnswer,
    OneMessageAdapter,
    answer_or_outcome,
    ask_each,
    expect_answer,
    outcome_of_status,
    text_too_long,
)
from campaigns.providers.loyalty_lt.answers import (
    ErrorAnswer,
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
from campaigns.providers.loyalty_lt.settings import LIMITS
from campaigns.providers.wire import Answered, Wire, retry_after_seconds

_AGAIN_SECONDS = 5.0  # before the same id may be asked again; source: SEED, Polling vs Webhooks
_NO_MESSAGE = "msg_0"  # cannot exist: theirs are `msg_` and twelve characters


class LoyaltyLt(OneMessageAdapter):
    """One account at Loyalty.lt. Keeps `campaigns.domain.provider.Provider`.

    Takes `base_url`, everything before `/{locale}/sms/`; `locale`, the language of their sentences, of which
    none is read; `timeout_seconds`, for one request as a whole; `concurrency`, at least 1; `clock` and
    `monotonic`, for tests. Raises ValueError for a concurrency below 1.
    Promises: any number of tasks may use it at once. Remembers which ids were asked within the last five
    seconds, nothing of any message.
    """

    company = "Loyalty.lt"
    on_doubt = "cannot be asked by our reference: only a callback tells"
    on_balance = "does not tell the balance over its API"
    on_statistics = "does not tell statistics over its API"

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
        # Each message has an address of its own to be called back at.
        super().__init__(name, Traits(timeout_seconds, concurrency, least_pause_seconds=_AGAIN_SECONDS))
        # Without Accept a server of their kind may answer what it refuses with a redirect to a page.
        self._headers = {"X-API-Key": api_key, "X-API-Secret": api_secret, "Accept": "application/json"}
        self._wire = wire
        self._root = f"{base_url.rstrip('/')}/{quote(locale, safe='')}/sms/"
        self._wall = clock
        self._monotonic = monotonic
        self._recently = RecentlyAsked(_AGAIN_SECONDS, monotonic)
        self._probing = asyncio.Lock()
        self._probed: tuple[float, str | None] | None = None  # when, and why it failed

    async def _hand_over(self, message: OutboundMessage, sender_id: str, leave_by: float) -> Outcome:
        """POST sms/send."""
        if trouble := text_too_long(LIMITS, message.text):
            return trouble
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
            timeout_seconds=self.traits.timeout_seconds,
            leave_by=leave_by,
            headers={**self._headers, "Content-Type": "application/json"},
            data=data,
        )
        match answer_or_outcome(result):
            case Answered(status=200 | 201 | 202) as answer:
                read = read_sent(answer.body)
                if isinstance(read, ErrorAnswer):
                    return self._outcome_of(read.says_status, read, answer)
                return read
            case Answered(status=status) as answer:
                return self._outcome_of(status, read_refusal(status, answer.body), answer)
            case outcome:
                return outcome

    def _outcome_of(  # noqa: PLR0911  one line for each meaning
        self, status: int | None, refusal: ErrorAnswer, answer: Answered
    ) -> Outcome:
        """What it says by its HTTP status; of money, credentials and pace its code decides."""
        if status in (400, 422) and refusal.is_said_by_them and refusal.says_status in (401, 402, 403, 429):
            status = refusal.says_status
        match status:
            case 429 | 503 if answer.status != status:  # 1003 of their table
                return Throttled(retry_after_seconds(answer, self._wall()), refusal.reason)
            case 401 | 402 | 403:
                return AccountTrouble(refusal.code, refusal.reason)
            case 422 if refusal.is_of_callback:
                # The address is ours and the same for all: no message is to be lost over it.
                return AccountTrouble(refusal.code, f"the callback address is {refusal.reason}")
            case 400 | 422 if refusal.is_said_by_them and refusal.about is not None:
                return CampaignTrouble(refusal.code, refusal.reason, refusal.about)
            case 422:
                return Rejected(refusal.code, refusal.reason, is_unclear=refusal.says_nothing)
            case 400 if refusal.is_said_by_them:  # else it may be a machine in between that says so
                return Rejected(refusal.code, refusal.reason)
            case 413:
                return Rejected("http_413", "the request is too long")
            case _:
                return outcome_of_status(answer, self._wall(), no_address="the address is wrong")

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask for each id, up to `concurrency` at once, until trouble comes.

        Ids asked less than five seconds ago are left out.
        """
        ids = [each for each in dict.fromkeys(provider_message_ids) if is_message_id(each)]
        series = await ask_each(
            [each for each in ids if self._may_ask(each)],
            wait_for_pace,
            self._status,
            concurrency=self.traits.concurrency,
            may_ask=self._may_ask,  # that may have changed while we waited
        )
        retry_after = series.retry_after_seconds
        if not series.question_count and not series.is_over:
            retry_after = max((self._recently.wait_seconds(each) for each in ids), default=None)
        receipts = [receipt_from(each) for each in series.found(ids)]
        return Answers(receipts, series.trouble, retry_after, series.unasked(ids))

    def _may_ask(self, message_id: str) -> bool:
        return not self._recently.wait_seconds(message_id)

    async def _status(self, message_id: str) -> Sighting | None:
        """Ask sms/status for one id that may be asked now. None: they know no such message. Raises
        NoAnswer.
        """
        answer = await self._question(message_id)
        if answer.status == 404:
            return None
        sighting = read_status(answer.body, message_id)
        if sighting is None:
            raise NoAnswer("Loyalty.lt's answer cannot be read", of_one=True)
        return sighting

    async def _question(self, message_id: str) -> Answered:
        """An answer with 200, or with a 404 of their own. Raises NoAnswer."""
        with self._recently.asking(message_id):
            result = await self._wire.ask(
                f"{self._root}status/{quote(message_id, safe='')}",
                timeout_seconds=self.traits.timeout_seconds,
                headers=self._headers,
                once=True,  # a second pass would be the same id again within five seconds
            )
        match expect_answer(self.company, result):
            case Answered(status=200) as answer:
                return answer
            case Answered(status=404) as answer if says_unknown(answer.body):
                return answer
            case Answered(status=400 | 401 | 402 | 403 | 422 as status, body=body):
                reason = read_refusal(status, body).reason
                why = f"Loyalty.lt refused the question: {reason} (HTTP {status})"
                raise NoAnswer(why, of_one=status in {400, 422})
            case Answered(status=status) as answer:
                why = f"Loyalty.lt answered HTTP {status}"
                raise NoAnswer(why, retry_after_seconds(answer, self._wall()))

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask sms/status for one id. Raises ProviderRefused; PaceUsedUp, also within five seconds of the
        last question for it.
        """
        if question.by != "id":
            raise ProviderRefused("Loyalty.lt tells of a message by its own id alone.")
        if not is_message_id(question.value):
            return []
        self._expect_may_ask(question.value)
        await wait_for_pace()
        self._expect_may_ask(question.value)
        found = await self._status(question.value)
        return [] if found is None else [found]

    def _expect_may_ask(self, message_id: str) -> None:
        if wait_seconds := self._recently.wait_seconds(message_id):
            raise PaceUsedUp(wait_seconds)

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
        try:
            answer = await self._question(_NO_MESSAGE)
        except NoAnswer as failure:
            return str(failure)
        return None if isinstance(load(answer.body), dict) else "Loyalty.lt's answer cannot be read"
