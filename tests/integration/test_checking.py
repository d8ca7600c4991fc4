"""A check says what a submission would become, and stores nothing."""

from collections import Counter
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from campaigns import checking, reading, submission, suppression
from campaigns.checking import Checked, Through
from campaigns.cleaning import Portion
from campaigns.domain.errors import ProviderRefused, SubmissionError, SubmissionKeyConflict
from campaigns.domain.limits import AccountTerms
from campaigns.domain.prices import Quote, QuotedPrice
from campaigns.domain.provider import Money
from campaigns.domain.segments import GSM_ALPHABET, GSM_EXTENSION, count_segments
from campaigns.estimating import Estimate
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.integration.submitted import assert_nothing_is_stored, messages
from tests.river import flow, numbered, phones, submit
from tests.stub import Stub

ONE, TWO, THREE = "+37060000001", "+37060000002", "+37060000003"
SLOW = Through(requests_per_second=2)


def wanted(text: str = "Hello", **more: Any) -> submission.Submission:
    account = AccountTerms("main", currency=more.pop("currency", None))
    return submission.Submission(account, text, "Demo", "test", **more)


async def check(database: Database, rows: list[dict[str, str]], text: str = "Hello", **more: Any) -> Checked:
    through = more.pop("through", SLOW)
    return await checking.check(database, wanted(text, **more), numbered(rows), through)


async def test_it_says_what_would_become_of_each_row_and_stores_nothing(database: Database) -> None:
    await suppression.suppress(database, [THREE], None, "asked us")
    rows = [
        {"phone": ONE, "name": "Ona", "town": "Vilnius"},
        {"phone": "call me", "name": "Ona", "town": ""},
        {"phone": TWO, "name": "", "town": ""},
        {"phone": ONE, "name": "Rasa", "town": ""},
        {"phone": TWO, "name": "“Rasa”" + "x" * 60, "town": ""},
        {"phone": THREE, "name": "Jonas", "town": ""},
    ]

    found = await check(database, rows, "Hello {name}", region="LT")

    assert (found.row_count, found.recipient_count, found.suppressed_count) == (6, 3, 1)
    assert (found.message_count, found.batch_count) == (2, 1)
    assert [(each.reason, each.count, each.rows) for each in found.refused] == [
        ("duplicate", 1, [5]),
        ("empty_cell", 1, [4]),
        ("letters", 1, [3]),
    ]
    assert (found.columns, found.unused_columns) == (["name", "town"], ["town"])
    assert (found.segment_count, dict(found.segments)) == (3, {1: 1, 2: 1})
    assert dict(found.encodings) == {"gsm7": 1, "ucs2": 1}
    quote = [(each.character, each.replacement, each.message_count, each.row) for each in found.costly]
    assert quote == [("“", '"', 1, 6), ("”", '"', 1, 6)]
    assert {each.is_in_text for each in found.costly} == {False}
    assert found.saved_segment_count == 1
    assert found.longest is not None
    assert (found.longest.row, found.longest.segment_count, found.longest.encoding) == (6, 2, "ucs2")
    assert [(each.row, each.text[:9]) for each in found.sample] == [(2, "Hello Ona"), (6, "Hello “Ra")]
    assert (found.request_count, found.duration_seconds) == (2, 1)
    await suppression.unsuppress(database, [THREE], None)
    await assert_nothing_is_stored(database)


async def test_a_plain_text_is_counted_once_for_all(database: Database) -> None:
    text = "Sale – today" + "!" * 60

    found = await check(database, phones(150), text)

    assert (found.segment_count, dict(found.segments), dict(found.encodings)) == (
        300,
        {2: 150},
        {"gsm7": 0, "ucs2": 150},
    )
    (dash,) = found.costly
    assert (dash.character, dash.name, dash.replacement) == ("–", "EN DASH", "-")
    assert (dash.message_count, dash.is_in_text, found.saved_segment_count) == (150, True, 150)
    assert (found.batch_count, found.known) == (2, None)


async def test_nobody_to_send_to_is_a_value_that_says_what_the_submission_would(database: Database) -> None:
    rows = [{"phone": "call me"}, {"phone": ""}]

    found = await check(database, rows)

    with pytest.raises(SubmissionError) as refused:
        await submit(database, rows)
    assert found.trouble == str(refused.value)
    assert (found.message_count, found.sample, found.longest, found.estimate.amount) == (0, [], None, None)


async def test_what_makes_all_of_it_doubtful_is_refused_as_the_submission_is(database: Database) -> None:
    with pytest.raises(SubmissionError, match=r"asks for the column \{name\}") as of_check:
        await check(database, phones(1), "Hello {name}")
    with pytest.raises(SubmissionError) as of_submit:
        await submit(database, phones(1), text="Hello {name}")
    assert str(of_check.value) == str(of_submit.value)


async def test_it_says_which_campaign_it_already_is(database: Database) -> None:
    rows = phones(3)
    taken = await submit(database, rows, submission_key="key")

    again = await check(database, rows, submission_key="key")
    of_content = await check(database, rows, once_within_seconds=60)

    assert again.known is not None
    assert of_content.known is not None
    assert {again.known.id, of_content.known.id} == {taken.id}
    with pytest.raises(SubmissionKeyConflict):
        await check(database, phones(4), submission_key="key")


async def test_the_cells_of_refused_rows_are_heard_as_they_came(database: Database) -> None:
    heard: list[tuple[int, str, dict[str, str]]] = []

    def hear(portion: Portion) -> None:
        for (row, reason, _), fields in zip(portion.refusals, portion.refused_fields, strict=True):
            heard.append((row, reason, dict(fields)))

    rows = [{"phone": ONE, "name": "Ona"}, {"phone": " none ", "name": "Rasa"}, {"phone": ONE, "name": ""}]
    await checking.check(database, wanted(), numbered(rows), SLOW, hear=hear, keeps_refused=True)

    assert heard == [(3, "letters", rows[1])]


# --- money -------------------------------------------------------------------------------------------


async def _charged(database: Database, desk: Any, rows: list[dict[str, str]], cost: str) -> None:
    """A campaign that was sent, each of its messages for `cost`."""
    taken = await submit(database, rows, currency="EUR")
    await flow(database, desk, taken.id)
    await query(
        database,
        "UPDATE message SET cost = $1 WHERE batch_id IN (SELECT id FROM batch WHERE campaign_id = $2)"
        " RETURNING cost",
        Decimal(cost),
        taken.id,
    )
    await query(
        database,
        "UPDATE batch SET cost = $1 * message_count, priced_count = message_count, unpriced_count = 0"
        " WHERE campaign_id = $2 RETURNING id",
        Decimal(cost),
        taken.id,
    )


class Rich(Stub):
    """A stub that tells a balance and prices, or refuses to."""

    money: Money | None = Money(Decimal("0.29"), "EUR")
    prices: Sequence[QuotedPrice] | None = ()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked_for: list[set[str]] = []

    async def balance(self) -> Money:
        if self.money is None:
            raise ProviderRefused("it does not tell a balance.")
        return self.money

    async def quote(self, countries: Collection[str]) -> Quote | None:
        self.asked_for.append(set(countries))
        if self.prices is None:
            raise ProviderRefused("its price list cannot be read")
        return Quote("its price list", self.prices)


async def test_the_cost_is_what_segments_to_each_country_were_charged(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Rich("main")
    desk = make_desk(stub)
    await _charged(database, desk, phones(2), "0.04")
    await _charged(database, desk, [{"phone": "+4915123456789"}], "0.10")
    rows = [*phones(5, first=10), {"phone": "+4915123456780"}, {"phone": "+14155552671"}]

    found = await check(database, rows, currency="EUR", through=Through(1, stub))

    estimate = found.estimate
    assert (estimate.amount, estimate.currency) == (Decimal("0.30"), "EUR")
    assert (estimate.priced_message_count, estimate.unpriced_segment_count) == (3, 1)
    assert [(each.country, each.segment_count, each.price) for each in estimate.countries] == [
        ("+370", 5, Decimal("0.04")),
        ("+1", 1, None),
        ("+49", 1, Decimal("0.10")),
    ]
    assert estimate.balance == stub.money
    assert estimate.is_enough is False
    stub.money = Money(Decimal(1), "EUR")
    enough = await check(database, rows[:6], currency="EUR", through=Through(1, stub))
    assert enough.estimate.is_enough is True
    stub.money = None
    silent = await check(database, rows, currency="EUR", through=Through(1, stub))
    assert (silent.estimate.balance, silent.estimate.balance_trouble) == (None, "it does not tell a balance.")


async def test_where_nothing_was_charged_the_price_list_says_from_and_to(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Rich("main")
    stub.prices = [QuotedPrice("+49", Decimal("0.07"), Decimal("0.09"))]
    await _charged(database, make_desk(stub), phones(2), "0.04")
    rows = [*phones(5, first=10), *({"phone": f"+49151234567{at}"} for at in range(80, 90))]

    async def estimate(money: str, *more: dict[str, str]) -> Estimate:
        stub.money = Money(Decimal(money), "EUR")
        found = await check(database, [*rows, *more], currency="EUR", through=Through(1, stub))
        return found.estimate

    found = await estimate("1.10")
    assert [(c.country, c.lowest_price, c.price, c.price_source, c.amount) for c in found.countries] == [
        ("+49", Decimal("0.07"), Decimal("0.09"), "its price list", Decimal("0.90")),
        ("+370", Decimal("0.04"), Decimal("0.04"), "average of the last 30 days", Decimal("0.20")),
    ]
    assert (found.amount, found.priced_message_count, found.unpriced_segment_count) == (Decimal("1.10"), 2, 0)
    assert found.is_enough is True
    assert (await estimate("1.09")).is_enough is None  # it depends on the networks
    assert (await estimate("0.89")).is_enough is False
    assert (await estimate("2", {"phone": "+14155552671"})).is_enough is None  # the list does not name it
    assert stub.asked_for == [{"+49"}, {"+49"}, {"+49"}, {"+49", "+1"}]
    stub.prices = None
    silent = await estimate("1.10")
    assert (silent.amount, silent.quote_trouble) == (Decimal("0.20"), "its price list cannot be read")
    assert [each.price_source for each in silent.countries] == [None, "average of the last 30 days"]


async def test_what_was_charged_long_ago_or_to_others_is_no_price(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk(accounts={"main": Stub("main"), "other": Stub("other")})
    await _charged(database, desk, phones(2), "0.04")
    await query(database, "UPDATE batch SET send_at = now() - interval '31 days' RETURNING id")

    found = await check(database, phones(1), currency="EUR")

    assert (found.estimate.amount, found.estimate.unpriced_segment_count) == (None, 1)


# --- the law: a check is what the submission becomes --------------------------------------------------

_NUMBERS = st.sampled_from(
    [ONE, TWO, THREE, "0 600 00001", "8 600 00004", "call me", "", "+999", "+4915123456789"]
)
_NAMES = st.one_of(
    st.sampled_from(["Ona", "", "Žana", "“Q”", "x" * 150, "ы" * 80, "x" * 1600, "[~]|€"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=90),
)
_EVERY_GSM = (GSM_ALPHABET + GSM_EXTENSION).replace("\x1b", "")  # without the escape, which is no character
_FILES = st.lists(st.fixed_dictionaries({"phone": _NUMBERS, "name": _NAMES}), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[{"phone": ONE, "name": _EVERY_GSM}], text="{name|friend}!")
@given(rows=_FILES, text=st.sampled_from(["Hello", "Sveiki – {name}", "{name|friend}!"]))
async def test_its_counts_are_those_of_what_is_stored(
    database: Database, rows: list[dict[str, str]], text: str
) -> None:
    await suppression.suppress(database, [TWO], None, "asked us")

    found = await check(database, rows, text, region="LT")
    if found.trouble is not None:
        with pytest.raises(SubmissionError) as refused:
            await submit(database, rows, text=text, region="LT")
        assert found.trouble == str(refused.value)
        return
    taken = await submit(database, rows, text=text, region="LT")

    assert found.recipient_count == taken.recipient_count
    assert {each.reason: each.count for each in found.refused} == dict(taken.refused)
    assert dict(found.noted) == dict(taken.noted)
    named = [(row, each.reason) for each in found.refused for row in each.rows]
    assert sorted(named) == await reading.refusals(database, taken.id)
    stored = [
        (text, count, row)
        for text, count, row, state in await messages(
            database,
            "coalesce(m.text, (SELECT c.text FROM campaign c WHERE c.id = b.campaign_id)) AS text,"
            " m.segment_count, m.row, m.state::text AS state",
        )
        if state == "queued"
    ]
    _compare(found, stored)
    overview = await reading.status(database, taken.id)
    assert (overview.totals["queued"], overview.totals["suppressed"]) == (
        found.message_count,
        found.suppressed_count,
    )
    await query(database, "DELETE FROM campaign RETURNING id")
    await query(database, "DELETE FROM message RETURNING batch_id")


def _compare(found: Checked, stored: list[tuple[str, int, int]]) -> None:
    assert found.segment_count == sum(count for _, count, _ in stored)
    assert dict(found.segments) == Counter(count for _, count, _ in stored)
    encodings = Counter(count_segments(text).encoding for text, _, _ in stored)
    assert dict(found.encodings) == {"gsm7": encodings["gsm7"], "ucs2": encodings["ucs2"]}
    by_row = {row: text for text, _, row in stored}
    assert [(each.row, each.text) for each in found.sample] == sorted(by_row.items())[:3]
