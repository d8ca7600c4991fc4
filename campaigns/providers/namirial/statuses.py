"""Namirial's second host, the one that can be asked: by id, by number, by our reference. All questions free.

Sources are named as in `adapter.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import sample
from typing import Generic, TypeVar
from urllib.parse import quote

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import NotOurTurn, Question, Sighting, Turn
from campaigns.providers.documents import field_of
from campaigns.providers.namirial.answers import (
    MESSAGE_ID,
    load,
    newest_first,
    read_list,
    read_sighting,
)
from campaigns.providers.wire import Answered, NeverLeft, Unseen, Wire, retry_after_seconds

_MOST_LISTED = 100  # of one list; a larger count is capped without a word (STATUS)
_UNREADABLE_IN_ONE_ROUND = 3  # so many answers of one round may be unreadable before asking on is of no use

_T = TypeVar("_T")


class NoAnswer(ProviderRefused):
    """A question was not answered. `of_one`: it was, and this one answer is of no use."""

    def __init__(self, sentence: str, retry_after: float | None = None, *, of_one: bool = False) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after
        self.of_one = of_one


@dataclass(slots=True)
class Round(Generic[_T]):
    """What one round of questions brought. It is over as soon as asking on is of no use."""

    learned: dict[str, _T] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # whatever the answer was, if it was about them
    trouble: str | None = None
    retry_after_seconds: float | None = None
    unreadable_count: int = 0
    is_over: bool = False

    def put_off(self, wait_seconds: float) -> None:
        """Our own pace is used up: nothing is amiss."""
        self.is_over = True
        if self.trouble is None:
            self.retry_after_seconds = wait_seconds

    def fail(self, key: str, failure: NoAnswer) -> None:
        """A question was asked in vain."""
        self.unreadable_count += failure.of_one
        if failure.of_one:
            self.asked.add(key)
        if not failure.of_one or self.unreadable_count >= _UNREADABLE_IN_ONE_ROUND:
            self.is_over = True
        if self.trouble is None or failure.retry_after_seconds is not None:
            self.trouble, self.retry_after_seconds = str(failure), failure.retry_after_seconds


def expect_answer(result: Answered | NeverLeft | Unseen) -> Answered:
    """The answer, whatever its status. Raises NoAnswer where there is none."""
    if isinstance(result, Answered):
        return result
    raise NoAnswer(f"Namirial did not answer: {result.why}")


def expect_success(answer: Answered, now: float) -> Answered:
    """The answer, when its status is one of success. Takes the time since the epoch. Raises NoAnswer."""
    if 200 <= answer.status < 300:
        return answer
    raise NoAnswer(f"Namirial answered HTTP {answer.status}", retry_after_seconds(answer, now))


class StatusHost:
    """The status host as one account sees it. Takes `url`, everything before `/api/messagestatus/`."""

    def __init__(
        self,
        wire: Wire,
        url: str,
        api_key: str,
        *,
        timeout_seconds: float,
        concurrency: int,
        clock: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._root = url.rstrip("/") + "/api/messagestatus/"
        self._headers = {"Accept": "application/json", "X-Api-Key": api_key}
        self._timeout_seconds = timeout_seconds
        self._concurrency = concurrency
        self._wall = clock

    async def ask_each(
        self, keys: Sequence[str], turn: Turn, ask_one: Callable[[str], Awaitable[_T]]
    ) -> Round[_T]:
        """Ask one question for each of `keys`, up to `concurrency` at once, each after its turn.

        Ends early where asking on is of no use: no connection, a refusal, our own pace used up. An answer
        that cannot be read does not end it, else one message could keep all others from being asked for.
        Begins no question after `timeout_seconds`: what was learned by then is worth more than what a caller
        whose patience ends would throw away; the others have their turn another time.
        Raises what `turn` raises, other than NotOurTurn.
        """
        asked = Round[_T]()
        loop = asyncio.get_running_loop()
        begin_by = loop.time() + self._timeout_seconds
        # In random order: one that always fails would else keep those behind it from ever being asked.
        waiting = iter(sample(keys, len(keys)))

        async def line() -> None:
            for key in waiting:
                try:
                    await turn()
                    if asked.is_over:  # trouble came while we waited
                        return
                    asked.learned[key] = await ask_one(key)
                    asked.asked.add(key)
                except NotOurTurn as later:
                    asked.put_off(later.wait_seconds)
                except NoAnswer as failure:
                    asked.fail(key, failure)
                if asked.is_over or loop.time() >= begin_by:
                    return

        lines = [asyncio.create_task(line()) for _ in range(min(self._concurrency, len(keys)))]
        try:
            await asyncio.gather(*lines)
        finally:  # where a turn fails in a way of its own, no line goes on without us
            for task in lines:
                task.cancel()
            await asyncio.gather(*lines, return_exceptions=True)
        return asked

    async def by_id(self, provider_message_id: str) -> Sighting | None:
        """One message; None where Namirial knows no such id (HTTP 404). Raises NoAnswer."""
        if not MESSAGE_ID.fullmatch(provider_message_id):
            return None  # no id of theirs looks so
        answer = await self._answer(quote(provider_message_id, safe=""))
        if answer.status == 404:
            return None
        found = read_sighting(field_of(load(expect_success(answer, self._wall()).body), "message"))
        if found is None or found.provider_message_id.lower() != provider_message_id.lower():
            raise NoAnswer("Namirial's answer cannot be read", of_one=True)
        return found

    async def by_reference(self, message_ref: str) -> Sighting | None:
        """The message with exactly that reference; None where Namirial has none: an empty list, nothing
        else. Raises NoAnswer.

        Where there are several (which we never cause): the one that came furthest, then the newest.
        """
        found = await self._list("reference/" + _segment(message_ref), _MOST_LISTED, None, None)
        if not found:
            return None
        ours = [each for each in newest_first(found) if each.message_ref == message_ref]
        if not ours:
            raise NoAnswer("Namirial's answer speaks of other messages", of_one=True)
        return max(ours, key=lambda each: -1 if each.evidence is None else each.evidence.rank)

    async def search(self, question: Question, turn: Turn) -> list[Sighting]:
        """The messages to a number or with a reference, newest first. Raises NoAnswer, NotOurTurn.

        In pages of 100, each after its turn, as many as `count` needs; without a count it is what Namirial
        gives by itself (50).
        """
        by_phone = question.by == "phone"
        path = ("phonenumber/" if by_phone else "reference/") + _segment(question.value)
        phone = question.value if by_phone else None
        size = None if question.count is None else min(question.count, _MOST_LISTED)
        before = question.sent_before
        found: dict[str, Sighting] = {}
        while True:
            await turn()
            page = await self._list(path, size, before, phone)
            known = len(found)
            found |= {each.provider_message_id: each for each in page}
            dates = [each.accepted_at for each in page if each.accepted_at is not None]
            is_all = size is None or len(page) < size or len(found) == known or not dates
            if is_all or question.count is None or len(found) >= question.count:
                return newest_first(list(found.values()))[: question.count]
            # Whether the moment itself is "before" is not documented, and several messages may share a
            # second: the next page begins a second late, and what comes again is known by its id.
            before = min(dates) + timedelta(seconds=1)

    async def _list(
        self, path: str, count: int | None, before: datetime | None, phone: str | None
    ) -> list[Sighting]:
        """One page of messages, in their order. Raises NoAnswer."""
        query = [] if count is None else [f"count={count}"]
        if before is not None:
            said = before.astimezone(UTC).isoformat().replace("+00:00", "Z")
            query.append(f"sendDate={quote(said, safe='')}")
        path += "?" * bool(query) + "&".join(query)
        # A header of the two lists, by STATUS, though a question has no body.
        answer = await self._answer(path, {"Content-Type": "application/json"})
        found = read_list(expect_success(answer, self._wall()).body, phone)
        if found is None:
            raise NoAnswer("Namirial's answer cannot be read", of_one=True)
        return found

    async def _answer(self, path: str, more: Mapping[str, str] | None = None) -> Answered:
        result = await self._wire.ask(
            self._root + path,
            timeout_seconds=self._timeout_seconds,
            headers={**self._headers, **(more or {})},
        )
        answer = expect_answer(result)
        if answer.status in (401, 403):
            raise NoAnswer(f"Namirial refused the API key (HTTP {answer.status})")
        return answer


def _segment(value: str) -> str:
    """`value` as one segment of a path: + and / are written as %2B and %2F. Raises NoAnswer."""
    if value in {"", ".", ".."}:  # a path made of these leads elsewhere
        raise NoAnswer("Namirial can only be asked by a name", of_one=True)
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise NoAnswer("what is asked for cannot be written as UTF-8", of_one=True) from None
