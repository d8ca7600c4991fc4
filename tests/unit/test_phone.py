"""What a person writes becomes E.164, or is refused with a reason."""

import pickle
import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, is_region, mask, normalise


def by_us(digits: str, region: str | None) -> str | None:
    try:
        return normalise(digits, region)
    except InvalidPhone:
        return None


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("+37061234567", None),
        ("+37061234567", "US"),
        (" +370 612 34567 ", None),
        ("+370-612-34567", None),
        ("+370 (612) 34567", None),
        ("(+370) 612.34567", None),
        ("+370/612/34567", None),
        ("[+370] 612 34567", None),
        ("++37061234567", None),
        ("+0037061234567", None),
        ("0037061234567", None),
        ("00 370 612 34567", "US"),
        ("tel:+37061234567", None),
        ("TEL: +370 612 34567", None),
        ("'+37061234567", None),
        ("\u2019+37061234567", None),
        ('"+37061234567"', None),
        ('="+37061234567"', None),
        ("=+37061234567", None),
        ("\u202a+370\u00a0612\u200934567\u202c", None),  # as copied out of a contact list
        ("\ufeff+37061234567", None),
        ("+370\u2011612\u221234567", None),  # typographic hyphen, minus sign
        ("＋３７０６１２３４５６７", None),
        ("＋３７０（６１２）３４５６７", None),
        ("+٣٧٠٦١٢٣٤٥٦٧", None),
        ("+3706123456٧", None),
        ("37061234567", "LT"),
        ("37061234567.0", "LT"),
        ("37061234567,0", "LT"),
        ("061234567", "LT"),
        ("861234567", "LT"),
        ("8 612 34567", "LT"),
        ("(8-612) 34567", "LT"),
        ("61234567", "LT"),
    ],
)
def test_what_people_type_becomes_e164(raw: str, region: str | None) -> None:
    assert normalise(raw, region) == "+37061234567"


def test_a_national_zero_in_brackets_is_left_out() -> None:
    assert normalise("+44 (0)20 7946 0018", None) == "+442079460018"


def test_an_italian_zero_stays() -> None:
    assert normalise("+39 06 1234 5678", None) == "+390612345678"


def test_an_argentine_mobile_is_rewritten_as_its_plan_says() -> None:
    assert normalise("0343 15 555 1212", "AR") == "+5493435551212"


REFUSED = [
    ("", "LT", "empty"),
    (" \u00a0\t\n", "LT", "empty"),
    ("\u200b", "LT", "empty"),
    ("-", "LT", "empty"),
    ("+", "LT", "not_a_number"),
    ("*123#", "LT", "not_a_number"),
    ("+370_612_34567", "LT", "not_a_number"),
    ("+370\x00612", "LT", "not_a_number"),
    ("+3706123456²", None, "not_a_number"),
    ("370+61234567", "LT", "not_a_number"),
    ("n/a", "LT", "letters"),
    ("1-800-FLOWERS", "US", "letters"),
    ("+1 800 356 937x", "US", "letters"),
    ("+370 612 34567 Jonas", None, "letters"),
    ("+370 612 34567 x123", None, "extension"),
    ("+370 612 34567 ext. 12", None, "extension"),
    ("+370 612 34567 доб. 12", None, "extension"),
    ("+370 612 34567 #12", None, "extension"),
    ("tel:+37061234567;ext=12", None, "extension"),
    ("+37061234567, +37061234568", None, "several_numbers"),
    ("+37061234567\n+37061234568", None, "several_numbers"),
    ("861234567; 861234568", "LT", "several_numbers"),
    ("+37061234567 or +37061234568", None, "several_numbers"),
    ("3.70612E+10", "LT", "spreadsheet_number"),
    ("3,70612E+10", "LT", "spreadsheet_number"),
    ("'3.70612e10", "LT", "spreadsheet_number"),
    ("+3.70612E+10", None, "spreadsheet_number"),
    ("861234567", None, "no_region"),
    ("12", None, "no_region"),
    ("+999 123 4567", "LT", "unknown_country"),
    ("+061234567", "LT", "unknown_country"),
    ("+2101234567", "GR", "unknown_country"),  # valid in Greece without the +: not ours to guess
    ("+01137061234567", "US", "unknown_country"),  # what + means does not depend on the region
    ("1", "LT", "too_short"),
    ("+1", None, "too_short"),
    ("+370612", None, "too_short"),
    ("6123", "LT", "too_short"),
    ("+370612345678901", None, "too_long"),
    ("+1" + "2" * 40, None, "too_long"),
    ("+" + "3" * 251, None, "too_long"),
    ("+370" + "-" * 250 + "61234567", None, "too_long"),
    ("+37011234567", None, "invalid_number"),
    ("+37061234567.5", None, "decimal"),
    ("06641234567 / 8", "AT", "second_line"),
    ("12.05.2024", "LU", "date"),
    ("37125123456", "DE", "ambiguous"),
    ("+49 49 1511 2345678", None, "doubled_code"),
]


@pytest.mark.parametrize(("raw", "region", "reason"), REFUSED)
def test_what_cannot_be_a_number_is_refused_with_a_reason(raw: str, region: str | None, reason: str) -> None:
    with pytest.raises(InvalidPhone) as caught:
        normalise(raw, region)
    assert caught.value.reason == reason
    assert str(caught.value) == PHONE_REASONS[reason]


def test_every_reason_is_met_above() -> None:
    assert {reason for _, _, reason in REFUSED} == set(PHONE_REASONS)


@given(raw=st.text(max_size=40) | st.from_regex(r"[+0-9 ().x/-]{5,30}", fullmatch=True))
def test_whatever_the_text_there_is_a_phone_or_a_reason_that_does_not_quote_it(raw: str) -> None:
    phone = by_us(raw, "LT")
    if phone is None:
        with pytest.raises(InvalidPhone) as caught:
            normalise(raw, "LT")
        assert caught.value.reason in PHONE_REASONS
        for number in re.findall(r"\d{3,}", raw):
            assert number not in f"{caught.value} {caught.value!r}" or number in str(PHONE_REASONS)
    else:
        assert re.fullmatch(r"\+[1-9][0-9]{2,14}", phone)
        assert normalise(phone, None) == phone


def test_more_digits_than_e164_has_are_refused_though_a_plan_knows_such_numbers() -> None:
    phone = "+23470000000000000"
    assert phonenumbers.is_valid_number(phonenumbers.parse(phone))
    with pytest.raises(InvalidPhone) as caught:
        normalise(phone, None)
    assert caught.value.reason == "too_long"


def test_a_refusal_can_be_sent_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(InvalidPhone("empty")))  # noqa: S301  our own bytes of a moment ago
    assert refused.reason == "empty"
    assert str(refused) == PHONE_REASONS["empty"]


def test_a_region_that_does_not_exist_is_the_callers_mistake_not_the_rows() -> None:
    with pytest.raises(ValueError, match="not a region") as caught:
        normalise("861234567", "XX")
    assert not isinstance(caught.value, InvalidPhone)


@pytest.mark.parametrize("region", ["LT", "US", "GB", "AX"])
def test_regions(region: str) -> None:
    assert is_region(region)


@pytest.mark.parametrize("code", ["", "lt", "XX", "ZZ", "001", "370", "LTU", "Lietuva"])
def test_no_regions(code: str) -> None:
    assert not is_region(code)


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+37061234567", "+********567"),
        ("37061234567", "********567"),
        ("+370 612 34567", "+********567"),
        ("8-612-34567", "******567"),
        ("1234567", "****567"),
        ("370+61234567", "********567"),
        ("123456", "***"),
        ("", "***"),
        ("abc", "***"),
        ("٣٧٠٦١٢٣٤٥٦٧", "***"),
        ("1" * 500, "*" * 16 + "111"),
        ("\ud800\x00", "***"),
    ],
)
def test_mask(phone: str, shown: str) -> None:
    assert mask(phone) == shown


@given(st.text())
def test_a_mask_shows_at_most_three_digits_of_any_text(text: str) -> None:
    shown = mask(text)
    assert re.fullmatch(r"\*\*\*|\+?\*{4,16}[0-9]{3}", shown)
    assert len(shown) <= 20
