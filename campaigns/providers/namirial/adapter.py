"""Namirial SMS Gateway: one message to a request, and a second host that can be asked what became of it.

What shapes this file:

* Two hosts with two keys: one sends (HTTP Basic), one tells statuses (`X-Api-Key`).
* A refusal is HTTP 500 with a code inside; an HTTP 500 without one says nothing, and is in doubt.
* Our reference goes out as `reference.key`, and the status host finds messages by it: doubt is settled by
  asking. A message it does not have is an empty list; an HTTP 404 there is a wrong address, never absence.
* `reference.service` must be one of a list that is not published. A wrong one (code 59) is a setting at
  fault, not a message: it holds the account, and nothing is spent. Their health page, all that `probe` can
  ask for nothing, checks no credentials and no service. A probe that believed it would lift the hold for
  one more refusal, again and again. So `probe` refuses for a while by itself after such a refusal, five
  minutes at first, twice as long each time, at most an hour; then one request may try. Settings that were
  mended begin with a new process, which remembers nothing; an operator lifts the hold at once.
* No sender name can be given (`sender_id` is ignored), no cost is told, no balance, no statistics.
* More than two messages of one text to one number within an hour are dropped by them and still answered
  with HTTP 200 (FLOODING): such a message ends as `unknown`.

Sources, as named in the tables: STATUS "Message status" (the seed) · of docs.namirial.app/products/sms:
SEND api-references/services-send, CODES integration-guide/error-codes, REFERENCE
integration-guide/attribute-reference, FLOODING sms-gateway/smsgw-anti-flooding, CALLBACK wb/wb-how and
wb/wb-configuration, OPENAPI openapi (27.1.0.4) and openapi-api-status (1.0.0).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    Callback,
    CallbackRefused,
    CampaignTrouble,
    Doubtful,
    InDoubt,
    OutboundMessage,
    Outcome,
    Question,
    Receipt,
    Rejected,
    Sighting,
    Sightings,
    Throttled,
    WaitForPace,
    receipt_from,
)
from campaigns.domain.traits import Traits
from campaigns.providers.base import (
    OneMessageAdapter,
    answer_or_outcome,
    expect_answer,
    expect_success,
    outcome_of_status,
    text_too_long,
)
from campaigns.providers.documents import field_of
from campaigns.providers.namirial.answers import (
    CODES,
    MESSAGE_ID,
    UNREADABLE,
    Means,
    load,
    read_receipt,
    read_refusal,
    read_taken,
)
from campaigns.providers.namirial.settings import LIMITS, basic
from campaigns.providers.namirial.statuses import StatusHost
from campaigns.providers.wire import Answered, Wire, retry_after_seconds

_FLOODED_SECONDS = 60.0  # the window is an hour and slides (FLOODING): sooner would fail as well
_REFUSED_FIRST_SECONDS = 300.0  # the first pause after questions were refused
_REFUSED_LONGEST_SECONDS = 3600.0  # the longest of these pauses


@dataclass(slots=True)
class _AccessRefused:
    """The account was refused at hand-over, and no message was taken since."""

    reason: str
    pause_seconds: float
    until: float  # by our monotonic clock; `probe` says no until then


class Namirial(OneMessageAdapter):
    """One account at Namirial. Keeps `campaigns.domain.provider.Provider`.

    Takes `send_url`, everything before `/api/Services/send`, with `username` and `password`; `status_url`,
    everything before `/api/messagestatus/`, with `api_key`; `reference_service`, one of the names Namirial
    allows this account, and `reference_action`, free text, both put on every message; `timeout_seconds`,
    for one request as a whole; `concurrency`, requests in flight at once; `settles_doubt_after_seconds`: how
    soon after a hand-over a message can be found by its reference is not documented, a minute is a guess on
    the safe side; `clock` and `monotonic`, for tests.
    Promises: made inside the loop of its `wire`; any number of tasks may use it at once. Remembers that the
    account was refused, nothing of any message. Raises ValueError for a user name with a colon (RFC 7617, 2).
    """

    company = "Namirial"

    def __init__(  # noqa: PLR0913  an account is configured once, all by name
        self,
        *,
        name: str,
        username: str,
        password: str,
        api_key: str,
        wire: Wire,
        reference_service: str,
        reference_action: str | None = None,
        send_url: str = "https://sms.namirialtsp.com",
        status_url: str = "https://sms-apistatus.namirialtsp.com",
        timeout_seconds: float = 20.0,
        concurrency: int = 4,
        settles_doubt_after_seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if ":" in username:
            raise ValueError("a user name with a colon cannot be sent by HTTP Basic")
        traits = Traits(
            timeout_seconds,
            concurrency,
            # Never less than one request may take: what they work on cannot be found yet.
            settles_doubt_after_seconds=max(settles_doubt_after_seconds, timeout_seconds),
            calls_back_by_id=True,  # it repeats our reference, but no document says that it always does
        )
        super().__init__(name, traits)
        self._wire = wire
        self._services = send_url.rstrip("/") + "/api/Services/"
        self._sending_headers = {
            "Accept": "application/json",
            "Authorization": f"Basic {basic(username, password)}",
        }
        self._reference = {"service": reference_service}
        if reference_action:
            self._reference["action"] = reference_action
        self._wall = clock
        self._monotonic = monotonic
        self._access_refused: _AccessRefused | None = None
        self._statuses = StatusHost(
            wire, status_url, api_key, timeout_seconds=timeout_seconds, concurrency=concurrency, clock=clock
        )

    async def _hand_over(self, message: OutboundMessage, sender_id: str, leave_by: float) -> Outcome:
        """A POST to /api/Services/send. `sender_id` cannot be said to Namirial."""
        body = self._body(message)
        if not isinstance(body, bytes):
            return body
        result = await self._wire.hand_over(
            "POST",
            self._services + "send",
            timeout_seconds=self.traits.timeout_seconds,
            leave_by=leave_by,
            headers={**self._sending_headers, "Content-Type": "application/json"},
            data=body,
        )
        answer = answer_or_outcome(result)
        if not isinstance(answer, Answered):
            return answer
        outcome = self._outcome(answer)
        self._remember(outcome)
        return outcome

    def _body(self, message: OutboundMessage) -> bytes | Rejected | CampaignTrouble:
        if trouble := text_too_long(LIMITS, message.text):
            return trouble
        document: dict[str, object] = {
            "destination": message.phone,
            "text": message.text,
            "reference": {**self._reference, "key": message.message_ref},
            "detailed": True,  # without it the answer may hold no id
        }
        if message.callback_url is not None:
            document["webhook"] = {"url": message.callback_url, "authentication": {"type": "NONE"}}
        try:
            return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            return Rejected("not_unicode", "the text cannot be written as UTF-8")

    def _outcome(self, answer: Answered) -> Outcome:
        match answer.status:
            case status if 200 <= status < 300:
                return self._outcome_of_success(answer)
            case 401 | 403 | 404 | 405 | 410 | 429:
                pass
            case status if 400 <= status <= 500:  # documented with 500; a code says the same with 400
                return self._outcome_of_code(read_refusal(answer.body), answer)
        return outcome_of_status(
            answer,
            self._wall(),
            no_access="user name or password is refused",
            no_address="nothing takes messages at this address",
        )

    def _outcome_of_success(self, answer: Answered) -> Outcome:
        """Taken; or a refusal that came with 200: its code says the same there, where nothing says taken."""
        taken, code = read_taken(answer.body), read_refusal(answer.body)
        return self._outcome_of_code(code, answer) if taken == UNREADABLE and code in CODES else taken

    def _outcome_of_code(self, code: str | None, answer: Answered) -> Outcome:
        if code is None or code not in CODES:
            named = "without a code" if code is None else f"with the code {code}, which nobody documents"
            return InDoubt(f"HTTP {answer.status} {named}")
        means, reason, _ = CODES[code]
        match means:
            case Means.REJECTED:
                return Rejected(code, reason)
            case Means.TEXT:
                return CampaignTrouble(code, reason, "text")
            case Means.ACCOUNT:
                return AccountTrouble(code, reason)
            case Means.FLOODED:
                said = retry_after_seconds(answer, self._wall())
                return Throttled(max(_FLOODED_SECONDS, said or 0.0), reason)
            case Means.DOUBT:
                return InDoubt(f"{reason} (code {code})")

    def _remember(self, outcome: Outcome) -> None:
        """Keep in mind that the account is refused, for `probe`; forget it with the first message taken."""
        now = self._monotonic()
        if isinstance(outcome, Accepted):
            self._access_refused = None
        elif isinstance(outcome, AccountTrouble):
            pause = _REFUSED_FIRST_SECONDS
            if self._access_refused is not None:
                if now < self._access_refused.until:
                    return  # several were in flight, or an operator insisted: one refusal
                pause = min(2 * self._access_refused.pause_seconds, _REFUSED_LONGEST_SECONDS)
            self._access_refused = _AccessRefused(f"{outcome.reason} ({outcome.code})", pause, now + pause)

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask for each id, up to `concurrency` at once, each when the pace allows it.

        HTTP 404: an id not known. Ends early where further questions would fail as well, and gives what was
        learned.
        """
        ids = [each for each in dict.fromkeys(provider_message_ids) if MESSAGE_ID.fullmatch(each)]
        asked = await self._statuses.ask_each(ids, wait_for_pace, self._statuses.by_id)
        receipts = [
            replace(receipt_from(found), provider_message_id=each)
            for each in ids
            if (found := asked.learned.get(each)) is not None
        ]
        return Answers(receipts, asked.trouble, asked.retry_after_seconds, asked.unasked(ids))

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Ask for each reference, up to `concurrency` at once, each when the pace allows it.

        Seen is a message with exactly our reference; absent is an empty list and nothing else.
        """
        refs = list(dict.fromkeys(each.message_ref for each in doubtful))
        asked = await self._statuses.ask_each(refs, wait_for_pace, self._statuses.by_reference)
        return Sightings(
            asked.found(refs),
            asked.absent(refs),
            asked.trouble,
            asked.retry_after_seconds,
            asked.unasked(refs),
        )

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask by id, number or reference; newest first. Raises ProviderRefused, PaceUsedUp.

        Without a count a list is what Namirial gives by itself: 50.
        """
        if question.count is not None and question.count < 1:
            raise ProviderRefused("At least one message must be asked for.")
        if question.by != "id":
            return await self._statuses.search(question, wait_for_pace)
        await wait_for_pace()
        found = await self._statuses.by_id(question.value)
        return [] if found is None else [found]

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """The receipt in a status update (CALLBACK); nothing signs it, so its address must be secret."""
        if callback.method != "POST":
            raise CallbackRefused(405, "Namirial calls back by POST")
        document = load(callback.body)
        kind = field_of(document, "type")
        if not isinstance(kind, str):
            raise CallbackRefused(400, "the callback is not one of Namirial's")
        if kind != "STATUS_UPDATE":
            return []
        receipt = read_receipt(field_of(document, "message"))
        if receipt is None:
            raise CallbackRefused(400, "the callback's message cannot be read")
        return [receipt] if receipt.provider_message_id or receipt.message_ref else []

    async def probe(self) -> None:
        """Ask for their health (OPENAPI), which says nothing of credentials and service: see above.

        Raises ProviderRefused, also without asking, for a while after the account was refused.
        """
        refusal = self._access_refused
        if refusal is not None and self._monotonic() < refusal.until:
            raise ProviderRefused(
                f"Namirial refused the account: {refusal.reason}. Mend the settings and start again,"
                " or resume the account."
            )
        answer = expect_answer(
            self.company,
            await self._wire.ask(
                self._services + "checkServiceStatus",
                method="POST",
                timeout_seconds=self.traits.timeout_seconds,
                headers=self._sending_headers,
            ),
        )
        if answer.status in (401, 403):
            raise ProviderRefused(f"Namirial refused user name or password (HTTP {answer.status})")
        if (
            field_of(load(expect_success(self.company, answer, self._wall()).body), "globalStatus")
            is not True
        ):
            raise ProviderRefused("Namirial says that it is not well")
