"""Phone numbers: what people type, turned into E.164 with +, or refused with a reason.

The answer is always that of `phonenumbers` (Google's numbering plans): parse, `is_valid_number`,
E.164. Its general way costs 25 microseconds and more, so the common shapes take a short way: one
regular expression for each country calling code, built once from the same plans. The short way only
ever accepts; whatever it does not accept goes the long way, which also finds the reason.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import phonenumbers
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY, PhoneMetadata, PhoneNumberDesc

PHONE_REASONS: dict[str, str] = {
    "empty": "there is no phone number here: fill it in or take the row out",
    "not_a_number": "this is not a phone number: write digits only, such as +37060000000",
    "letters": "a phone number with letters cannot be used: write the digits instead",
    "extension": "an extension cannot get an SMS: write the number without it",
    "several_numbers": "there is more than one number here: put each on a row of its own",
    "spreadsheet_number": (
        "a spreadsheet shortened this number to something like 3.7E+10 and its digits are lost: "
        "set the column to text, enter the numbers again and export once more"
    ),
    "no_region": (
        "the number has no country code and no default region is set: "
        "write it with + and the country code, or set a default region"
    ),
    "unknown_country": "no country has this calling code: check the digits after the +",
    "too_short": "the number has too few digits for its country: check for missing digits or area code",
    "too_long": "the number has too many digits for its country: check for extra digits",
    "invalid_number": "no such number can exist in its country's numbering plan: check the digits",
}
"""Why a number is refused -> one sentence on how to mend it."""


class InvalidPhone(ValueError):
    """This cannot be made a phone number. `reason` is a key of `PHONE_REASONS`; never holds the number."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return PHONE_REASONS[self.reason]


# Without it a file of numbers from many countries compiles the plans' expressions again and again
# (re keeps 512 of them): 7k numbers/s instead of 50k/s on the long way. Bounded by the plans.
phonenumbers.enable_pattern_cache()

_MAX_INPUT_CHARACTERS = 250  # the library's own limit
_MAX_E164_CHARACTERS = 16  # + and 15 digits; some plans (Germany) know longer numbers, no provider takes them

_SHAPE = re.compile(r"=?(?:tel:)?(\++(?:00)?|00)?([0-9]+)", re.IGNORECASE)
# A whole number out of a spreadsheet's column of floats: the digits are all there, ".0" is not one of them.
_WHOLE_AS_DECIMAL = re.compile(r"['\"=]*(\+?[0-9]{7,})[.,]0['\"]*")
_SCIENTIFIC = re.compile(r"[=+]*\d+(?:,\d+)?E\+?\d{1,3}", re.IGNORECASE)
_EXTENSION = re.compile(
    r"\d(?:;ext=|[x#]|e?xt(?:ensi[oó]n?)?n?|int|anexo|vid|доб)[:,]?\d{1,7}#?", re.IGNORECASE
)
_SEVERAL = re.compile(r"[0-9]{5,}[^0-9]+[0-9]{5,}")


class _Folding(dict[int, str]):
    """For `str.translate`: digits of every script become ASCII, what only groups digits is dropped."""

    def __missing__(self, code: int) -> str:
        character = chr(code - 0xFEE0 if 0xFF01 <= code <= 0xFF5E else code)  # full-width forms of ASCII
        category = unicodedata.category(character)
        if category == "Nd":
            folded = str(unicodedata.decimal(character))
        elif category in {"Zs", "Pd", "Cf"} or character in _GROUPING:
            folded = ""
        else:
            folded = character
        self[code] = folded
        return folded


_GROUPING = "()[]./'\"`\u00b4\u2018\u2019\u201c\u201d\u2212\u30fc"  # quotes: spreadsheets leave them behind
_FOLDING = _Folding()


def normalise(raw: str, region: str | None) -> str:
    """Turn a number as people type it into E.164.

    Takes `raw` as typed or exported: grouped by spaces, dashes, dots, slashes or brackets, in any
    script's digits, with +, 00 or neither, after "tel:", with a spreadsheet's leading apostrophe; and
    `region`, where numbers without + or 00 are read (`is_region` holds for it), None to refuse those.
    Gives + and at most 15 digits. A number with + or 00 means the same whatever the region.

    Raises InvalidPhone, also for extensions, letters, two numbers in one and scientific notation;
    ValueError for a `region` that does not exist, which is the caller's mistake and not the row's.
    """
    accepts = _ACCEPTS.get(raw[:4])
    if accepts is not None and accepts(raw):
        return raw
    digits = _clean(raw)
    if digits[0] == "+":
        return digits if _is_accepted(digits) else _parse(digits, None)
    if region is None:
        raise InvalidPhone("no_region")
    return _read_in_region(digits, region) or _parse(digits, region)


def is_region(code: str) -> bool:
    """Whether `code` is a region whose numbers can be read: two capital letters of ISO 3166-1 ("LT")."""
    return code in phonenumbers.SUPPORTED_REGIONS


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


def _clean(raw: str) -> str:
    """`raw` as digits, with + in front when it is international; raises InvalidPhone when it is more."""
    text = raw.strip()
    if len(text) > _MAX_INPUT_CHARACTERS:
        raise InvalidPhone("too_long")
    if "0" in text[-3:] and (decimal := _WHOLE_AS_DECIMAL.fullmatch(text)):
        text = decimal[1]
    text = text.translate(_FOLDING)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InvalidPhone(_diagnose(text))
    return "+" + shape[2] if shape[1] else shape[2]


def _diagnose(text: str) -> str:
    """Why cleaned `text` is more or less than one number."""
    if not text:
        return "empty"
    if _SCIENTIFIC.fullmatch(text):
        return "spreadsheet_number"
    if _SEVERAL.search(text):
        return "several_numbers"
    if _EXTENSION.search(text):
        return "extension"
    if any(character.isalpha() for character in text):
        return "letters"
    return "not_a_number"


def _parse(digits: str, region: str | None) -> str:
    """The long way: `digits` (with or without +) as the library reads them."""
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
                return phone
            raise InvalidPhone("too_long")
        raise InvalidPhone(
            _IMPOSSIBLE.get(phonenumbers.is_possible_number_with_reason(number), "invalid_number")
        )
    raise InvalidPhone(_UNREADABLE[trouble])


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

# --- the short way -----------------------------------------------------------------------------------

_Accepts = Callable[[str], object]

_ACCEPTS: dict[str, _Accepts] = {}
"""The first four characters of an E.164 number -> whether the whole is one, for codes met so far."""

_BY_CODE: dict[str, _Accepts] = {}
"""The same by country calling code: "44" serves +440 to +449."""


def _is_accepted(phone: str) -> bool:
    """Whether `phone` (+ and digits) is surely valid exactly as it stands. False means: ask the library."""
    accepts = _ACCEPTS.get(phone[:4])
    if accepts is None:
        code = next((phone[1:end] for end in (2, 3, 4) if _is_calling_code(phone[1:end])), None)
        if code is None:
            return False
        if code not in _BY_CODE:
            _BY_CODE[code] = re.compile(_international_pattern(code)).fullmatch
        accepts = _BY_CODE[code]
        if len(phone) >= 4:
            _ACCEPTS[phone[:4]] = accepts
    return accepts(phone) is not None


def _is_calling_code(code: str) -> bool:
    return code[:1] != "0" and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _international_pattern(code: str) -> str:
    """Matches an E.164 number of calling code `code` that is valid and that parsing leaves unchanged.

    Parsing changes it where it starts with what may be a national prefix ("+44 (0)20…"), so those are
    left to the long way. The look-behind lets a prefix pattern that can match nothing (Argentina) pass.
    """
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    plans = [_plan(code, region) for region in regions]
    unchanged = ""
    if plans[0].national_prefix_for_parsing:
        unchanged = rf"(?!(?:{plans[0].national_prefix_for_parsing})(?<![+]{code}))"
    # A number belongs to the first region that claims it, by its leading digits where the plan names
    # them, else by being valid there; it is valid when it is so in that region.
    valid = _valid_pattern(plans[0]) if len(plans) == 1 else "(?!)"
    for plan in reversed(plans if len(plans) > 1 else []):
        if plan.leading_digits is None:
            valid = rf"(?:{_valid_pattern(plan)}|{valid})"
        else:
            claimed = rf"(?:{plan.leading_digits})"
            valid = rf"(?:(?={claimed}){_valid_pattern(plan)}|(?!{claimed}){valid})"
    return rf"[+](?=[0-9]{{3,15}}\Z){code}{unchanged}{valid}"


def _plan(code: str, region: str) -> PhoneMetadata:
    plan = (
        PhoneMetadata.metadata_for_nongeo_region(int(code))
        if region == REGION_CODE_FOR_NON_GEO_ENTITY
        else PhoneMetadata.metadata_for_region(region)
    )
    if plan is None:
        raise LookupError(f"phonenumbers has no numbering plan for {region} (+{code})")
    return plan


def _valid_pattern(plan: PhoneMetadata) -> str:
    """Matches a national number that is of some type of `plan`."""
    types = [
        None if plan.same_mobile_and_fixed_line_pattern else plan.mobile,
        *(plan.fixed_line, plan.premium_rate, plan.toll_free, plan.shared_cost, plan.voip),
        *(plan.personal_number, plan.pager, plan.uan, plan.voicemail),
    ]
    some_type = "|".join(pattern for pattern in map(_desc_pattern, types) if pattern)
    general = _desc_pattern(plan.general_desc)
    return rf"(?:(?={general}\Z)(?:{some_type}))" if some_type and general else r"(?!)"


def _desc_pattern(desc: PhoneNumberDesc | None) -> str:
    """Matches a whole number that fits `desc`, by length and by pattern; empty when nothing does."""
    if desc is None or not desc.national_number_pattern:
        return ""
    lengths = "|".join(rf"[0-9]{{{length}}}" for length in desc.possible_length if length > 0)
    if desc.possible_length and not lengths:
        return ""
    of_length = rf"(?=(?:{lengths})\Z)" if lengths else ""
    return rf"(?:{of_length}(?:{desc.national_number_pattern})\Z)"


class _Home(NamedTuple):
    """What reading a number without + in one region takes."""

    code: str
    idd: re.Pattern[str]  # the region's own way to dial abroad
    prefix: re.Pattern[str]  # what one dials first inside the country
    has_rule: bool  # the prefix may rewrite the number
    general: re.Pattern[str]
    lengths: frozenset[int]


_HOMES: dict[str, _Home] = {}


def _home(region: str) -> _Home | None:
    if region not in _HOMES:
        if not is_region(region):
            return None
        code = str(phonenumbers.country_code_for_region(region))
        plan = _plan(code, region)
        general = plan.general_desc
        if general is None or not general.national_number_pattern:
            return None
        _HOMES[region] = _Home(
            code=code,
            idd=re.compile(plan.international_prefix or "(?!)"),
            prefix=re.compile(plan.national_prefix_for_parsing or "(?!)"),
            has_rule=bool(plan.national_prefix_transform_rule),
            general=re.compile(general.national_number_pattern),
            lengths=frozenset(general.possible_length),
        )
    return _HOMES[region]


def _read_in_region(digits: str, region: str) -> str | None:
    """`digits` without + as E.164 where the plan of `region` leaves no doubt; None means: ask the library.

    Each `return None` is a turn in the library's way that this one does not follow.
    """
    home = _home(region)
    if home is None or home.idd.match(digits):
        return None
    if digits.startswith(home.code):  # "370…" in LT: the country code without its +, or a national number
        national = digits[len(home.code) :]
        if (
            home.general.fullmatch(digits)
            or home.prefix.match(national)
            or not home.general.fullmatch(national)
        ):
            return None
    else:
        national = digits
        prefix = home.prefix.match(digits)
        if prefix is not None:
            national = digits[prefix.end() :]
            if home.has_rule and prefix.group(prefix.re.groups) is not None:
                return None
            if len(national) not in home.lengths or not home.general.fullmatch(national):
                return None
    phone = f"+{home.code}{national}"
    return phone if _is_accepted(phone) else None
