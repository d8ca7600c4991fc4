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
import re
import time
from collections.abc import Callable, Mapping, Sequence
from string import ascii_letters, digits
from urllib.parse import quote

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    AccountTrouble,
    Answers,
    CampaignTrouble,
    DayStatistics,
    Failed,
    InDoubt,
    Money,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Question,
    Rejected,
    Sighting,
    StopListEntry,
    Throttled,
    WaitForPace,
)
from campaigns.domain.traits import Traits
from campaigns.providers.base import (
    BaseAdapter,
    NoAnswer,
    answer_or_outcome,
    ask_in_halves,
    expect_success,
    outcome_of_status,
)
from campaigns.providers.documents import amount_of, field_of, is_message_id
from campaigns.providers.lightsms.answers import (
    ErrorCode,
    Means,
    common_code,
    is_status_answer,
    load,
    msisdn,
    read_answer,
    read_statistics,
    read_statuses,
    read_stop_list,
    top_code,
)
from campaigns.providers.lightsms.clock import Clock, ClockReading
from campaigns.providers.wire import Answered, Wire, retry_after_seconds

_URL_TARGET = 4_000  # their limit is not documented; common servers stop near 8,000
_URL_LIMIT = 7_500  # beyond this a request is refused here, with a clear reason
_SIGNATURE_SECONDS = 5.0  # half of the timestamp's 10 s: what cannot leave by then is not sent
_UNQUOTED = (ascii_letters + digits + "_.-~,").encode()  # in a URL
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def signature(parameters: Mapping[str, str], api_key: str) -> str:
    """Sign a call: md5 of all values in the order of their names, then the key, nothing between.

    Takes the values as they are meant (UTF-8 text, before URL encoding), without `signature` itself.
    Gives 32 lower-case hexadecimal digits. Source: GUIDE sending-sms, sample programs.
    """
    signed = "".join(parameters[name] for name in sorted(parameters)) + api_key
    return hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()


class LightSms(BaseAdapter):
    """One account at LightSMS. Keeps `campaigns.domain.provider.Provider`.

    Takes `base_url`, everything before `/external/get/`; `timeout_seconds`, for one request as a whole;
    `currency`, where their answers name none; `concurrency`, at least 1; `clock` and `monotonic`, for tests.
    Raises ValueError for a concurrency below 1.
    Promises: made inside the loop of its `wire`; any number of tasks may use it at once. Remembers
    their clock and how many recipients they take, nothing of any message.
    """

    company = "LightSMS"
    on_doubt = "takes no reference of ours and cannot be asked"

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
        concurrency: int = 1,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, Traits(timeout_seconds, concurrency))
        self._login = login
        self._api_key = api_key
        self._wire = wire
        self._root = base_url.rstrip("/") + "/external/get/"
        self._max_recipients = max_recipients_per_request
        self._max_status_ids = max_status_ids_per_request
        self._currency = currency
        self._wall = clock
        self._clock = Clock(wire, self._root + "timestamp.php", timeout_seconds, clock, monotonic)

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` by text, then by recipients (fewer after a code 14) and length of the URL."""
        alike: dict[str, list[OutboundMessage]] = {}
        for message in messages:
            alike.setdefault(message.text, []).append(message)
        requests: list[list[OutboundMessage]] = []
        bare = len(self._url("send.php", self._send_parameters("", "", ""), 10**9))
        for text, group in alike.items():
            empty = bare + _quoted_length(text) + _quoted_length(sender_id)
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
        """Learn their clock, when ours of it is missing, old or doubted. Raises ProviderRefused."""
        await self._clock.learn()

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one request over: a signed GET to send.php, made at the last moment."""
        now = asyncio.get_running_loop().time()
        count, reading = len(request), self._clock.reading
        if reading is None or reading.doubted:
            return [NotSent("LightSMS's clock must be learned first", reading is not None)] * count
        phones = [message.phone for message in request]
        url = self._paid_url(request, sender_id, reading)
        if not isinstance(url, str):
            return [url] * count
        result = await self._wire.hand_over(
            "GET",
            url,
            timeout_seconds=self.traits.timeout_seconds,
            leave_by=min(leave_by, now + _SIGNATURE_SECONDS),
        )
        answer = answer_or_outcome(result)
        if not isinstance(answer, Answered):
            return [answer] * count
        if 200 <= answer.status < 300:
            return self._outcomes(answer, phones, reading)
        return [self._outcome_of_status(answer, count)] * count

    def _paid_url(
        self, request: Sequence[OutboundMessage], sender_id: str, reading: ClockReading
    ) -> str | NotSent | Rejected | CampaignTrouble:
        phones = [msisdn(message.phone) for message in request]
        texts = {message.text for message in request}
        if len(texts) != 1 or len(set(phones)) != len(phones):
            return NotSent("a request holds one text and no phone twice")
        parameters = self._send_parameters(",".join(phones), texts.pop(), sender_id)
        try:
            url = self._url("send.php", parameters, self._clock.moment(reading))
        except UnicodeEncodeError:
            return Rejected("not_unicode", "text or sender cannot be written as UTF-8")
        if len(url) <= _URL_LIMIT:
            return url
        if len(phones) > 1:
            return NotSent("the request is too long for one URL")
        return CampaignTrouble("url_too_long", "the text is too long for one URL", "text")

    def _outcomes(self, answer: Answered, phones: Sequence[str], signed: ClockReading) -> list[Outcome]:
        readings = read_answer(answer.body, phones)
        refusals = [reading for reading in readings if isinstance(reading, ErrorCode)]
        at_fault = False
        if any(refusal.means is Means.CLOCK for refusal in refusals):
            at_fault = self._clock.refused(signed)
        elif not all(isinstance(reading, InDoubt) for reading in readings):
            self._clock.believed(signed)

        def outcome(refusal: ErrorCode) -> Outcome:  # noqa: PLR0911  one line for each meaning
            code, reason = refusal.code, refusal.reason
            match refusal.means:
                case Means.REJECTED:
                    return Rejected(code, reason)
                case Means.STOPPED:
                    return Rejected(code, reason, opted_out=True)
                case Means.SENDER | Means.TEXT if refusal.of_message_with_id:
                    return Rejected(code, reason)  # final, for it may have been taken
                case Means.SENDER:
                    return CampaignTrouble(code, reason, "sender")
                case Means.TEXT:
                    return CampaignTrouble(code, reason, "text")
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

        return [outcome(reading) if isinstance(reading, ErrorCode) else reading for reading in readings]

    def _too_many(self, code: str, reason: str, count: int) -> Outcome:
        if count == 1:
            return Rejected(code, reason)
        self._max_recipients = min(self._max_recipients, count // 2)
        return NotSent(reason, retry_at_once=True)

    def _outcome_of_status(self, answer: Answered, count: int) -> Outcome:
        """What an HTTP status other than success says. Their own answers all come with 200 (SYMFONY)."""
        if answer.status in (413, 414, 431):  # the server in front found it too long to read
            return self._too_many(f"http_{answer.status}", "the request is too long", count)
        return outcome_of_status(answer, self._wall())

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask status.php, up to `max_status_ids_per_request` at a time.

        Code 18 does not say which of several ids it means.
        """

        async def ask_several(ids: Sequence[str]) -> Answers | None:
            said = await self._question("status.php", {"state": ",".join(ids)}, wait_for_pace)
            if isinstance(said, ErrorCode):
                if said.code == "18":
                    return None
                raise NoAnswer(f"LightSMS refused the question: {said.reason} (code {said.code})")
            is_read = is_status_answer(said, ids)
            return Answers(read_statuses(said, ids), None if is_read else "LightSMS's answer cannot be read")

        return await ask_in_halves(
            [each for each in dict.fromkeys(provider_message_ids) if is_message_id(each)],
            self._max_status_ids,
            ask_several,
            too_many="LightSMS knows too many of these ids not, to ask for each at once",
        )

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask status.php for one id. Raises ProviderRefused, PaceUsedUp."""
        if question.by != "id":
            raise ProviderRefused("LightSMS tells of a message by its own id alone.")
        answers = await self.ask([question.value], wait_for_pace)
        if answers.trouble is not None:
            raise ProviderRefused(answers.trouble)
        if answers.retry_after_seconds is not None:
            raise PaceUsedUp(answers.retry_after_seconds)
        return [Sighting(question.value, r.evidence, r.provider_state) for r in answers.receipts]

    async def probe(self) -> Money:
        """The balance."""
        return await self.balance()

    async def balance(self) -> Money:
        """Ask balance.php. Raises ProviderRefused."""
        said = await self._question("balance.php", {})
        if isinstance(said, ErrorCode):
            raise ProviderRefused(f"LightSMS refused the balance: {said.reason} (code {said.code})")
        amount, currency = amount_of(field_of(said, "money")), field_of(said, "currency")
        if amount is None:
            raise ProviderRefused("LightSMS's balance cannot be read")
        named = isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)
        return Money(amount, str(currency) if named else self._currency)

    async def statistics(self, month: str) -> list[DayStatistics]:
        """Ask stat_by_month.php. Ordered by day. Raises ProviderRefused."""
        if not _MONTH.fullmatch(month):
            raise ProviderRefused("A month is written YYYY-MM, for example 2025-01.")
        said = await self._question("stat_by_month.php", {"month": month})
        if isinstance(said, ErrorCode):
            if said.code == "19":
                return []
            raise ProviderRefused(f"LightSMS refused the statistics: {said.reason} (code {said.code})")
        return read_statistics(said)

    async def find_on_stop_list(self, phone: str) -> StopListEntry | None:
        """Ask find_on_stop.php (GUIDE blacklist). Raises ProviderRefused."""
        said = await self._question("find_on_stop.php", {"phone": msisdn(phone)})
        if isinstance(said, ErrorCode):
            if said.code == "19":
                return None
            raise ProviderRefused(f"LightSMS refused the look-up: {said.reason} (code {said.code})")
        return read_stop_list(said)

    async def _question(
        self, script: str, parameters: Mapping[str, str], wait_for_pace: WaitForPace | None = None
    ) -> object | ErrorCode:
        """Ask one thing, once more with a clock learned anew. Raises ProviderRefused, PaceUsedUp."""
        for _ in range(2):
            reading = await self._clock.learn()
            if wait_for_pace is not None:
                await wait_for_pace()
                reading = self._clock.reading or reading
            moment = self._clock.moment(reading)
            url = self._url(script, {"login": self._login, "return": "json", **parameters}, moment)
            result = await self._wire.ask(url, timeout_seconds=self.traits.timeout_seconds)
            document = load(expect_success(self.company, result, self._wall()).body)
            if document is None:
                raise NoAnswer("LightSMS's answer cannot be read")
            code = top_code(document) or common_code(document)
            if code is None or code == "0":
                self._clock.believed(reading)
                return document
            refusal = ErrorCode(code)
            if refusal.means is Means.CLOSED:
                raise NoAnswer(f"LightSMS refused the question: {refusal.reason} (code {code})")
            if refusal.means is not Means.CLOCK:
                return refusal
            if self._clock.refused(reading):
                break
        raise NoAnswer("LightSMS refused the signature, also by a clock learned anew (code 6 or 24)")

    def _send_parameters(self, phones: str, text: str, sender_id: str) -> dict[str, str]:
        return {"login": self._login, "phone": phones, "text": text, "sender": sender_id, "return": "json"}

    def _url(self, script: str, parameters: Mapping[str, str], moment: int) -> str:
        named = {**parameters, "timestamp": str(moment)}
        named["signature"] = signature(named, self._api_key)
        query = "&".join([f"{key}={_quoted(value)}" for key, value in named.items()])
        return f"{self._root}{script}?{query}"


def _quoted(value: str) -> str:
    # A comma may stand as it is, as in their examples: two bytes less for each recipient.
    return quote(value, safe=",")


def _quoted_length(value: str) -> int:
    """How long `_quoted` makes it, in a tenth of the time: every byte that may not stand becomes three.

    Half of a surrogate pair can be measured; `hand_over` refuses it.
    """
    encoded = value.encode(errors="replace")
    return len(encoded) + 2 * len(encoded.translate(None, _UNQUOTED))
