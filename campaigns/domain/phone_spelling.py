"""What people and spreadsheets type as a phone number, as its digits: the same digits, or a refusal.

A character between digits is left out only where it groups them. One that could be a decimal point, a
second number or another line is never left out: that would make another number of it, a stranger's.
"""

import re
import unicodedata
from datetime import date

from campaigns.domain.phone_reasons import InvalidPhone

MAX_INPUT_CHARACTERS = 250  # the library's own limit


class _Folding(dict[int, str]):
    """For `str.translate`: digits of every script become ASCII, blanks and dashes one form."""

    def __missing__(self, code: int) -> str:
        character = chr(code - 0xFEE0 if 0xFF01 <= code <= 0xFF5E else code)  # full-width forms of ASCII
        category = unicodedata.category(character)
        if category == "Nd":
            folded = str(unicodedata.decimal(character))
        elif category == "Cf" or character in "'\"`\u00b4\u2018\u2019\u201c\u201d":
            folded = ""  # quotes: spreadsheets leave them behind, and Swiss people group by them
        elif category == "Zs":
            folded = " "
        elif category == "Pd" or character in "\u2212\u30fc":
            folded = "-"
        else:
            folded = character
        self[code] = folded
        return folded


_FOLDING = _Folding()

_NO_SEPARATOR = str.maketrans("", "", " -/")
_BARE = re.compile(r"\+?[0-9]+")
# Common ways to group of which `_check_groups` would have nothing to say.
_PLAIN = re.compile(
    r"\+?[0-9]{1,5}(?: [0-9]{1,6})* [0-9]{3,6}"
    r"|\+[0-9]{1,5}(?:[ -][0-9]{1,6})*[ -][0-9]{3,6}"
    r"|0[1-9][0-9]{0,4}[/-][0-9]{4,12}"
)
_SHAPE = re.compile(
    r"[ ]*(?:tel:)?[ (\[-]*(?P<plus>[+]+[ ]*(?:00)?|00)?(?P<rest>[ ()\[\]./-]*[0-9][0-9 ()\[\]./-]*)",
    re.IGNORECASE,
)
_GROUP = re.compile(r"([^0-9]*)([0-9]+)")
# A whole number out of a spreadsheet's column of floats: all its digits are there, the zeros are decimals.
# Three zeros may be a group of digits where few stand before them.
_WHOLE_AS_DECIMAL = re.compile(r"(\+?(?!0)(?:[0-9]{7,}(?=[.,]0{1,2}$)|[0-9]{10,}(?=[.,]0{3,6}$)))[.,]0+")
_DECIMAL = re.compile(r"[+-]?[0-9 ]*[0-9]{4,}[.,](?:[0-9]{1,2}|0+)")
_SCIENTIFIC = re.compile(r"\+?\d+(?:[.,]\d+)?E\+?\d{1,3}", re.IGNORECASE)
_EXTENSION = re.compile(
    r"\d(?:;ext=|[x#]|e?xt(?:ensi[oó]n?)?n?|int|anexo|vid|доб)[:.,]?\d{1,7}#?", re.IGNORECASE
)
_SEVERAL = re.compile(r"[0-9]{5,}[^0-9]+[0-9]{5,}")
_DATES = (
    re.compile(r"(?P<y>(?:19|20)[0-9]{2})[-./](?P<m>[0-9]{1,2})[-./](?P<d>[0-9]{1,2})"),
    re.compile(r"(?P<d>[0-9]{1,2})[-./](?P<m>[0-9]{1,2})[-./](?P<y>(?:19|20)[0-9]{2})"),
    re.compile(r"(?P<m>[0-9]{1,2})[-./](?P<d>[0-9]{1,2})[-./](?P<y>(?:19|20)[0-9]{2})"),
)
_BRACKETED_ZERO = re.compile(r"(?<=[0-9)\] ])[(\[] *0 *[)\]]")
_WIDE = re.compile(r"/| -|- ")


def spelled(raw: str) -> str:
    """The digits of `raw`, all of them and no other, with + in front where it is international.

    Raises InvalidPhone where it is not one number that can be read in one way only.
    """
    text = raw.strip()
    if len(text) > MAX_INPUT_CHARACTERS:
        raise InvalidPhone("too_long")
    if text.isascii() and "00" not in text[:4]:
        if _BARE.fullmatch(text):
            return text
        if _PLAIN.fullmatch(text):
            return text.translate(_NO_SEPARATOR)
    text = text.translate(_FOLDING).strip(" =")
    if decimal := _WHOLE_AS_DECIMAL.fullmatch(text):
        text = decimal[1]
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InvalidPhone(_diagnose(text))
    rest = shape["rest"]
    groups = _GROUP.findall(rest)
    if len(groups) > 1:
        _check_groups(text, rest, groups, is_international=bool(shape["plus"]))
    digits = "".join(group for _, group in groups)
    if digits.startswith("00") and not shape["plus"]:  # "0 0370 …"
        return "+" + digits[2:]
    return "+" + digits if shape["plus"] else digits


def without_bracketed_zero(raw: str) -> str | None:
    """`raw` without a zero in brackets, which is dialled inside the country alone; None where it has none."""
    if "0" not in raw or raw.isalnum():
        return None
    text, count = _BRACKETED_ZERO.subn(" ", raw.translate(_FOLDING))
    return text if count else None


def _check_groups(text: str, rest: str, groups: list[tuple[str, str]], *, is_international: bool) -> None:
    """Raise where what parts the groups of digits may be more than a way to group them."""
    if _is_date(text):
        raise InvalidPhone("date")
    separator, last = groups[-1]
    if len(last) <= 2 and not _is_end_of_number(groups):
        raise InvalidPhone("decimal" if "." in separator else "second_line")
    if "(" in separator and rest.rstrip().endswith((")", "]")):  # "0664 1234567 (12)"
        raise InvalidPhone("second_line")
    if _are_several(groups, is_international=is_international):
        raise InvalidPhone("several_numbers")
    if rest.count(".") == 1 and _is_decimal(groups):
        raise InvalidPhone("decimal")


def _is_end_of_number(groups: list[tuple[str, str]]) -> bool:
    """Whether one or two digits at the end belong to the number: after blanks, unless a whole number stands
    before them; else only as the last of pairs ("12-34-56") or of many groups ("+261-32-12-345-67").
    """
    *_, (_, before), (separator, last) = groups
    if not separator.strip(" "):
        return len(before) < 7
    if len(last) == 1 or "(" in separator or "[" in separator:
        return False
    is_one_of_many = len(groups) >= 4 and all(each in {"", "-"} for each, _ in groups)
    return len(before) == 2 or (is_one_of_many and len(before) == 3)


def _is_decimal(groups: list[tuple[str, str]]) -> bool:
    """Whether the one point among `groups` may be a decimal's: many digits before it, three or only zeros
    after it, and nothing else that groups them.
    """
    if len(groups) != 2:
        return False
    (_, whole), (_, fraction) = groups
    return (len(whole) >= 9 and len(fraction) <= 3) or (len(whole) >= 7 and not fraction.strip("0"))


def _are_several(groups: list[tuple[str, str]], *, is_international: bool) -> bool:
    """Whether `groups` may be two numbers, or a range: slashes and wide dashes part a country or area code
    from the rest, or pairs, and nothing else.
    """
    lengths = [len(group) for _, group in groups]
    if sum(length >= 7 for length in lengths) > 1:
        return True
    wide = [index for index, (separator, _) in enumerate(groups) if index and _WIDE.search(separator)]
    has_prefix = is_international or groups[0][1].startswith("0")
    if len(groups) == 2 and lengths[0] == lengths[1] and not has_prefix:
        return lengths[0] >= (4 if wide else 6)
    if not wide or all(length == 2 for length in lengths[1:]):
        return False
    left = sum(lengths[: wide[-1]])
    return left > (8 if is_international else 6 if has_prefix else 5) or sum(lengths[wide[-1] :]) < 4


def _is_date(text: str) -> bool:
    for pattern in _DATES:
        if found := pattern.fullmatch(text):
            try:
                date(int(found["y"]), int(found["m"]), int(found["d"]))
            except ValueError:
                continue
            return True
    return False


def _diagnose(text: str) -> str:
    """Why `text`, folded, is more or less than one number."""
    text = text.translate(_TIGHT)
    signs = {
        "empty": not text,
        "spreadsheet_number": _SCIENTIFIC.fullmatch(text),
        "several_numbers": _SEVERAL.search(text) or "\n" in text or "\r" in text,
        "decimal": _DECIMAL.fullmatch(text),
        "extension": _EXTENSION.search(text),
        "letters": any(character.isalpha() for character in text),
    }
    return next((reason for reason, found in signs.items() if found), "not_a_number")


_TIGHT = str.maketrans("", "", " -/()[]'")
