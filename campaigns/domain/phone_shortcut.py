"""A shortcut for reading phone numbers: one regular expression a country calling code, built once.

`phonenumbers` takes 25 microseconds and more for a number; this takes one or two. The law stays in
`phone.py`: the shortcut only ever accepts, and what it accepts, the library accepts just so, with the same
kind. Whatever it does not accept goes to the library.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import phonenumbers
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY, PhoneMetadata, PhoneNumberDesc

SATELLITE_CODES = frozenset((870, 881, 882, 883))
"""Calling codes of satellites and international networks; the plans call most of them mobile."""

_LONGEST = 15  # digits of E.164


Accepting: TypeAlias = tuple[Callable[[str], re.Match[str] | None], Mapping[int | None, str]]
"""What accepts the numbers of one calling code, and the kind by `lastindex` of a match."""

ACCEPTING: dict[str, Accepting] = {}
"""The first four characters of an E.164 number -> what accepts it, for codes met so far."""

_BY_CODE: dict[str, Accepting] = {}
"""The same by country calling code: "44" serves +440 to +449."""


def kind_of_accepted(phone: str) -> str | None:
    """The kind of `phone` (+ and digits) where it is surely valid exactly as it stands.

    Gives "" for what may be a mobile phone, else "fixed_line", "voip" or a key of `REFUSED_KINDS`. None
    means: ask the library.
    """
    accepting = ACCEPTING.get(phone[:4])
    if accepting is None:
        code = next((phone[1:end] for end in (2, 3, 4) if _is_calling_code(phone[1:end])), None)
        if code is None:
            return None
        if code not in _BY_CODE:
            _BY_CODE[code] = _accepting(code)
        accepting = _BY_CODE[code]
        if len(phone) >= 4:
            ACCEPTING[phone[:4]] = accepting
    accepts, kinds = accepting
    match = accepts(phone)
    return None if match is None else kinds[match.lastindex]


def _is_calling_code(code: str) -> bool:
    return code[:1] not in ("", "0") and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _accepting(code: str) -> Accepting:
    pattern = re.compile(_international_pattern(code))
    is_satellite = int(code) in SATELLITE_CODES
    kinds: dict[int | None, str] = {
        index: "satellite" if is_satellite else _kind_of_group(name)
        for name, index in pattern.groupindex.items()
    }
    return pattern.fullmatch, kinds


def _kind_of_group(name: str) -> str:
    kind = name.partition("__")[2]
    return "" if kind == "mobile" else kind


def _international_pattern(code: str) -> str:
    """Matches an E.164 number of calling code `code` that is valid and that parsing leaves unchanged.

    Parsing changes it where it starts with what may be a national prefix ("+44 (0)20…"), so those are
    left to the library. The look-behind lets a prefix pattern that can match nothing (Argentina) pass.
    """
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    plans = [plan_of(code, region) for region in regions]
    unchanged = ""
    if plans[0].national_prefix_for_parsing:
        unchanged = rf"(?!(?:{plans[0].national_prefix_for_parsing})(?<![+]{code}))"
    # A number belongs to the first region that claims it, by its leading digits where the plan names
    # them, else by being valid there; it is valid when it is so in that region.
    valid = _valid_pattern(plans[0], 0) if len(plans) == 1 else "(?!)"
    for number, plan in reversed(list(enumerate(plans)) if len(plans) > 1 else []):
        if plan.leading_digits is None:
            valid = rf"(?:{_valid_pattern(plan, number)}|{valid})"
        else:
            claimed = rf"(?:{plan.leading_digits})"
            valid = rf"(?:(?={claimed}){_valid_pattern(plan, number)}|(?!{claimed}){valid})"
    return rf"[+](?=[0-9]{{3,{_LONGEST}}}\Z){code}{unchanged}{valid}"


def plan_of(code: str, region: str) -> PhoneMetadata:
    """The numbering plan of a region that has calling code `code`. Raises LookupError where there is none."""
    plan = (
        PhoneMetadata.metadata_for_nongeo_region(int(code))
        if region == REGION_CODE_FOR_NON_GEO_ENTITY
        else PhoneMetadata.metadata_for_region(region)
    )
    if plan is None:
        raise LookupError(f"phonenumbers has no numbering plan for {region} (+{code})")
    return plan


def _valid_pattern(plan: PhoneMetadata, number: int) -> str:
    """Matches a national number that is of some type of `plan`, in a group named after that type.

    In the library's order, so that of two types that share a number the same one is found. Only whether
    it may be a mobile is asked before whether it may be a fixed line: both is a mobile here.
    """
    types = {
        "premium_rate": plan.premium_rate,
        "toll_free": plan.toll_free,
        "shared_cost": plan.shared_cost,
        "voip": plan.voip,
        "personal_number": plan.personal_number,
        "pager": plan.pager,
        "uan": plan.uan,
        "voicemail": plan.voicemail,
        "mobile": plan.fixed_line if plan.same_mobile_and_fixed_line_pattern else plan.mobile,
        "fixed_line": plan.fixed_line,
    }
    # The groups are empty and stand last: a pattern that begins with its digits fails at the first of them.
    some_type = "|".join(
        f"{pattern}(?P<_{number}__{kind}>)"
        for kind, pattern in ((kind, _desc_pattern(desc)) for kind, desc in types.items())
        if pattern
    )
    general = _desc_pattern(plan.general_desc)
    return rf"(?:(?={general})(?:{some_type}))" if some_type and general else r"(?!)"


def _desc_pattern(desc: PhoneNumberDesc | None) -> str:
    """Matches a whole number that fits `desc`, by length and by pattern; empty when nothing does."""
    if desc is None or not desc.national_number_pattern:
        return ""
    lengths = "|".join(rf"[0-9]{{{length}}}" for length in desc.possible_length if length > 0)
    if desc.possible_length and not lengths:
        return ""
    return rf"(?=(?:{desc.national_number_pattern})\Z)(?:{lengths or '[0-9]*'})\Z"


class _Home(NamedTuple):
    """What reading a number without + in one region takes."""

    code: str
    idd: re.Pattern[str]  # what the region dials before a call abroad
    prefix: re.Pattern[str]  # what one dials first inside the country
    has_rule: bool  # the prefix may rewrite the number
    general: re.Pattern[str]
    lengths: frozenset[int]


_HOMES: dict[str, _Home] = {}


def _home(region: str) -> _Home | None:
    if region not in _HOMES:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            return None
        code = str(phonenumbers.country_code_for_region(region))
        plan = plan_of(code, region)
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


def read_at_home(digits: str, region: str) -> tuple[str, str] | None:
    """`digits` without + as (E.164, kind) where the plan of `region` leaves no doubt; None: ask the library.

    Each `return None` is a case of the library's that this one does not follow.
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
    kind = kind_of_accepted(phone)
    return None if kind is None else (phone, kind)
