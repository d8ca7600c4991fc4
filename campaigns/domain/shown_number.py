"""A number of a spreadsheet as the spreadsheet shows it. Pure.

A cell holds a number and a format: 37061234567 with `0`, 61234567 with `000000000`, 2125550100 with
`(000) 000-0000`. What people see and mean is the number in its format: without it a leading zero is lost, and
a number of a stranger is left. Source: ECMA-376, 18.8.30 and 18.8.31.
"""

import re
from decimal import Decimal

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[(?P<bracket>[^\]]*)\]|(?P<char>.)', re.DOTALL
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[0-9.]+)")
_EXACT_DIGITS = 15  # more than these a spreadsheet does not keep


def shown_number(value: float, number_format: str) -> str:
    """`value` as it is shown in `number_format`.

    In a format that is not understood, and in General, all its digits. A number of more than fifteen digits
    is given as 3.7E+16: the others are lost, and who reads it as a phone number refuses it with that reason.
    """
    number = Decimal(repr(value))
    if number == number.to_integral_value() and number.adjusted() >= _EXACT_DIGITS:
        return f"{number:.1E}"
    section = _section(number_format, number)
    if section is None:
        return _plain(number)
    shown = _filled(section, abs(number))
    if shown is None:
        return _plain(number)
    return f"-{shown}" if number < 0 and ";" not in number_format else shown


def _plain(number: Decimal) -> str:
    if number == number.to_integral_value():
        return f"{number:.0f}"
    return f"{number:f}".rstrip("0")


def _section(number_format: str, number: Decimal) -> str | None:
    """The part of the format that is for this number; None where there is none to be followed."""
    sections = re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', number_format)
    for section in sections:
        condition = _CONDITION.search("".join(re.findall(r"\[([^\]]*)\]", section)))
        if condition is not None:
            limit = Decimal(condition[2])
            if {
                "<": number < limit, "<=": number <= limit, ">": number > limit, ">=": number >= limit,
                "=": number == limit, "<>": number != limit,
            }[condition[1]]:  # fmt: skip
                return section
            continue
        if len(sections) > 1 and number < 0 and section is sections[0]:
            continue
        return section
    return None


def _filled(section: str, number: Decimal) -> str | None:
    """The number's digits where the format has room for them; None where it says more than that."""
    pieces: list[str] = []  # literals, and "" for each digit
    required: list[bool] = []
    decimals = 0
    after_point = grouped = False
    for token in _TOKEN.finditer(section):
        char = token["char"]
        if char is None:
            literal = token["quoted"] if token["quoted"] is not None else token["escaped"]
            pieces += [literal] if literal else []
        elif char in "0#?":
            pieces.append("")
            required.append(char == "0")
            decimals += after_point
        elif char == "." and not after_point:
            after_point = True
        elif char == "," and required:
            grouped = True
        elif char in "+-()/ :\u00a0$\u20ac\u00a3":
            pieces.append(char)
        else:
            return None
    if not required or (after_point and any(pieces[1:-1])):
        return None
    if after_point or grouped:
        return "".join(_with_point(pieces, number, required, decimals, grouped=grouped))
    return _spread(pieces, required, f"{number:.0f}")


def _with_point(
    pieces: list[str], number: Decimal, required: list[bool], decimals: int, *, grouped: bool
) -> list[str]:
    first = pieces.index("")
    last = len(pieces) - 1 - pieces[::-1].index("")
    digits = f"{number:{',' if grouped else ''}.{decimals}f}"
    optional = required[len(required) - decimals :].count(False) if decimals else 0
    while optional and digits.endswith("0"):
        digits, optional = digits[:-1], optional - 1
    return [*pieces[:first], digits.removesuffix("."), *pieces[last + 1 :]]


def _spread(pieces: list[str], required: list[bool], digits: str) -> str:
    """Digits from the right, one a piece; what is left over before the first, zeros where required."""
    shown: list[str] = []
    wanted = list(required)
    left = digits
    for piece in reversed(pieces):
        if piece:
            shown.append(piece)
            continue
        must = wanted.pop()
        digit, left = left[-1:], left[:-1]
        if not wanted:
            digit, left = left + digit, ""
        shown.append(digit or ("0" if must else ""))
    return "".join(reversed(shown))
