"""The shortcut for common numbers gives the answer of the library, always."""

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
from campaigns.domain.phone import InvalidPhone, normalise
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
    @settings(max_examples=1000)
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
    @settings(max_examples=1000)
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
