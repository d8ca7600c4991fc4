"""What providers say beside their word is kept without numbers, texts and nonsense."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain import said

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "sentence", "kept"),
    [
        ("1", "Number Blocked by Carrier", "code 1: Number Blocked by Carrier"),
        (None, "Rejected by the operator", "Rejected by the operator"),
        ("30007", None, "code 30007"),
        ("", "  ", None),
        (None, None, None),
        (None, "no route to +370 612-34 567 (LT)", "no route to +# (LT)"),
        (None, "no route to ٣٧٠٦١٢٣٤٥٦٧", "no route to #"),
        (None, 'text "Dear Ona, you owe" refused', "text … refused"),
        (None, "text 'Dear Ona' isn't allowed, it can't be", "text … isn't allowed, it can't be"),
        (None, "text „Sveiki“ and “Hallo” and «Labas»", "text … and … and …"),
        (None, 'text "never closed, Ona', "text …"),
        (None, "see https://x.example/u?n=Ona or ona@x.example", "see … or …"),
        (None, "two\r\nlines\x1b[2J\u202e \x00end", "two lines [#J end"),
        ("37061234567", "blocked", "blocked"),  # a number, not a code
        ("a b", "blocked", "blocked"),
        ("=1+1", "blocked", "blocked"),
    ],
)
def test_a_reason_is_a_code_and_a_masked_sentence(
    code: str | None, sentence: str | None, kept: str | None
) -> None:
    assert said.reason_of(code, sentence) == kept


@given(st.text(max_size=3000))
def test_a_reason_is_one_short_printable_line_without_digits(sentence: str) -> None:
    kept = said.reason_of(None, sentence)
    if kept is not None:
        assert 0 < len(kept) <= said.LONGEST_REASON
        assert kept.isprintable()
        assert not any(c.isdecimal() for c in kept)
        assert said.masked(kept) == kept


@pytest.mark.parametrize(
    ("moment", "is_believed"),
    [
        (NOW, True),
        (NOW - timedelta(days=3), True),
        (NOW.astimezone(timezone(timedelta(hours=3))), True),
        (NOW + timedelta(hours=14), True),  # a time of theirs without its zone
        (NOW + timedelta(days=2), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (datetime.min.replace(tzinfo=UTC), False),
        (datetime.max.replace(tzinfo=UTC), False),
        (NOW.replace(tzinfo=None), False),
        (None, False),
    ],
)
def test_a_moment_is_believed_where_it_can_be(moment: datetime | None, is_believed: bool) -> None:
    assert said.believed_moment(moment, NOW) == (moment if is_believed else None)


@pytest.mark.parametrize("cost", ["0", "0.0144", "12", "0.000000000000000001"])
def test_a_cost_is_kept_as_it_is_written(cost: str) -> None:
    assert str(said.believed_cost(Decimal(cost))) == str(Decimal(cost))


@pytest.mark.parametrize("cost", ["-0.01", "NaN", "Infinity", "1e999999", "1e9", "1e-19", "1e-400"])
def test_a_cost_that_nobody_could_be_charged_is_none(cost: str) -> None:
    assert said.believed_cost(Decimal(cost)) is None


@pytest.mark.parametrize(("given", "kept"), [("EUR", "EUR"), (" eur", "EUR"), ("€", None), ("EURO", None)])
def test_a_currency_is_three_letters(given: str, kept: str | None) -> None:
    assert said.believed_currency(given) == kept


@pytest.mark.parametrize(("given", "kept"), [("SMS", "SMS"), ("rcs", "RCS"), ("[/b]", None), ("", None)])
def test_a_channel_is_a_word(given: str, kept: str | None) -> None:
    assert said.believed_channel(given) == kept
