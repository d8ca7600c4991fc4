"""What seven.io is asked, at no cost: statuses, journal, balance, prices. Nothing here sends a message.

Sources are named as in `adapter.py`. /status is deprecated (DOCS) and takes a hundred ids at once, of which
the journal takes one; so receipts come from /status, and the journal is asked for what only it knows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlencode

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.prices import Quote
from campaigns.domain.provider import (
    Answers,
    Doubtful,
    Money,
    PaceUsedUp,
    Question,
    Sighting,
    Sightings,
    WaitForPace,
)
from campaigns.providers.base import NoAnswer, ask_in_halves, expect_success
from campaigns.providers.documents import is_message_id
from campaigns.providers.seven.access import Access
from campaigns.providers.seven.answers import (
    CODES,
    INVALID_ID,
    MAX_ANSWER_BYTES,
    digits,
    read_balance,
    read_statuses,
)
from campaigns.providers.seven.journal import (
    PAGE_ROWS,
    Page,
    Row,
    Wanted,
    day_range,
    read_page,
    shared_part,
    whole_reference,
)
from campaigns.providers.seven.pricing import read_prices
from campaigns.providers.wire import Wire

_STATUS_IDS = 100  # how many they take is not documented; the journal gives a hundred
_FEW = 2  # this many numbers in doubt are asked for one by one, without a look at the journal's top
_SWEEP_PAGES = 10
_LOOK_UP_QUESTIONS = 100  # one look-up asks no more
_FIND_PAGES = 20
_FIND_DAYS = 30  # as the journal itself looks back where nothing is said


class Questions:
    """The questions to one account. Takes `root`, everything before `/status`. Keeps nothing; any number of
    tasks may use it at once.
    """

    def __init__(
        self,
        wire: Wire,
        root: str,
        access: Access,
        timeout_seconds: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._root = root
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._wall = clock
        self._monotonic = monotonic

    async def statuses(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask GET /status, a hundred ids at a time. As `Provider.ask`.

        Code 901 does not say which of several ids it means.
        """

        async def ask_several(ids: Sequence[str]) -> Answers | None:
            said = read_statuses(await self._ask("status", {"msg_id": ",".join(ids)}, wait_for_pace), ids)
            if isinstance(said, list):
                return Answers(said)
            if said == INVALID_ID:
                return None
            raise _refused(said)

        return await ask_in_halves(
            [each for each in dict.fromkeys(provider_message_ids) if is_message_id(each)],
            _STATUS_IDS,
            ask_several,
            too_many="seven.io does not know too many of these ids to ask for each at once",
        )

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Look for messages in the journal, by number and `foreign_id`. As `Provider.look_up`.

        Many in doubt are often its newest rows: the top is read first, for as long as it shows some of
        them. The rest are asked for by number. Absent are those that are not in an answer that came whole
        on one page, each row of it readable and, where a number was asked for, about that number: pages
        read one after the other may have moved while we read. No question begins later than
        `timeout_seconds` after the first: what was learned must reach the caller within its lease, and who
        was not reached is looked up next time.
        """
        ends_at = self._monotonic() + self._timeout_seconds
        wanted = Wanted(doubtful)
        trouble: str | None = None
        retry_after: float | None = None
        try:
            asked = await self._sweep(wanted, wait_for_pace) if len(wanted.phones) > _FEW else 0
            for phone in wanted.phones[: _LOOK_UP_QUESTIONS - asked]:
                if self._monotonic() >= ends_at:
                    break
                if wanted.is_open(phone):  # else another's answer showed it
                    await self._look_up_one(wanted, phone, wait_for_pace)
        except PaceUsedUp as later:
            retry_after = later.wait_seconds
        except NoAnswer as failure:
            trouble, retry_after = str(failure), failure.retry_after_seconds
        return Sightings([*wanted.seen.values()], wanted.absent, trouble, retry_after, wanted.refs)

    async def _sweep(self, wanted: Wanted, wait_for_pace: WaitForPace) -> int:
        """Read the journal from its top for as long as that pays; how many questions it took."""
        first, last = wanted.days()
        offset = 0
        for asked in range(1, _SWEEP_PAGES + 1):
            page = await self._page({"date_from": first, "date_to": last}, offset, wait_for_pace)
            found = wanted.take(page)
            if page.is_last and page.is_clear and offset == 0:
                wanted.give_up(are_absent=True)
            if not found or page.is_last or len(wanted.phones) <= _FEW:
                return asked
            offset += page.row_count
        return _SWEEP_PAGES

    async def _look_up_one(self, wanted: Wanted, phone: str, wait_for_pace: WaitForPace) -> None:
        first, last = wanted.days(phone)
        page = await self._page({"to": phone, "date_from": first, "date_to": last}, 0, wait_for_pace)
        wanted.take(page)
        is_about_it = all(row.phone == phone for row in page.rows)
        wanted.give_up(phone, are_absent=page.is_last and page.is_clear and is_about_it)

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """Ask the journal, and /status for an id it does not show. Newest first. As `Provider.find`.

        A reference is compared here, for the journal cannot be asked by it: by a batch's part all of its
        messages are found, by a whole one a message that went alone. Raises ProviderRefused, also where
        that message may have gone with others, and PaceUsedUp.
        """
        match question.by:
            case "id":
                return await self._find_by_id(question.value, wait_for_pace)
            case "phone":
                phone = digits(question.value)
                found = await self._search(
                    question, {"to": phone}, lambda row: row.phone == phone, wait_for_pace
                )
            case "reference":
                found = await self._find_by_reference(question, wait_for_pace)
        # The order of rows is not documented. Where a moment cannot be read, the row goes last.
        found.sort(key=lambda row: (row.accepted_at is not None, row.accepted_at), reverse=True)
        return found[: question.count]

    async def _find_by_reference(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        shared = shared_part(question.value) if whole_reference(question.value) else None
        went_together = False

        def fits(row: Row) -> bool:
            nonlocal went_together
            went_together = went_together or (shared is not None and row.foreign_id == shared)
            return row.is_of(question.value)

        found = await self._search(question, {}, fits, wait_for_pace)
        if not found and went_together:
            raise ProviderRefused(
                "The messages of that batch went together under one reference: ask by number."
            )
        return found

    async def _find_by_id(self, value: str, wait_for_pace: WaitForPace) -> list[Sighting]:
        if not is_message_id(value):
            return []
        page = await self._page({"id": value}, 0, wait_for_pace)
        rows = [row.sighting for row in page.rows if row.sighting.provider_message_id == value]
        if rows:
            return rows[:1]
        answers = await self.statuses([value], wait_for_pace)
        if answers.trouble is not None:
            raise ProviderRefused(answers.trouble)
        if answers.retry_after_seconds is not None:
            raise PaceUsedUp(answers.retry_after_seconds)
        return [
            Sighting(value, r.evidence, r.provider_state, changed_at=r.changed_at) for r in answers.receipts
        ]

    async def _search(
        self,
        question: Question,
        filters: Mapping[str, str],
        fits: Callable[[Row], bool],
        wait_for_pace: WaitForPace,
    ) -> list[Sighting]:
        """Page through the journal (its last 30 days, or those before `sent_before`) until it ends, or there
        are as many as wanted. Raises ProviderRefused when neither comes in time.
        """
        before = question.sent_before
        if before is not None:
            first, last = day_range(before - timedelta(days=_FIND_DAYS), before)
            filters = {**filters, "date_from": first, "date_to": last}
        found: dict[str, Sighting] = {}
        offset = 0
        for _ in range(_FIND_PAGES):
            page = await self._page(filters, offset, wait_for_pace)
            for row in filter(fits, page.rows):
                moment = row.sighting.accepted_at
                if before is None or moment is None or moment < before:
                    found.setdefault(row.sighting.provider_message_id, row.sighting)
            if page.is_last or (question.count is not None and len(found) >= question.count):
                return [*found.values()]
            offset += page.row_count
        raise ProviderRefused("seven.io's journal is too long to be searched so: ask by number or by id.")

    async def balance(self) -> Money:
        """Ask GET /balance. Raises ProviderRefused."""
        said = read_balance(await self._ask("balance", {}))
        if not isinstance(said, Money):
            raise _refused(said)
        return said

    async def quote(self, countries: Collection[str]) -> Quote:
        """Ask GET /pricing, one question for all. Raises ProviderRefused."""
        said = read_prices(await self._ask("pricing", {}), countries)
        if not isinstance(said, Quote):
            raise _refused(said)
        return said

    async def _page(self, filters: Mapping[str, str], offset: int, wait_for_pace: WaitForPace) -> Page:
        """One page of the journal. Raises ProviderRefused, PaceUsedUp."""
        asked = {**filters, "limit": str(PAGE_ROWS), "offset": str(offset)}
        said = read_page(await self._ask("journal/outbound", asked, wait_for_pace))
        if not isinstance(said, Page):
            raise _refused(said)
        return said

    async def _ask(
        self, path: str, fields: Mapping[str, str], wait_for_pace: WaitForPace | None = None
    ) -> bytes:
        """Ask one thing; the body of a good answer. Raises ProviderRefused, PaceUsedUp."""
        if wait_for_pace is not None:
            await wait_for_pace()
        query = f"?{urlencode(fields, safe=',')}" if fields else ""
        url = f"{self._root}/{path}{query}"
        result = await self._wire.ask(
            url,
            timeout_seconds=self._timeout_seconds,
            headers=self._access.headers("GET", url),
            max_bytes=MAX_ANSWER_BYTES,
        )
        return expect_success("seven.io", result, self._wall()).body


def _refused(code: str | None) -> NoAnswer:
    """The failure a code is; None: an answer that cannot be read."""
    if code is None:
        return NoAnswer("seven.io's answer cannot be read")
    reason = CODES[code][1] if code in CODES else "a code their documents do not hold"
    return NoAnswer(f"seven.io refused the question: {reason} (code {code})")
