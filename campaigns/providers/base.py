"""What adapters share: their traits, what most of them cannot do, what an HTTP status means at hand-over, and
how many ids are asked for, together or one by one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import getrandbits, sample
from typing import ClassVar, Generic, TypeVar

from campaigns.domain.errors import NotOffered, ProviderRefused
from campaigns.domain.limits import Limits, is_too_long
from campaigns.domain.prices import Quote
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
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Receipt,
    Sightings,
    StopListEntry,
    Throttled,
    WaitForPace,
)
from campaigns.domain.traits import Traits
from campaigns.providers.wire import Answered, HandOverResult, NeverLeft, Unseen, retry_after_seconds

_MOST_HALVINGS = 64  # further questions that one list of ids may cost
_MOST_UNREADABLE = 3  # in one series: one or two may be those messages' own, three are the provider's

_T = TypeVar("_T")


class BaseAdapter:
    """Says what an account was made with, and refuses what most providers do not have.

    A subclass says its company's name and, where the sentences below are not true of it, its own words for
    them. It overrides what its provider has. Raises ValueError for a concurrency below 1.
    """

    company: ClassVar[str]
    on_doubt: ClassVar[str] = "cannot be asked by our reference"
    on_balance: ClassVar[str] = "does not tell a balance"
    on_statistics: ClassVar[str] = "does not tell statistics"

    def __init__(self, name: str, traits: Traits) -> None:
        if traits.concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self.name = name
        self.traits = traits

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    async def prepare(self) -> None:
        """Nothing needs to be done before a hand-over."""

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """There is nothing to ask by."""
        return Sightings(trouble=f"{self.company} {self.on_doubt}")

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """There are none. Raises CallbackRefused."""
        raise CallbackRefused(404, f"{self.company} calls nobody back")

    async def callbacks_registered(self, url: str) -> bool | None:
        """None: it is told with each message where to call, or calls nobody."""
        return None

    async def register_callbacks(self, url: str) -> bool:
        """Nowhere to register. Raises ProviderRefused."""
        raise ProviderRefused(f"{self.company} keeps no address to call back: none is to be registered.")

    async def find_on_stop_list(self, phone: str) -> StopListEntry | None:
        """Nothing to ask. Raises ProviderRefused."""
        raise ProviderRefused(f"{self.company} has no blacklist that can be asked.")

    async def balance(self) -> Money:
        """Not told. Raises ProviderRefused."""
        raise ProviderRefused(f"{self.company} {self.on_balance}.")

    async def quote(self, countries: Collection[str]) -> Quote | None:
        """There is no price list to be asked."""
        return None

    async def statistics(self, month: str) -> list[DayStatistics]:
        """Not told. Raises NotOffered."""
        raise NotOffered(f"{self.company} {self.on_statistics}.")


class OneMessageAdapter(BaseAdapter, ABC):
    """An adapter for a provider that takes one message a request."""

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """One message each."""
        return [[message] for message in messages]

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand its one message over."""
        if len(request) != 1:
            return [NotSent("a request holds one message")] * len(request)
        return [await self._hand_over(request[0], sender_id, leave_by)]

    @abstractmethod
    async def _hand_over(self, message: OutboundMessage, sender_id: str, leave_by: float) -> Outcome:
        """Hand one message over. As `Provider.hand_over`."""


# --- handing over -----------------------------------------------------------------------------------


def text_too_long(limits: Limits, text: str) -> CampaignTrouble | None:
    """What a text comes to that has more characters than the provider takes; None where it has not."""
    if not is_too_long(limits, text):
        return None
    why = f"the text is longer than {limits.most_characters} characters"
    return CampaignTrouble("text_too_long", why, "text")


def answer_or_outcome(result: HandOverResult) -> Answered | NotSent | InDoubt:
    """The answer to a hand-over, or what became of its messages without one."""
    match result:
        case NeverLeft(why):
            return NotSent(why)
        case Unseen(why):
            return InDoubt(why)
        case Answered():
            return result


def outcome_of_status(
    answer: Answered,
    now: float,
    *,
    no_access: str = "the address or the access is wrong",
    no_address: str = "the address or the access is wrong",
) -> Throttled | AccountTrouble | InDoubt:
    """What an HTTP status means where a provider's documents say nothing else of it. Pure.

    Takes the time since the epoch, and the reasons for no access and for no such address.
    """
    said = f"HTTP {answer.status}"
    match answer.status:
        case 429 | 503:  # RFC 6585, 4 and RFC 9110, 15.6.4: not handled now, come back
            return Throttled(retry_after_seconds(answer, now), said)
        case 401 | 403:
            return AccountTrouble(f"http_{answer.status}", no_access)
        case 404 | 405 | 410:  # nothing behind this address takes messages from us
            return AccountTrouble(f"http_{answer.status}", no_address)
        case _:  # 3xx, 5xx, and a 4xx nobody documents: somebody may have taken it
            return InDoubt(said)


# --- asking -----------------------------------------------------------------------------------------


class NoAnswer(ProviderRefused):
    """A question was not answered. `of_one`: this one answer cannot be used; others may."""

    def __init__(self, sentence: str, retry_after: float | None = None, *, of_one: bool = False) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after
        self.of_one = of_one


def expect_answer(company: str, result: HandOverResult) -> Answered:
    """The answer to a question, whatever its status. Raises NoAnswer where there is none."""
    if isinstance(result, Answered):
        return result
    raise NoAnswer(f"{company} did not answer: {result.why}")


def expect_success(company: str, result: HandOverResult, now: float) -> Answered:
    """The answer to a question, with a status of success. Takes the time since the epoch. Raises NoAnswer."""
    answer = expect_answer(company, result)
    if 200 <= answer.status < 300:
        return answer
    raise NoAnswer(f"{company} answered HTTP {answer.status}", retry_after_seconds(answer, now))


async def ask_in_halves(
    ids: Sequence[str],
    most: int,
    ask_several: Callable[[Sequence[str]], Awaitable[Answers | None]],
    *,
    too_many: str,
) -> Answers:
    """Ask for `ids`, up to `most` at a time, of a provider that refuses a list for one id it does not know.

    Takes `ask_several`: what was said of some ids (its `unasked` is not looked at), or None where one of them
    is not known and nobody says which; it may raise NoAnswer and PaceUsedUp. Such a list is halved until it
    holds one id, up to a bound, in random order so that every id is reached in the end. `too_many` is the
    trouble where the bound came first.
    """
    waiting = [ids[at : at + most] for at in range(0, len(ids), most)][::-1]
    asked: Sequence[str] = []
    receipts: list[Receipt] = []
    halvings, trouble = 0, None

    def unasked() -> list[str]:
        return [*asked, *(each for left in waiting for each in left)]

    try:
        while waiting:
            asked = waiting.pop()
            said = await ask_several(asked)
            if said is not None:
                receipts += said.receipts
                trouble = said.trouble or trouble
            elif len(asked) > 1 and halvings < _MOST_HALVINGS:
                halvings += 1
                halves = [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
                waiting += halves if getrandbits(1) else halves[::-1]
            elif len(asked) > 1:
                trouble = too_many
    except PaceUsedUp as later:
        return Answers(receipts, None, later.wait_seconds, unasked())  # our own pace: nothing is amiss
    except NoAnswer as failure:
        return Answers(receipts, str(failure), failure.retry_after_seconds, unasked())
    return Answers(receipts, trouble)


@dataclass(slots=True)
class Series(Generic[_T]):
    """What one series of questions brought. It ends as soon as further questions would fail as well."""

    learned: dict[str, _T | None] = field(default_factory=dict)  # None: the provider has nothing by that key
    asked: set[str] = field(default_factory=set)  # whatever the answer was, if it was about them
    question_count: int = 0
    trouble: str | None = None  # the first
    retry_after_seconds: float | None = None  # the longest
    is_over: bool = False
    _unreadable_count: int = 0

    def found(self, keys: Sequence[str]) -> list[_T]:
        """What the provider has by these keys, in their order."""
        return [each for key in keys if (each := self.learned.get(key)) is not None]

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Those of these keys by which the provider said it has nothing."""
        return [key for key in keys if key in self.learned and self.learned[key] is None]

    def unasked(self, keys: Sequence[str]) -> list[str]:
        """Those of these keys that are to be asked yet."""
        return [key for key in keys if key not in self.asked]

    def fail(self, key: str, failure: NoAnswer) -> None:
        """A question was not answered."""
        if failure.of_one:
            self.asked.add(key)
            self._unreadable_count += 1
        self.trouble = self.trouble or str(failure)
        self._wait(failure.retry_after_seconds)
        self.is_over = self.is_over or not failure.of_one or self._unreadable_count >= _MOST_UNREADABLE

    def put_off(self, wait_seconds: float) -> None:
        """Our own pace is used up, which is no trouble."""
        self._wait(wait_seconds)
        self.is_over = True

    def _wait(self, seconds: float | None) -> None:
        if seconds is not None:
            self.retry_after_seconds = max(seconds, self.retry_after_seconds or 0.0)


async def ask_each(
    keys: Sequence[str],
    wait_for_pace: WaitForPace,
    ask_one: Callable[[str], Awaitable[_T | None]],
    *,
    concurrency: int,
    begin_within_seconds: float | None = None,
    may_ask: Callable[[str], bool] = lambda _key: True,
) -> Series[_T]:
    """Ask one question for each of `keys`, up to `concurrency` at once, each when the pace allows it.

    Takes `ask_one`, which may raise NoAnswer and PaceUsedUp, and `may_ask`, looked at after the wait for the
    pace: a key that may not be asked then is left out. Ends early where further questions would fail as well:
    no connection, a refusal, our own pace used up. A few answers that cannot be read do not end it, else one
    message could keep all others from being asked for. Begins no question later than `begin_within_seconds`:
    what was learned by then is worth more than what a caller whose patience ends would throw away; the others
    are asked another time. Raises what `wait_for_pace` and `ask_one` raise beside these two.
    """
    series = Series[_T]()
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    # In random order: one that always fails would else keep those behind it from ever being asked.
    waiting = iter(sample(keys, len(keys)))

    def is_late() -> bool:
        return begin_within_seconds is not None and loop.time() - begun_at >= begin_within_seconds

    async def line() -> None:
        for key in waiting:
            try:
                await wait_for_pace()
                if series.is_over:  # trouble came while we waited
                    return
                if may_ask(key):
                    series.question_count += 1
                    series.learned[key] = await ask_one(key)
                    series.asked.add(key)
            except PaceUsedUp as later:
                series.put_off(later.wait_seconds)
            except NoAnswer as failure:
                series.fail(key, failure)
            if series.is_over or is_late():
                return

    lines = [asyncio.create_task(line()) for _ in range(min(concurrency, len(keys)))]
    try:
        await asyncio.gather(*lines)
    finally:  # where the pace fails unexpectedly, no line goes on alone
        for task in lines:
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
    return series
