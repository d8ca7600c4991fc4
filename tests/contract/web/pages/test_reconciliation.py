"""The page with a provider's own month beside ours: the sums first, each cause a sentence, one sentence where
the provider tells nothing.
"""

import asyncio
import re
from datetime import date
from decimal import Decimal

import pytest

from campaigns.domain.errors import NotOffered, ProviderRefused
from campaigns.domain.provider import DayStatistics
from campaigns.domain.reconciliation import Why
from campaigns.domain.states import MessageState
from campaigns.store.session import Database
from tests.contract.web.pages.conftest import Browser
from tests.integration.rows import put_day
from worker.web.pages import reconciliation

PATH = "/accounts/main/reconciliation"
CAUSES = {
    Why.UNSURE: "150 segments that are in doubt or unknown here were probably sent.",
    Why.OPEN: "60 segments have no final status yet",
    Why.UNPRICED: "The provider named no cost for 5 messages.",
    Why.CURRENCY: "Costs were named in several currencies",
    Why.MIDNIGHT: "The day before or after differs by as much the other way",
    Why.OTHER: "Nothing known here explains all of it.",
}


def on(day: int) -> date:
    return date(2026, 10, day)


def said(day: int, count: int, cost: str | None = None) -> DayStatistics:
    return DayStatistics(on(day).isoformat(), "deliver", Decimal(cost or count * Decimal("0.04")), count)


def text_of(page: str) -> str:
    """What a person reads in the content of a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2]).split())


@pytest.fixture
async def all_accounts(browser: Browser, database: Database) -> Browser:
    """Somebody who may see whole accounts."""
    return await browser.other(is_for_all_owners=True)


async def test_the_sums_are_said_first(all_accounts: Browser, database: Database) -> None:
    """4,750 at the provider, 4,600 here, and the 150 in doubt explain it; a month before and after."""
    await put_day(database, "main", on(2), 3_780)
    await put_day(database, "main", on(9), 820, unsure=150)
    all_accounts.web.stub.months["2026-10"] = [said(2, 3_780), said(9, 970)]

    page = (await all_accounts.get(f"{PATH}?month=2026-10")).text

    text = text_of(page)
    sentence = "The provider counted 4,750 segments, we 4,600: 150 more than we know of."
    assert sentence in text
    assert text.index(sentence) < text.index(CAUSES[Why.UNSURE]) < text.index("Day by day")
    assert "190.00 EUR" in text
    assert "+6.00 EUR" in text
    assert page.count('class="differs"') == 1
    assert {"?month=2026-09", "?month=2026-11"} <= set(re.findall(r'href="([^"]+)"', page))
    account = await all_accounts.get("/accounts/main?month=2026-10")
    assert f'href="{PATH}?month=2026-10"' in account.text


async def test_each_cause_has_its_sentence_in_each_language(
    all_accounts: Browser, database: Database
) -> None:
    await put_day(database, "main", on(2), 820, unsure=150)
    await put_day(database, "main", on(5), 340)
    await put_day(database, "main", on(5), 60, state=MessageState.SENT)
    await put_day(database, "main", on(8), 500)
    await put_day(database, "main", on(9), 300)
    await put_day(database, "main", on(12), 250, unpriced=5, cost=Decimal("9.80"))
    await put_day(database, "main", on(15), 100)
    await put_day(database, "main", on(15), 50, currency="USD")
    theirs = [said(2, 970), said(5, 340), said(8, 480), said(9, 320), said(12, 250), said(15, 150)]
    all_accounts.web.stub.months["2026-10"] = [*theirs, said(20, 130)]

    text = text_of((await all_accounts.get(f"{PATH}?month=2026-10")).text)

    assert set(CAUSES) == set(Why)
    for sentence in CAUSES.values():
        assert text.count(sentence) >= 2, "in the summary and beside its day"
    translated = await all_accounts.get(f"{PATH}?month=2026-10", **{"Accept-Language": "lt"})
    assert translated.status == 200
    assert not [each for each in CAUSES.values() if each in text_of(translated.text)]


async def test_where_nothing_is_compared_one_sentence_says_why(
    all_accounts: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No month of its own; away; too slow: the page is there, and is not kept waiting."""
    await put_day(database, "main", on(2), 3_780)

    async def none(_month: str) -> list[DayStatistics]:
        raise NotOffered("The stub does not tell statistics.")

    async def away(_month: str) -> list[DayStatistics]:
        raise ProviderRefused("login 12345 is wrong")

    async def slow(_month: str) -> list[DayStatistics]:
        await asyncio.Event().wait()
        return []

    cases = (
        (away, "09", "cannot be reached", 60.0),
        (slow, "08", "did not answer in time", 0.05),
        (none, "10", "tells no month of its own", 60.0),
    )
    for statistics, month, sentence, seconds in cases:
        monkeypatch.setattr(reconciliation, "_PROVIDER_SECONDS", seconds)
        monkeypatch.setattr(all_accounts.web.stub, "statistics", statistics)
        answer = await all_accounts.get(f"{PATH}?month=2026-{month}")
        assert answer.status == 200
        assert sentence in text_of(answer.text)
        assert answer.text.count('class="alert"') == 1
        assert "12345" not in answer.text
    assert "3,780" in answer.text, "what we counted ourselves is shown"
    assert "Difference" not in answer.text
    assert (await all_accounts.get(f"{PATH}?month=2026-13")).status == 422


async def test_whole_accounts_are_for_keys_of_all_owners(browser: Browser) -> None:
    assert (await browser.get(PATH)).status == 403
    assert "/reconciliation" not in (await browser.get("/accounts/main")).text
    limited = await browser.other(is_for_all_owners=True, accounts=["silent"])
    assert (await limited.get(PATH)).status == 404
