"""Phone numbers: what people type, turned into E.164 with +, or refused with a reason.

The answer is that of `phonenumbers` (Google's numbering plans): parse, `is_valid_number`, E.164. Before it
stands what a number is as typed (`phone_spelling`), behind it what the library does not know: old forms, a
country code without its +, and which numbers are one person's. `phone_shortcut` gives the library's answer
faster.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter

import phonenumbers

from campaigns.domain.errors import SubmissionError, is_harmless
from campaigns.domain.phone_reasons import PHONE_REASONS, REFUSED_KINDS, InvalidPhone
from campaigns.domain.phone_shortcut import (
    ACCEPTING,
    SATELLITE_CODES,
    kind_of_accepted,
    plan_of,
    read_at_home,
)
from campaigns.domain.phone_spelling import spelled, without_bracketed_zero

__all__ = [
    "BEGIN_FORMS",
    "PHONE_REASONS",
    "READ_WITH_PLUS",
    "REFUSED_KINDS",
    "TWO_DIGIT_COUNTRIES",
    "InvalidPhone",
    "are_all_mobile",
    "check_region",
    "country_code",
    "forms_of",
    "is_region",
    "mask",
    "normalise",
    "person_key",
    "recognise",
]

# Without it a file of numbers from many countries compiles the plans' expressions again and again
# (re keeps 512 of them): 7k numbers/s instead of 50k/s without the shortcut. Bounded by the plans.
phonenumbers.enable_pattern_cache()

_lastindex = attrgetter("lastindex")
_MAX_E164_CHARACTERS = 16  # + and 15 digits; some plans (Germany) know longer numbers, no provider takes them
_FEWEST_FOREIGN_DIGITS = 10  # of a number abroad with its country code: fewer are a national number mistyped

READ_WITH_PLUS = "read_with_plus"
"""The kind of a mobile number that was read as if it had a +, because it cannot be a number of the region."""


TWO_DIGIT_COUNTRIES: tuple[str, ...] = tuple(
    str(code) for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE) if 10 <= code <= 99
)
"""Country codes of two digits. Those of one are 1 and 7; all others have three."""


def country_code(phone: str) -> str:
    """+ and the country code that a number, or the beginning of one, has. Takes + and digits."""
    if phone[1:2] in {"1", "7"}:
        return phone[:2]
    return phone[:3] if phone[1:3] in TWO_DIGIT_COUNTRIES else phone[:4]


def recognise(raw: str, region: str | None) -> tuple[str, str]:
    """Turn a number as people type it into (E.164, kind).

    Takes `raw` as typed or exported: grouped by spaces, dashes, dots, slashes or brackets, in any
    script's digits, with +, 00 or neither, after "tel:", with a spreadsheet's leading apostrophe; and
    `region`, where numbers without + or 00 are read (`is_region` holds for it), None to refuse those.
    A number with + or 00 means the same whatever the region.

    Gives + and at most 15 digits, and the kind: "" for what may be a mobile phone, else "fixed_line", "voip",
    `READ_WITH_PLUS` or a key of `REFUSED_KINDS`.

    Raises InvalidPhone, also for extensions, letters, decimals, two numbers in one, scientific notation, and
    where two people could be meant; ValueError for a `region` that does not exist, which is the caller's
    mistake and not the row's.
    """
    accepting = ACCEPTING.get(raw[:4])
    if accepting is not None and (match := accepting[0](raw)) is not None:
        kind = accepting[1][match.lastindex]
        if kind != "fixed_line":
            return raw, kind
    digits = spelled(raw)
    if digits[0] == "+":
        return _international(digits, raw)
    if region is None:
        raise InvalidPhone("no_region")
    return _national(digits, region)


def are_all_mobile(raw: Sequence[str]) -> bool:
    """Whether `recognise` surely takes each of these for a mobile phone, just as it stands. False says
    nothing: ask it for each.
    """
    accepting = ACCEPTING.get(raw[0][:4]) if raw else None
    if accepting is None:
        return False
    accepts, kinds = accepting
    matches = list(map(accepts, raw))
    return None not in matches and not any(kinds[index] for index in set(map(_lastindex, matches)))


def normalise(raw: str, region: str | None) -> str:
    """The number alone, of whatever kind: see `recognise`."""
    return recognise(raw, region)[0]


BEGIN_FORMS = frozenset({"+549", "+521", "+229"})
"""How the numbers begin that may not be their own `person_key`."""


def person_key(phone: str) -> str:
    """One key for all forms of one person's number. Takes and gives E.164; most numbers are their own key.

    Argentina: with and without the 9 of mobiles. Mexico: with and without the 1 that went in 2019. Benin:
    eight digits, and ten with 01 before them since 2024. `store.person.key_of` says the same in SQL.
    """
    if len(phone) == 14 and phone[:4] in {"+549", "+521"}:
        return phone[:3] + phone[4:]
    if len(phone) == 12 and phone[:4] == "+229":
        return "+22901" + phone[4:]
    return phone


def forms_of(phone: str) -> tuple[str, ...]:
    """Every form (E.164) that has the same `person_key` as this number: one, for most."""
    key = person_key(phone)
    if len(key) == 13 and key[:3] in {"+54", "+52"}:
        return key, key[:3] + ("9" if key[:3] == "+54" else "1") + key[3:]
    if len(key) == 14 and key[:6] == "+22901":
        return key, "+229" + key[6:]
    return (key,)


def is_region(code: str) -> bool:
    """Whether `code` is a region whose numbers can be read: two capital letters of ISO 3166-1 ("LT")."""
    return code in phonenumbers.SUPPORTED_REGIONS


def check_region(region: str | None) -> None:
    """Raises SubmissionError where the region somebody gave is none; None is none at all, and right.

    Also for what is no text: other programs are not held to our types.
    """
    if region is not None and not (isinstance(region, str) and is_region(region)):
        shown = repr(region) if isinstance(region, str) and is_harmless(region) else "what is given"
        raise SubmissionError(f"{shown} is no region; give a two-letter country code such as LT or DE")


def mask(phone: str) -> str:
    """Hide `phone` for logs and messages. Takes any text, gives what is safe to show, never raises.

    Keeps the last 3 digits of what has at least 7, and a leading +: "+********567". Anything else
    becomes "***". The result has at most 20 characters.
    """
    digits = [character for character in phone if character in "0123456789"]
    if len(digits) < 7:
        return "***"
    plus = "+" if phone.startswith("+") else ""
    return plus + "*" * min(len(digits) - 3, 16) + "".join(digits[-3:])


def _international(digits: str, raw: str) -> tuple[str, str]:
    """Read what has a +."""
    kind = kind_of_accepted(digits)
    found = (digits, kind) if kind is not None else None
    trouble: InvalidPhone | None = None
    if found is None:
        try:
            found = _parse(digits, None)
        except InvalidPhone as error:
            if (today := _todays_form(digits)) is not None:
                return today
            trouble = error
    elif kind != "fixed_line":
        return found
    # "+39 (0) 333 …": a zero in brackets means that it is not dialled from abroad.
    if (without_zero := without_bracketed_zero(raw)) is not None:
        other = _or_none(spelled(without_zero))
        if found is None:
            found = other
        elif other is not None and other != found:
            raise InvalidPhone("ambiguous")
    return _believed(found, trouble)


def _national(digits: str, region: str) -> tuple[str, str]:
    """Read what has no +, in `region` or, where only that can be meant, as if it had one."""
    trouble: InvalidPhone | None = None
    found = read_at_home(digits, region)
    if found is None:
        try:
            found = _parse(digits, region)
        except InvalidPhone as error:
            trouble = error
            found = _todays_national_form(digits, region)
    if found is not None and not found[1]:
        return found
    with_plus = "+" + digits
    if len(digits) >= _FEWEST_FOREIGN_DIGITS and kind_of_accepted(with_plus) == "":
        if digits.startswith(str(phonenumbers.country_code_for_region(region))):
            return with_plus, ""  # plans of open length would take it for a fixed line, with the code twice
        if found is None and not _is_nearly_mobile(digits, region):
            return with_plus, READ_WITH_PLUS
        raise InvalidPhone("ambiguous")
    return _believed(found, trouble)


def _believed(found: tuple[str, str] | None, trouble: InvalidPhone | None) -> tuple[str, str]:
    """What was found, unless its country code is there twice; else what was wrong with it."""
    if found is None:
        raise trouble if trouble is not None else InvalidPhone("invalid_number")
    if found[1] == "fixed_line" and _is_code_doubled(found[0]):
        raise InvalidPhone("doubled_code")
    return found


def _parse(digits: str, region: str | None) -> tuple[str, str]:
    """Without the shortcut: `digits` (with or without +) as the library reads them."""
    if region is not None and not is_region(region):
        raise ValueError(f"{region!r} is not a region: two capital letters are wanted, such as LT")
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException as error:
        trouble = error.error_type
    else:
        if phonenumbers.is_valid_number(number):
            phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            if len(phone) <= _MAX_E164_CHARACTERS:
                return phone, _kind(number)
            raise InvalidPhone("too_long")
        raise InvalidPhone(
            _IMPOSSIBLE.get(phonenumbers.is_possible_number_with_reason(number), "invalid_number")
        )
    raise InvalidPhone(_UNREADABLE[trouble])


def _or_none(digits: str) -> tuple[str, str] | None:
    try:
        return _parse(digits, None)
    except InvalidPhone:
        return None


def _kind(number: phonenumbers.PhoneNumber) -> str:
    if number.country_code in SATELLITE_CODES:
        return "satellite"
    return _KINDS[phonenumbers.number_type(number)]


_TYPE = phonenumbers.PhoneNumberType

_KINDS: dict[int, str] = {
    _TYPE.MOBILE: "",
    _TYPE.FIXED_LINE_OR_MOBILE: "",
    _TYPE.FIXED_LINE: "fixed_line",
    _TYPE.VOIP: "voip",
    _TYPE.PREMIUM_RATE: "premium_rate",
    _TYPE.SHARED_COST: "shared_cost",
    _TYPE.TOLL_FREE: "toll_free",
    _TYPE.PERSONAL_NUMBER: "personal_number",
    _TYPE.PAGER: "pager",
    _TYPE.UAN: "uan",
    _TYPE.VOICEMAIL: "voicemail",
}

_IMPOSSIBLE = {
    phonenumbers.ValidationResult.TOO_SHORT: "too_short",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too_short",
    phonenumbers.ValidationResult.TOO_LONG: "too_long",
}

_UNREADABLE = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "unknown_country",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "too_short",  # only digits get here: fewer than three
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "too_short",
    phonenumbers.NumberParseException.TOO_LONG: "too_long",
}

# --- what the library does not know -------------------------------------------------------------------

_OLD_MEXICAN = re.compile(r"\+52(?:1|01|04[45])([0-9]{10})")
_OLD_MEXICAN_AT_HOME = re.compile(r"(?:01|04[45]|1)([0-9]{10})")
_OLD_BENINESE = re.compile(r"(?:\+229)?([2-9][0-9]{7})")


def _todays_form(digits: str) -> tuple[str, str] | None:
    """What became of a number whose form its country gave up, if there is exactly one answer."""
    if old := _OLD_MEXICAN.fullmatch(digits):
        return _or_none("+52" + old[1])
    if digits.startswith("+") and (old := _OLD_BENINESE.fullmatch(digits)):
        return _or_none("+22901" + old[1])
    return None


def _todays_national_form(digits: str, region: str) -> tuple[str, str] | None:
    code = str(phonenumbers.country_code_for_region(region))
    if digits.startswith(code) and (today := _todays_form("+" + digits)) is not None:
        return today
    if region == "MX" and (old := _OLD_MEXICAN_AT_HOME.fullmatch(digits)):
        return _or_none("+52" + old[1])
    if region == "BJ" and (old := _OLD_BENINESE.fullmatch(digits)):
        return _or_none("+22901" + old[1])
    return None


def _is_code_doubled(phone: str) -> bool:
    """Whether `phone`, by itself a fixed line, is a mobile number behind its country code twice: plans of
    open length (Germany) know nearly any digits as a fixed line.
    """
    for end in (2, 3, 4):
        code = phone[1:end]
        if phone.startswith(code, end) and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            rest = phone[end + len(code) :].lstrip("0")
            return kind_of_accepted(f"+{code}{rest}") == ""
    return False


def _is_nearly_mobile(digits: str, region: str) -> bool:
    """Whether `digits` have one too many, or one wrong behind the first two, for a mobile number of `region`.

    Of Belgian numbers with a digit too many every fourth is a mobile number of somebody in Asia.
    """
    code = str(phonenumbers.country_code_for_region(region))
    lengths = _mobile_lengths(region)
    near: set[str] = set()
    if len(digits) - 1 in lengths:
        near.update(digits[:at] + digits[at + 1 :] for at in range(len(digits)))
    if len(digits) in lengths:
        near.update(
            digits[:at] + each + digits[at + 1 :] for at in range(2, len(digits)) for each in "0123456789"
        )
    return any(kind_of_accepted(f"+{code}{each}") == "" for each in near)


@lru_cache(maxsize=256)
def _mobile_lengths(region: str) -> frozenset[int]:
    plan = plan_of(str(phonenumbers.country_code_for_region(region)), region)
    lengths: frozenset[int] = frozenset()
    for desc in (plan.mobile, plan.general_desc):
        if not lengths and desc is not None:
            lengths = frozenset(desc.possible_length)
    return lengths
