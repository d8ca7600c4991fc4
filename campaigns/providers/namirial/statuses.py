"""Namirial's second host, the one that can be asked: by id, by number, by our reference. All questions free.

Sources are named as in `adapter.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

from campaigns.domain.provider import Question, Sighting, WaitForPace
from campaigns.providers.base import NoAnswer, Series, ask_each, expect_answer, expect_success
from campaigns.providers.documents import field_of
from campaigns.providers.namirial.answers import MESSAGE_ID, load, newest_first, read_list, read_sighting
from campaigns.providers.wire import Answered, Wire

_MOST_LISTED = 100  # of one list; a larger count is capped silently (STATUS)

_COMPANY = "Namirial"
_T = TypeVar("_T")


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
        self, keys: Sequence[str], wait_for_pace: WaitForPace, ask_one: Callable[[str], Awaitable[_T | None]]
    ) -> Series[_T]:
        """Ask one question for each of `keys`, and begin none after `timeout_seconds`. As `base.ask_each`."""
        return await ask_each(
            keys,
            wait_for_pace,
            ask_one,
            concurrency=self._concurrency,
            begin_within_seconds=self._timeout_seconds,
        )

    async def by_id(self, provider_message_id: str) -> Sighting | None:
        """One message; None where Namirial knows no such id (HTTP 404). Raises NoAnswer."""
        if not MESSAGE_ID.fullmatch(provider_message_id):
            return None  # no id of theirs looks so
        answer = await self._answer(quote(provider_message_id, safe=""))
        if answer.status == 404:
            return None
        found = read_sighting(field_of(load(self._success(answer).body), "message"))
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

    async def search(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """The messages to a number or with a reference, newest first. Raises NoAnswer, PaceUsedUp.

        In pages of 100, each when the pace allows it, as many as `count` needs; without a count it is
        what Namirial gives by itself (50).
        """
        by_phone = question.by == "phone"
        path = ("phonenumber/" if by_phone else "reference/") + _segment(question.value)
        phone = question.value if by_phone else None
        size = None if question.count is None else min(question.count, _MOST_LISTED)
        before = question.sent_before
        found: dict[str, Sighting] = {}
        while True:
            await wait_for_pace()
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
        found = read_list(self._success(answer).body, phone)
        if found is None:
            raise NoAnswer("Namirial's answer cannot be read", of_one=True)
        return found

    async def _answer(self, path: str, more: Mapping[str, str] | None = None) -> Answered:
        result = await self._wire.ask(
            self._root + path,
            timeout_seconds=self._timeout_seconds,
            headers={**self._headers, **(more or {})},
        )
        answer = expect_answer(_COMPANY, result)
        if answer.status in (401, 403):
            raise NoAnswer(f"Namirial refused the API key (HTTP {answer.status})")
        return answer

    def _success(self, answer: Answered) -> Answered:
        return expect_success(_COMPANY, answer, self._wall())


def _segment(value: str) -> str:
    """`value` as one segment of a path: + and / are written as %2B and %2F. Raises NoAnswer."""
    if value in {"", ".", ".."}:  # a path made of these leads elsewhere
        raise NoAnswer("Namirial can only be asked by a name", of_one=True)
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise NoAnswer("what is asked for cannot be written as UTF-8", of_one=True) from None
