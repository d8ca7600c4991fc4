"""What garbage is made of: submissions nobody should have made, each of the seed and its number alone, so
that the one a failure names can be made again.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, Literal

from campaigns import submission
from campaigns.domain.limits import AccountTerms
from tests.chaos.storm import SEED

SECRET = "slapta4711"
"""Stands in cells that are no number, and in no name of a column: what must never be said."""

Source = tuple[Any, set[str] | None]  # recipients in some form, and the numbers among them where known

_HUGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Garbage:
    """One submission: a file's bytes, or whatever another program calls recipients."""

    kind: str
    wanted: submission.Submission
    source: Any
    planted: frozenset[str] | None  # the numbers it names; None where damage may have made others of them


# --- cells and tables ------------------------------------------------------------------------------------


def _digits(dice: Random, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def _number(dice: Random) -> str:
    return f"+3706{_digits(dice, 7)}"


_NO_NUMBERS = (
    "",
    " ",
    "\u200b",
    "nan",
    "#REF!",
    "NULL",
    "-",
    "\ufeff",
    "٣",
    "½",
    "²²²²²²²",
    SECRET,
    "+" * 300,
)


def _phone(dice: Random) -> tuple[str, str | None]:
    """What stands in the cell, and the number it is, where it is one."""
    phone = _number(dice)
    arabic = {ord("0") + digit: 0x0660 + digit for digit in range(10)}
    # fmt: off
    spelled = [
        phone, phone, f" {phone[:4]} {phone[4:7]}-{phone[7:]} ", f"'{phone}", f"={phone}", f"00{phone[1:]}",
        phone.translate(arabic), f"{phone[1:]}.0", f"tel:{phone}", f"({phone})",
    ]
    broken = [
        f'=HYPERLINK("{phone}")', f"{phone} {_number(dice)}", f"{phone}x12", f"{phone[:-3]}E+10", phone[:-2],
        phone + _digits(dice, 9), phone + "\0", phone + "\ud83d", "+999" + _digits(dice, 8),
        _digits(dice, dice.choice((3, 20, 60, 400))), dice.choice(_NO_NUMBERS),
    ]
    # fmt: on
    return (dice.choice(spelled), phone) if dice.random() < 0.5 else (dice.choice(broken), None)


# fmt: off
_CELLS = (
    "", "=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "-1", "Žydrūnė", "𝔘𝔫𝔦 😀", "👩\u200d👩\u200d👧",
    "\u202eRTL\u2066",
    "e\u0301" * 9, "{name}", "{0.__class__}", "{{", "%s%(name)s%n", "'); DROP TABLE message;--",
    "<script>", "a\nb",
    "a\r\nb", 'say "hi"', '"', "\\", "\\N", "\\.", "a;b,c\td|e", "\x1b[2J\x07", "\x00", "\ud800",
    "\udfff", "null",
    "\u2028\x85", "+37060000009", "8 600 00009", "ﷺ" * 40, "x" * 2000, "ė" * 700,
)
_NAMES = ("name", "sum", "First Name", "miestas", "Date", "NAME ", "kodas", "ĄČĘ")
# fmt: on


def _cell(dice: Random) -> str:
    return dice.choice(("", SECRET, SECRET)) + dice.choice(_CELLS) + _digits(dice, dice.randrange(4))


@dataclass(slots=True)
class _Table:
    """A header, rows, and the numbers that stand in it."""

    header: list[str]
    rows: list[list[str]]
    phones: set[str]

    def objects(self) -> list[dict[str, Any]]:
        return [dict(zip(self.header, row, strict=False)) for row in self.rows]


def _table(dice: Random) -> _Table:
    is_tame = dice.random() < 0.4
    names = dice.sample(_NAMES, dice.randrange(5))
    place = dice.randrange(len(names) + 1)
    rows, phones = [], set()
    for _ in range(dice.choice((0, 1, 1, 2, 3, 5, 8))):
        raw, phone = (number := _number(dice), number) if is_tame else _phone(dice)
        cells = [SECRET if is_tame else _cell(dice) for _ in names]
        rows.append([*cells[:place], raw, *cells[place:]])
        if phone is not None:
            phones.add(phone)
    header = [*names[:place], dice.choice(("phone", "phone", "Phone", " PHONE")), *names[place:]]
    return _Table(header, rows, phones)


# --- files ---------------------------------------------------------------------------------------------

_QUOTING: tuple[Literal[0, 1], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
_LINE_ENDS = ("\r", "\r\n", "\n\n", "\r\r\n", "\u2028", "\x0b", "\n\r", "\n", "\n")
_ENCODINGS = (
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1257",
    "utf-7",
    "cp037",
)


def _csv(dice: Random, table: _Table) -> str:
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=dice.choice(",,;\t|"), quoting=dice.choice(_QUOTING), lineterminator="\n"
    )
    writer.writerows([table.header, *table.rows])
    return out.getvalue() if dice.random() < 0.9 else out.getvalue().replace('"', "")


def _torn(dice: Random, text: str) -> str:
    """Damage that a spreadsheet, an editor or a hasty script does."""
    lines = text.split("\n")
    at = dice.randrange(len(lines))
    before, line, after = lines[:at], lines[at], lines[at + 1 :]
    ends = dice.choices(_LINE_ENDS, k=3)
    renamed = lines[0].replace("phone", dice.choice(("", "name", "fone", '"phone', " phone,phone")))
    torn: list[Callable[[], str]] = [
        lambda: "".join(each + dice.choice(ends) for each in lines),
        lambda: "\n".join([*before, line + dice.choice(",;\t|") * dice.randrange(1, 9), *after]),
        lambda: "\n".join([*before, line.rpartition(",")[0], *after]),
        lambda: "\n".join(lines[1:]),
        lambda: "\n".join([lines[0], *lines]),
        lambda: "\n".join(["", " \t", *lines]),
        lambda: "\n".join([renamed, *lines[1:]]),
        lambda: "\n".join([f"{lines[0]},phone,", *(f"{each},x," for each in lines[1:])]),
        lambda: "\n".join([*before, "sep=;", line, *after]),
    ]
    return dice.choice(torn)()


def _encoded(dice: Random, text: str) -> bytes:
    encoding = dice.choice(("utf-8",) * 10 + _ENCODINGS)
    try:
        return text.encode(encoding, "surrogatepass" if encoding.startswith("utf-") else "replace")
    except UnicodeEncodeError:  # utf-7 knows no halves
        return text.encode(encoding, "replace")


def _csv_file(dice: Random) -> Source:
    table = _table(dice)
    text = _csv(dice, table)
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        text = _torn(dice, text)
    return _encoded(dice, text), table.phones


def _jsonl_file(dice: Random) -> Source:
    table = _table(dice)
    lines = [json.dumps(row, ensure_ascii=dice.random() < 0.5) for row in table.objects()] or ["{}"]
    at = dice.randrange(len(lines))
    whole, begun = lines[at], lines[at][:-1]
    depth, length = dice.choice((3, 900, 5_000, 60_000)), dice.choice((41, 5_000, 99_000))
    # fmt: off
    broken = (
        f"[{whole}]", whole * 2, begun, whole.replace('"', "'"), "// " + whole, "\ufeff" + whole,
        "phone,name", "null",
        "7", '"phone"', "{}", "[]", '{"phone":true}', '{"phone":null}', '{"phone":-0.0}',
        '{"phone":{"phone":"x"}}',
        begun + ',"phone":"x"}', begun + ',"":1}', begun + ',"n":NaN}', begun + ',"n":1e999}',
        begun + ',"a\\nb":[1]}',
        begun + ',"n":' + "9" * 6000 + "}", begun + ',"\\ud800":"x"}', begun + ',"z":"\\u0000"}',
        "[" * depth,
        begun + ',"n":' + "[" * depth + "]" * depth + "}", '{"a":' * depth + "1" + "}" * depth,
        begun + ',"' + "k" * length + '":"x"}', begun + ',"+37060000001":{}}',
    )
    # fmt: on
    if dice.random() < 0.8:
        lines[at] = dice.choice(broken)
    return _encoded(dice, dice.choice(("\n", "\n", "\r\n", "\r", ",\n")).join(lines)), table.phones


def _damaged_file(dice: Random) -> Source:
    data = bytearray(dice.choice((_csv_file, _jsonl_file))(dice)[0])
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = dice.randbytes(1)
            case 1:
                data[at:at] = dice.choice(
                    (b"\0", b"\xff", b"\xc3", b'"', b"\r", b"\xef\xbb\xbf", b"\xed\xa0\x80")
                )
            case 2:
                del data[at : at + dice.randrange(1, 4)]
            case 3:
                data[at:at] = data[: dice.randrange(1, 60)]
            case _:
                del data[at:]
    return bytes(data), None


def _binary_file(dice: Random) -> Source:
    junk = dice.randbytes(dice.choice((0, 1, 2, 3, 40, 3000)))
    head = dice.choice((b"", b"PK\x03\x04", b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08", b"phone\n"))
    return dice.choice((head + junk, zlib.compress(junk), head + b"\n \t\r\n" * dice.randrange(9))), None


def _huge_file(dice: Random) -> Source:
    """Cells, rows, headers and names far beyond any bound."""
    phone, size = _number(dice), dice.choice((100_001, 1_000_001, _HUGE))
    header = ",".join(f"c{number}" for number in range(min(size, 120_000)))
    texts = (
        f"phone,name\n{phone},{'x' * size}\n",
        f'phone,name\n{phone},"{"x" * size}\n',
        f"phone,{'n' * size}\n{phone},x\n",
        f"phone{',' * size}\n{phone}\n",
        f"phone,{header}\n{phone},\n",
        f'{{"phone":"{phone}","name":"{"x" * size}"}}\n',
        f'{{"phone":"{phone}","{"k" * size}":1}}\n',
        "\n" * size + f"phone\n{phone}",
    )
    return dice.choice(texts).encode(), {phone}


def _known_file(dice: Random) -> Source:
    """One of three lists, again and again, under few submission keys."""
    phones = {"+37060000008", *(_number(Random(number)) for number in range(dice.choice((0, 0, 0, 1, 4))))}
    return "\n".join(["phone", *sorted(phones)]).encode(), phones


# --- what other programs hand over -----------------------------------------------------------------------


class _Odd:
    """An object of somebody else's."""

    def __str__(self) -> str:
        return SECRET


def _foreign(dice: Random) -> Source:
    table = _table(dice)
    rows: list[Any] = list(table.objects()) or [{"phone": _phone(dice)[0]}]
    at = dice.randrange(len(rows))
    row = rows[at]
    # fmt: off
    odd: Any = dice.choice((
        None, [], {}, (), b"+37060000001", float("nan"), float("inf"), -0.0, 1e30, 10**5000, True,
        Decimal("1.5"),
        _Odd(), {"a": 1}, ["x"], {1, 2}, 37060000001, 3.7060000001e10, range(3), object, "\ud800",
        "\0", "x" * 300_000,
    ))
    # fmt: on
    if dice.random() < 0.01:
        odd = "x" * _HUGE
    key = odd if isinstance(odd, str | int | float | bytes | None) else 7
    shapes: tuple[Any, ...] = (
        odd,
        list(row.items()),
        row | {7: "x", "7": "y"},
        row | {key: "x"},
        row | {"": "x"},
    )
    shapes += (
        row | {"k" * dice.choice((41, 100_000)): odd},
        row | {"phone": odd},
        row | {"+37060000001": odd},
    )
    shapes += (row | {dice.choice(("name", "sum", "extra")): odd},) * 4
    if dice.random() < 0.8:
        rows[at] = dice.choice(shapes)
    whole: Any = rows
    if dice.random() < 0.1:
        whole = dice.choice((tuple(rows), iter(rows), row, None, "phone", 7, b"phone\n", [rows], [None], []))
    return whole, None if isinstance(odd, int | float | bytes) or not table.rows else table.phones


# --- what is wanted with it --------------------------------------------------------------------------------

# fmt: off
_TEXTS = (
    "Hello", "Hi {name}", "{phone}", "{ First Name }", "{0}", "{}", "{0.__class__}", "{name!r}",
    "{name:>10}", "{{",
    "}}", "{{{{", "{{name}", "{name", "name}", "{a{b}}", "{+37060000001}", "{a\nb}", "{\x1b[2J}",
    "{" + "x" * 500 + "}",
    "%s %", "", " ", "\u200b", "\0", "\ud83d", "{name[0]}", "{self.__init__.__globals__}", "{" * 5001,
    "{name}" * 3000,
    "😀" * 700, "{Name}", "{slapta4711 +37060000001}",
)
_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "text": (*_TEXTS, None, 7, b"x", ["Hello"]),
    "region": ("lt", "XX", "", "LTU", "DE", "US", "+37060000001", "L\nT", "🇱🇹", 7, [], b"LT", "\ud800"),
    "on_doubt": ("", "HOLD", "guess", None, 7, [], {}, "+37060000001"),
    "sender_id": ("", " ", "\0", "\ud800", "S" * 5000, None, 7, "+37060000001"),
    "name": ("", "\0", "n" * 100_000, None, 7, "a\nb"),
    "phone_column": ("", " ", "number", "\0", "\ud800", "+37060000001", "p" * 5000, "PHONE", None, 7,
    "a\nb"),
    "submission_key": ("", "k" * 201, "\x1b" * 200, "\0", "+37060000001", "+37060000001", 0, 7, "a\nb",
    "a\nb"),
}
# fmt: on


def _wanted(dice: Random) -> submission.Submission:
    text = dice.choice(("Hello", "Hello", "Hello", "Hi {name}", dice.choice(_TEXTS)))
    if dice.random() < 0.1:
        text = "".join(dice.choices("{}{}ab!:.[]% \n", k=dice.randrange(1, 40)))
    made = submission.Submission(
        AccountTerms("main"), text, "Demo", "garbage", region=dice.choice((None, None, None, "LT"))
    )
    if dice.random() < 0.15:
        name = dice.choice(sorted(_FIELDS))
        made = replace(made, **{name: dice.choice(_FIELDS[name])})
    return made


_KINDS: Mapping[str, tuple[float, Callable[[Random], Source]]] = {
    "csv": (34, _csv_file),
    "jsonl": (20, _jsonl_file),
    "damaged": (16, _damaged_file),
    "binary": (6, _binary_file),
    "foreign": (21, _foreign),
    "huge": (0.5, _huge_file),
    "known": (2.5, _known_file),
}


def garbage(number: int) -> Garbage:
    """The submission of that number."""
    dice = Random(f"{SEED}:{number}")
    kind = dice.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
    source, phones = _KINDS[kind][1](dice)
    wanted = _wanted(dice)
    if kind == "known":
        text = dice.choice(("Hello", "Hello", "Hello", "Hi"))
        wanted = replace(wanted, text=text, region=None, submission_key=f"known-{dice.randrange(3)}")
    is_certain = phones is not None and wanted.region in (None, "LT") and wanted.phone_column == "phone"
    return Garbage(kind, wanted, source, frozenset(phones or ()) if is_certain else None)
