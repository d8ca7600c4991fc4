"""No number of a stranger: what stands in a cell is read as the digits that were written, or refused."""

import re
from random import Random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.phone import (
    READ_WITH_PLUS,
    REFUSED_KINDS,
    InvalidPhone,
    forms_of,
    normalise,
    person_key,
    recognise,
)
from campaigns.domain.phone_shortcut import kind_of_accepted

OPEN_PLANS = ("AT", "DE", "FI", "ID", "IT", "LU")
AUSTRIAN = "+436641234567"


def reason(raw: str, region: str | None) -> str:
    """Why it is refused; what became of it where it is not."""
    try:
        return "read as " + normalise(raw, region)
    except InvalidPhone as error:
        return error.reason


@pytest.mark.parametrize(
    "raw",
    [
        "436641234567.00",
        "436641234567,00",
        "436641234567.000",
        "+436641234567.0",
        "'436641234567.00",
        "436.641.234.567",  # grouped by thousands: the digits are those that were written
        "0664/1234567",
        "0664 / 1234567",
        "0664 - 1234567",
        "(0664)1234567",
        "0664.123.45.67",
        "0664-123-45-67",
        "0664 12 34 567",
        "0664 123456 7",
        "+43 (0) 664 1234567",
        "+(43) 664 1234567",
        "0043 664/1234567",
        "\u200f+\u0664\u0663\u0666\u0666\u0664\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u200e",
        "0664\uff0f1234567",
    ],
)
def test_what_has_one_meaning_is_read(raw: str) -> None:
    assert normalise(raw, "AT") == AUSTRIAN


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("030/123456.0", "decimal"),
        ("06641234567.0", "decimal"),  # no float keeps its leading zero
        ("06641234567.5", "decimal"),
        ("436641234567.125", "decimal"),
        ("436641234567,50", "decimal"),
        ("0664 1234567 / 8", "second_line"),
        ("0664 1234567 / 88", "second_line"),
        ("0664 1234567/8", "second_line"),
        ("06641234567-8", "second_line"),
        ("06641234567\u201369", "second_line"),
        ("0664 1234567 8", "second_line"),
        ("0664 1234567 (2)", "second_line"),
        ("030-123456-78", "second_line"),
        ("040 123456/123457", "several_numbers"),
        ("123456/123457", "several_numbers"),
        ("123456-123459", "several_numbers"),
        ("0664 1234567-0664 1234568", "several_numbers"),
        ("06641234567 06641234568", "several_numbers"),
        ("+436641234567 +436641234568", "several_numbers"),
        ("06641234567\n8", "several_numbers"),
        ("0664 1234567; 0664 7654321", "several_numbers"),
        ("0664 1234567 & 0664 7654321", "several_numbers"),
        ("0664 1234567 or 0664 7654321", "several_numbers"),
        ("0664 1234567 (work)", "letters"),
        ("0664 1234567 ext. 3", "extension"),
        ("4,36641E+11", "spreadsheet_number"),
        ("2024-05-12", "date"),
        ("05/12/2024", "date"),
    ],
)
def test_what_could_be_more_or_less_than_one_number_is_refused(raw: str, why: str) -> None:
    for region in OPEN_PLANS:
        assert reason(raw, region) == why, region


@given(
    national=st.from_regex(r"0[1-9][0-9]{6,9}", fullmatch=True),
    tail=st.from_regex(r" ?[/.,;&-] ?[0-9]{1,2}| [0-9]", fullmatch=True),
    region=st.sampled_from(OPEN_PLANS),
)
def test_a_short_tail_never_becomes_part_of_a_number(national: str, tail: str, region: str) -> None:
    assert not reason(national + tail, region).startswith("read as")


@given(raw=st.from_regex(r"[+0]?[0-9]{1,9}([ ./,-]{1,3}[0-9]{1,9}){1,3}", fullmatch=True))
def test_digits_are_never_made_up_nor_left_out(raw: str) -> None:
    for region in OPEN_PLANS:
        try:
            phone = normalise(raw, region)
        except InvalidPhone:
            continue
        written = re.sub(r"[.,]0+$", "", raw)
        digits = re.sub(r"[^0-9]", "", written).lstrip("0")
        code = str(phonenumbers.country_code_for_region(region))
        national = phone[1:].removeprefix(code).lstrip("0")
        assert digits.endswith(national) or phone[1:] == digits, (raw, region, phone)


def test_the_librarys_own_formats_are_read_as_they_are() -> None:
    """They are how people of a country group its numbers."""
    formats = phonenumbers.PhoneNumberFormat
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for type_ in range(11):
            number = phonenumbers.example_number_for_type(region, type_)
            if number is None:
                continue
            national = phonenumbers.format_number(number, formats.NATIONAL)
            assert reason(national, region) == reason(re.sub(r"\D", "", national), region)
            phone = phonenumbers.format_number(number, formats.E164)
            assert reason(phonenumbers.format_number(number, formats.INTERNATIONAL), None) in {
                f"read as {phone}",
                "too_long",
            }


# --- a zero in brackets, a code twice, old forms ---------------------------------------------------------


def test_a_zero_in_brackets_is_not_dialled_from_abroad_even_where_zeros_stay() -> None:
    assert normalise("+39 (0) 333 1234567", None) == "+393331234567"
    assert normalise("+39 (0) 6 12345678", None) == "+390612345678"


@pytest.mark.parametrize("raw", ["+49 49 1511 2345678", "+494915112345678", "0049 4915112345678"])
def test_a_country_code_written_twice_is_no_fixed_line_in_a_plan_of_open_length(raw: str) -> None:
    assert reason(raw, "DE") == "doubled_code"


@pytest.mark.parametrize(
    ("raw", "region", "phone"),
    [
        ("+52 1 55 1234 5678", None, "+525512345678"),
        ("52 1 55 1234 5678", "MX", "+525512345678"),
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("01 55 1234 5678", "MX", "+525512345678"),
        ("+229 97 12 34 56", None, "+2290197123456"),
        ("97 12 34 56", "BJ", "+2290197123456"),
    ],
)
def test_a_form_that_a_country_gave_up_is_understood(raw: str, region: str | None, phone: str) -> None:
    assert normalise(raw, region) == phone


@pytest.mark.parametrize(
    "forms",
    [
        ("+541123456789", "+5491123456789"),
        ("+525512345678", "+5215512345678"),
        ("+22997123456", "+2290197123456"),
    ],
)
def test_the_forms_of_one_person_have_one_key(forms: tuple[str, ...]) -> None:
    assert len(set(map(person_key, forms))) == 1
    assert all(set(forms_of(phone)) == set(forms) for phone in forms)


@given(
    phone=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
    | st.from_regex(r"\+(549|521|54|52|229|22901)[0-9]{8,10}", fullmatch=True)
)
def test_a_number_is_among_its_forms_and_all_have_its_key(phone: str) -> None:
    forms = forms_of(phone)
    assert phone in forms
    assert {person_key(form) for form in forms} == {person_key(phone)}


def test_two_persons_never_share_a_key() -> None:
    """Of the numbers that are valid today, only the Argentine 9 is left out."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for type_ in range(11):
            number = phonenumbers.example_number_for_type(region, type_)
            if number is not None:
                phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
                assert person_key(phone) == (phone.replace("+549", "+54") if region == "AR" else phone)


# --- a country code without its + ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("37125123456", "DE"),
        ("3725123456", "DE"),
        ("37061234567", "IT"),
        ("4791234567", "BE"),  # a Norwegian, or a Belgian with a digit too many
    ],
)
def test_a_number_that_two_people_could_have_is_refused(raw: str, region: str) -> None:
    assert reason(raw, region) == "ambiguous"
    assert reason("+" + raw, region) == "read as +" + raw


@pytest.mark.parametrize(
    ("raw", "region"),
    [("37125123456", "LT"), ("37061234567", "GB"), ("37061234567", "DE"), ("447911123456", "US")],
)
def test_the_one_reading_that_is_valid_is_taken_and_told(raw: str, region: str) -> None:
    assert recognise(raw, region) == ("+" + raw, READ_WITH_PLUS)


def test_the_regions_own_code_without_a_plus_is_no_matter() -> None:
    assert recognise("37061234567", "LT") == ("+37061234567", "")
    assert recognise("4915112345678", "DE") == ("+4915112345678", "")
    assert reason("37061234567", None) == "no_region"


def test_no_mobile_number_of_a_region_is_refused_as_ambiguous() -> None:
    """False alarms would be worse than the trouble: many numbers of many regions, written bare."""
    random = Random(13)
    baltic = ["LT", "LV", "EE"]
    large = ["DE", "AT", "CH", "IT", "FR", "ES", "PL", "GB", "IE", "NL", "BE", "SE", "FI", "DK", "NO"]
    for region in [*baltic, *large, "US", "ID", "BR", "MX", "IN", "AU"]:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        national = phonenumbers.national_significant_number(example)
        found = 0
        for _ in range(2000):
            kept = random.randint(0, 3)
            bare = national[:kept] + "".join(random.choices("0123456789", k=len(national) - kept))
            phone = f"+{example.country_code}{bare}"
            if kind_of_accepted(phone) == "":
                found += 1
                assert reason(bare, region) == f"read as {phone}"
        assert found > 50, region


# --- kinds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "kind"),
    [
        ("+37061234567", ""),
        ("+12015550123", ""),  # fixed or mobile: no one can tell
        ("+37052345678", "fixed_line"),
        ("+4930123456", "fixed_line"),
        ("+445600123456", "voip"),
        ("+19002345678", "premium_rate"),
        ("+449098790000", "premium_rate"),
        ("+39848123456", "shared_cost"),
        ("+870773111632", "satellite"),
        ("+881612345678", "satellite"),
        ("+88213300655", "satellite"),
        ("+18002345678", "toll_free"),
        ("+447012345678", "personal_number"),
        ("+447640123456", "pager"),
        ("+443001234567", "uan"),
        ("+49177991234567", "voicemail"),
    ],
)
def test_a_number_has_its_kind_by_its_countrys_plan(phone: str, kind: str) -> None:
    assert recognise(phone, None) == (phone, kind)


def test_every_kind_that_is_refused_is_met_above() -> None:
    (mark,) = test_a_number_has_its_kind_by_its_countrys_plan.pytestmark  # type: ignore[attr-defined]
    assert set(REFUSED_KINDS) <= {kind for _, kind in mark.args[1]}
