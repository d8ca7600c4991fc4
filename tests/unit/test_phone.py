"""Phone numbers: what people type becomes E.164 or is refused with a reason they can act on."""

import pickle
import re
from itertools import product
from typing import Any

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from campaigns.domain import phone as phone_module
from campaigns.domain import phone_shortcut as module
from campaigns.domain.phone import PHONE_REASONS, InvalidPhone, is_region, mask, normalise
from campaigns.domain.phone_shortcut import kind_of_accepted, read_at_home

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
TYPES = range(11)  # PhoneNumberType.FIXED_LINE to VOICEMAIL
FORMAT = phonenumbers.PhoneNumberFormat


def _examples() -> list[tuple[str, phonenumbers.PhoneNumber]]:
    found = []
    for region in REGIONS:
        for type_ in TYPES:
            number = phonenumbers.example_number_for_type(region, type_)
            if number is not None:
                found.append((region, number))
    for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
        number = phonenumbers.example_number_for_non_geo_entity(code)
        if number is not None:
            found.append(("LT", number))
    return found


EXAMPLES = _examples()


KINDS = (
    *("fixed_line", "", "", "toll_free", "premium_rate", "shared_cost", "voip"),
    *("personal_number", "pager", "uan", "voicemail"),
)
"""By the library's number of the type: what may be a mobile is "" here."""


def by_library(digits: str, region: str | None) -> tuple[str, str] | None:
    """The answer as the library alone gives it, with our name of the kind; None when it refuses."""
    try:
        number = phonenumbers.parse(digits, None if digits.startswith("+") else region)
    except phonenumbers.NumberParseException:
        return None
    phone = phonenumbers.format_number(number, FORMAT.E164)
    if not phonenumbers.is_valid_number(number) or len(phone) > 16:
        return None
    is_satellite = number.country_code in {870, 881, 882, 883}
    return phone, "satellite" if is_satellite else KINDS[phonenumbers.number_type(number)]


def by_short_way(digits: str, region: str | None) -> tuple[str, str] | None:
    """Our answer with the library behind the short way; None when refused."""
    if digits.startswith("+"):
        kind = kind_of_accepted(digits)
        found = None if kind is None else (digits, kind)
    else:
        assert region is not None
        found = read_at_home(digits, region)
    if found is not None:
        return found
    try:
        return phone_module._parse(digits, region)
    except InvalidPhone:
        return None


def by_us(digits: str, region: str | None) -> str | None:
    try:
        return normalise(digits, region)
    except InvalidPhone:
        return None


@pytest.fixture
def invented_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three regions that share the calling code 999, known to the library and to us."""

    def desc(pattern: str, *lengths: int) -> PhoneNumberDesc:
        return PhoneNumberDesc(national_number_pattern=pattern, possible_length=lengths)

    plans = [
        PhoneMetadata(
            "XA",
            country_code=999,
            international_prefix="11",  # and numbers that start with it
            national_prefix_for_parsing="0",  # and numbers that start with it, valid with and without
            general_desc=desc("[02][012]{2,5}|1[12]{3}", 3, 4, 5, 6),
            fixed_line=desc("2[012]{2,5}", 3, 4),  # the lengths say less than the pattern
            mobile=desc("2[012]{2,5}", 5),  # the same pattern: the library never gets to it
            toll_free=desc("0[012]{3}", 4),
            voip=desc("1[012]{3}", 4),  # more than the general pattern
            pager=desc("2[012]{5}", -1),
            register=False,
        ),
        PhoneMetadata(
            "XB",
            country_code=999,
            national_prefix_for_parsing="(?:0|20)(2[012])?",
            national_prefix_transform_rule=r"12\1",
            leading_digits="12",  # claims numbers it does not have, has numbers it does not claim
            general_desc=desc("[012]{3,5}", 3, 4, 5),
            fixed_line=desc("122[012]|10[012]{2}", 4),
            register=False,
        ),
        PhoneMetadata(
            "XC",
            country_code=999,
            international_prefix="22",
            general_desc=desc("[012]{4}|9990[012]{3}", 4, 7),
            fixed_line=desc("12[012]{2}|101[012]", 4),
            register=False,
        ),
    ]
    for plan in plans:
        monkeypatch.setitem(PhoneMetadata._region_metadata, plan.id, plan)
    monkeypatch.setitem(phonenumbers.COUNTRY_CODE_TO_REGION_CODE, 999, tuple(plan.id for plan in plans))
    regions = {*phonenumbers.SUPPORTED_REGIONS, *(plan.id for plan in plans)}
    monkeypatch.setattr(phonenumbers, "SUPPORTED_REGIONS", regions)
    monkeypatch.setattr(phonenumbers.phonenumberutil, "SUPPORTED_REGIONS", regions)
    fresh: dict[str, Any] = {}
    monkeypatch.setattr(phone_module, "ACCEPTING", fresh)
    monkeypatch.setattr(module, "ACCEPTING", fresh)
    for cache in ("_BY_CODE", "_HOMES"):
        monkeypatch.setattr(module, cache, {})


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
@settings(deadline=None)
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


class TestShortWay:
    """Millions of rows take it instead of the library's. It must give the library's answer, always."""

    def test_every_example_of_every_region_in_every_form(self) -> None:
        for region, number in EXAMPLES:
            phone = phonenumbers.format_number(number, FORMAT.E164)
            if len(phone) > 16:
                continue
            assert normalise(phone, None) == phone
            assert normalise(phonenumbers.format_number(number, FORMAT.INTERNATIONAL), region) == phone
            national = re.sub(r"\D", "", phonenumbers.format_number(number, FORMAT.NATIONAL))
            for digits in (national, phone[1:]):
                if digits:
                    assert by_short_way(digits, region) == by_library(digits, region), region

    @given(code=st.sampled_from(CODES), rest=st.text("0123456789", min_size=1, max_size=15))
    @settings(max_examples=1000, deadline=None)
    @example(code=1, rest="2684601234")  # a region found by its leading digits
    @example(code=44, rest="02079460018")  # a national prefix that parsing takes away
    @example(code=54, rest="93435551212")  # a prefix pattern that matches nothing
    @example(code=7, rest="7710009998")
    @example(code=800, rest="12345678")
    def test_any_digits_after_any_code(self, code: int, rest: str) -> None:
        assert by_short_way(f"+{code}{rest}", None) == by_library(f"+{code}{rest}", None)

    @given(
        case=st.sampled_from(EXAMPLES),
        changes=st.lists(st.tuples(st.integers(0, 14), st.sampled_from("0123456789")), max_size=3),
        shape=st.sampled_from(
            ["+{c}{n}", "{c}{n}", "{n}", "0{n}", "{c}0{n}", "1{n}", "8{n}", "{n}0", "+{c}0{n}"]
        ),
        elsewhere=st.sampled_from(REGIONS) | st.none(),
    )
    @settings(max_examples=1000, deadline=None)
    def test_numbers_like_the_examples_typed_at_home_and_elsewhere(
        self,
        case: tuple[str, phonenumbers.PhoneNumber],
        changes: list[tuple[int, str]],
        shape: str,
        elsewhere: str | None,
    ) -> None:
        home, number = case
        national = list(phonenumbers.national_significant_number(number))
        for place, digit in changes:
            national[place % len(national)] = digit
        digits = shape.format(c=number.country_code, n="".join(national))
        if digits.startswith("00"):
            return
        for region in {home, elsewhere or home}:
            assert by_short_way(digits, region) == by_library(digits, region)

    @pytest.mark.parametrize(
        ("raw", "region"),
        [
            ("+37061234567", None),
            ("+370 612 34567", None),
            ("0037061234567", None),
            ("37061234567", "LT"),
            ("861234567", "LT"),
            ("061234567", "LT"),
            ("61234567", "LT"),
            ("+447400123456", None),
            ("07400123456", "GB"),
            ("+12015550123", None),
            ("(201) 555-0123", "US"),
            ("+5491123456789", None),
            ("+4915123456789", None),
        ],
    )
    def test_common_shapes_do_not_need_the_library(
        self, raw: str, region: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = phonenumbers.format_number(
            phonenumbers.parse(raw.replace("0037", "+37"), region), FORMAT.E164
        )

        def refuse(*_: object) -> None:
            raise AssertionError("the long way was taken")

        monkeypatch.setattr(phonenumbers, "parse", refuse)
        assert normalise(raw, region) == expected

    @pytest.mark.usefixtures("invented_plans")
    def test_plans_with_every_twist_at_once(self) -> None:
        """Exhaustive over short numbers: today's real plans show few of the turns the library can take."""
        valid = 0
        for length in range(1, 8):
            for digits in map("".join, product("012", repeat=length)):
                if digits.startswith("00"):
                    continue
                phone = by_library(f"+999{digits}", None)
                valid += phone is not None
                assert by_short_way(f"+999{digits}", None) == phone, digits
                for region in ("XA", "XB", "XC"):
                    assert by_short_way(digits, region) == by_library(digits, region), (digits, region)
                    national = f"999{digits}"
                    assert by_short_way(national, region) == by_library(national, region), (national, region)
        assert valid > 100

    def test_nearly_every_example_goes_the_short_way(self) -> None:
        phones = [phonenumbers.format_number(number, FORMAT.E164) for _, number in EXAMPLES]
        short = [phone for phone in phones if module.kind_of_accepted(phone) is not None]
        assert len(short) > 0.98 * len(phones)

    def test_a_prefix_that_can_match_nothing_does_not_rewrite_then(self) -> None:
        """What lets such plans take the short way; a plan that breaks it must not."""
        for code in CODES:
            region = phonenumbers.region_code_for_country_code(code)
            plan = module.plan_of(str(code), region)
            nothing = re.match(plan.national_prefix_for_parsing or "(?!)", "")
            if nothing is not None and plan.national_prefix_transform_rule:
                assert nothing.groups()[-1] is None, region


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
