"""Garbage in: submissions nobody should have made. Each becomes a campaign that adds up, or one sentence
and nothing stored; the process lives on and does not grow.

Every submission is made of the seed and its number alone, so that the one a failure names can be made again.
"""

import asyncio
import csv
import gc
import io
import json
import os
import re
import subprocess
import threading
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from campaigns import batching, submission
from campaigns.domain.errors import CampaignError
from campaigns.domain.recipients import read_recipients
from campaigns.domain.segments import count_segments
from campaigns.store.intake import TakenIn
from campaigns.store.session import Database
from tests.acceptance.processes import BIN, environment
from tests.chaos.storm import SEED
from tests.conftest import POLICY
from tests.integration.rows import query
from worker.embedded.stack import ServerUrls

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

COUNT = int(os.environ.get("CHAOS_GARBAGE", "10000"))
AT_ONCE = 4
GROWTH_BYTES = 64 * 1024 * 1024  # between the first fifth and the end: caches fill, nothing else stays

# In every cell that is no number, and in no name of a column: what must never be said.
SECRET = "slapta4711"

# --- what garbage is made of -------------------------------------------------------------------------

Made = tuple[str, str | None]  # what stands in the cell, and the number it is, where it is one
Dice = Random


def _digits(dice: Dice, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def _number(dice: Dice) -> str:
    return f"+3706{_digits(dice, 7)}"


def _phone(dice: Dice) -> Made:
    """A number in some spelling; more often than not it is none."""
    phone = _number(dice)
    spelled: list[Callable[[], Made]] = [
        lambda: (phone, phone),
        lambda: (phone, phone),
        lambda: (f" {phone[:4]} {phone[4:7]}-{phone[7:]} ", phone),
        lambda: (f"'{phone}", phone),
        lambda: (f"={phone}", phone),
        lambda: (f"00{phone[1:]}", phone),
        lambda: (f"{phone[1:]}.0", phone),
        lambda: (phone.translate({ord("0") + n: 0x0660 + n for n in range(10)}), phone),
        lambda: (f'=HYPERLINK("{phone}")', None),
        lambda: (f"{phone} {_number(dice)}", None),
        lambda: (f"{phone}x12", None),
        lambda: (f"{phone[:-3]}E+10", None),
        lambda: (phone[:-2], None),
        lambda: (phone + _digits(dice, 9), None),
        lambda: (phone + "\0", None),
        lambda: (phone + "\ud83d", None),
        lambda: ("+999" + _digits(dice, 8), None),
        lambda: ("+" * dice.randrange(300), None),
        lambda: (_digits(dice, dice.choice((3, 20, 60, 400))), None),  # of no length that is a number's
        lambda: (
            dice.choice(["", " ", "\u200b", "nan", "#REF!", "NULL", "-", "\ufeff", "٣", "½", "²²²²²²²"]),
            None,
        ),
        lambda: (SECRET, None),
    ]
    return dice.choice(spelled)()


_CELLS = (
    "", "=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "-1", "Žydrūnė", "𝔘𝔫𝔦 😀👩‍👩‍👧", "\u202eRTL\u2066", "e\u0301" * 9,
    "{name}", "{0.__class__}", "{{", "%s%(name)s%n", "'); DROP TABLE message;--", "<script>", "a\nb", "a\r\nb",
    'say "hi"', '"', "\\", "\\N", "\\.", "a;b,c\td|e", "\x1b[2J\x07", "\x00", "\ud800", "\udfff", "null", "\u2028\x85",
    "+37060000009", "8 600 00009", "ﷺ" * 40, "x" * 2000, "ė" * 700,
)  # fmt: skip


def _cell(dice: Dice) -> str:
    return dice.choice(("", SECRET, SECRET)) + dice.choice(_CELLS) + _digits(dice, dice.randrange(4))


@dataclass(slots=True)
class Table:
    """A header, rows, and the numbers that stand in it."""

    header: list[str]
    rows: list[list[str]]
    phones: set[str]

    def objects(self) -> list[dict[str, Any]]:
        return [dict(zip(self.header, row, strict=False)) for row in self.rows]


def _table(dice: Dice, *, tame: bool = False) -> Table:
    names = dice.sample(
        ["name", "sum", "First Name", "miestas", "Date", "NAME ", "kodas", "ĄČĘ"], dice.randrange(5)
    )
    place = dice.randrange(len(names) + 1)
    header = [*names[:place], dice.choice(("phone", "phone", "Phone", " PHONE")), *names[place:]]
    rows, phones = [], set()
    for _ in range(dice.choice((0, 1, 1, 2, 3, 5, 8))):
        raw, phone = (number := _number(dice), number) if tame else _phone(dice)
        cells = ["Ona" if tame else _cell(dice) for _ in names]
        rows.append([*cells[:place], raw, *cells[place:]])
        if phone is not None:
            phones.add(phone)
    return Table(header, rows, phones)


# --- files ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Garbage:
    """One submission: a file's bytes, or whatever another program calls recipients."""

    kind: str
    wanted: submission.Submission
    source: Any
    planted: frozenset[str] | None  # the numbers it names; None where damage may have made others of them


def _csv(dice: Dice, table: Table) -> str:
    out = io.StringIO()
    style = dice.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    delimiter = dice.choice(",,;\t|")
    csv.writer(out, delimiter=delimiter, quoting=style, lineterminator="\n").writerows(
        [table.header, *table.rows]
    )
    return out.getvalue() if dice.random() < 0.9 else out.getvalue().replace('"', "")


def _torn_lines(dice: Dice, text: str) -> str:
    """Damage that a spreadsheet, an editor or a hasty script does."""
    lines = text.split("\n")
    at = dice.randrange(len(lines))
    ends = dice.choice(
        (["\r"], ["\r\n"], ["\n", "\r", "\r\n"], ["\n\n", "\r\r\n"], ["\u2028", "\n"], ["\x0b", "\n"])
    )
    torn: list[Callable[[], str]] = [
        lambda: "".join(line + dice.choice(ends) for line in lines),
        lambda: "\n".join(
            [*lines[:at], lines[at] + dice.choice(",;\t|") * dice.randrange(1, 9), *lines[at + 1 :]]
        ),
        lambda: "\n".join([*lines[:at], lines[at].rpartition(",")[0], *lines[at + 1 :]]),
        lambda: "\n".join(lines[1:]),
        lambda: "\n".join([lines[0], *lines]),
        lambda: "\n".join(["", " \t", *lines]),
        lambda: "\n".join(
            [lines[0].replace("phone", dice.choice(("", "name", "fone", '"phone'))), *lines[1:]]
        ),
        lambda: "\n".join([f"{lines[0]},phone,", *(f"{line},x," for line in lines[1:])]),
        lambda: "\n".join([*lines[:at], "sep=;", *lines[at:]]),
        lambda: text[: dice.randrange(len(text) + 1)],
    ]
    return dice.choice(torn)()


_ENCODINGS = (
    "utf-8",
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


def _encoded(dice: Dice, text: str) -> bytes:
    encoding = dice.choice(("utf-8",) * 6 + _ENCODINGS)
    try:
        return text.encode(encoding, "surrogatepass" if encoding.startswith("utf-") else "replace")
    except UnicodeEncodeError:  # utf-7 knows no halves
        return text.encode(encoding, "replace")


def _csv_file(dice: Dice) -> tuple[bytes, set[str] | None]:
    table = _table(dice)
    text = _csv(dice, table)
    for _ in range(dice.choice((0, 1, 1, 2))):
        text = _torn_lines(dice, text)
    return _encoded(dice, text), table.phones


def _damaged_file(dice: Dice) -> tuple[bytes, set[str] | None]:
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


def _jsonl_file(dice: Dice) -> tuple[bytes, set[str] | None]:
    table = _table(dice)
    lines = [json.dumps(row, ensure_ascii=dice.random() < 0.5) for row in table.objects()] or ["{}"]
    at = dice.randrange(len(lines))
    depth = dice.choice((3, 900, 5_000, 60_000))
    broken = (
        lines[at], lines[at], lines[at], f"[{lines[at]}]", lines[at] * 2, lines[at][:-1], lines[at].replace('"', "'"),
        lines[at][:-1] + ',"phone":"x"}', lines[at][:-1] + ',"":1}', lines[at][:-1] + ',"n":NaN}', "// " + lines[at],
        lines[at][:-1] + ',"a\\nb":[1]}', lines[at][:-1] + ',"n":' + "9" * 6000 + "}", lines[at][:-1] + ',"n":1e999}',
        lines[at][:-1] + ',"n":' + "[" * depth + "]" * depth + "}", '{"a":' * depth + "1" + "}" * depth, "[" * depth,
        lines[at][:-1] + ',"' + "k" * dice.choice((41, 5_000, 99_000)) + '":"x"}', "null", "7", '"phone"', "{}", "[]",
        lines[at][:-1] + ',"\\ud800":"x"}', lines[at][:-1] + ',"z":"\\u0000"}', '{"phone":{"phone":"x"}}',
        '{"phone":true}', '{"phone":null}', '{"phone":-0.0}', "\ufeff" + lines[at], "phone,name",
    )  # fmt: skip
    lines[at] = dice.choice(broken)
    return _encoded(dice, dice.choice(("\n", "\n", "\r\n", "\r", ",\n")).join(lines)), table.phones


def _binary_file(dice: Dice) -> tuple[bytes, set[str] | None]:
    junk = dice.randbytes(dice.choice((0, 1, 2, 3, 40, 3000)))
    heads = (
        b"",
        b"PK\x03\x04",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"\x1f\x8b\x08",
        b"\xd0\xcf\x11\xe0",
        b"phone\n",
    )
    blank = b"\n \t\r\n" * dice.randrange(9)
    return dice.choice(
        (dice.choice(heads) + junk, zlib.compress(junk), blank, dice.choice(heads) + blank)
    ), None


_HUGE = 10_000_000


def _huge_file(dice: Dice) -> tuple[bytes, set[str] | None]:
    """Cells, rows, headers and names far beyond any bound."""
    phone = _number(dice)
    size = dice.choice((100_001, 1_000_001, _HUGE))
    text = dice.choice((
        f"phone,name\n{phone},{'x' * size}\n",
        f'phone,name\n{phone},"{"x" * size}\n',
        f"phone,{'n' * size}\n{phone},x\n",
        f"phone{',' * size}\n{phone}\n",
        "phone," + ",".join(f"c{n}" for n in range(min(size, 120_000))) + "\n" + phone + ",\n",
        f'{{"phone":"{phone}","name":"{"x" * size}"}}\n',
        f'{{"phone":"{phone}","{"k" * size}":1}}\n',
        "\n" * size + "phone\n" + phone,
    ))  # fmt: skip
    return text.encode(), {phone}


# --- what other programs hand over -----------------------------------------------------------------------


class Odd:
    """An object of somebody else's."""

    def __str__(self) -> str:
        return SECRET


def _foreign(dice: Dice) -> tuple[Any, set[str] | None]:
    table = _table(dice)
    rows: list[Any] = list(table.objects()) or [{"phone": _phone(dice)[0]}]
    at = dice.randrange(len(rows))
    odd: Any = dice.choice((
        None, [], {}, (), b"+37060000001", float("nan"), float("inf"), -0.0, 1e30, 10**5000, True, Decimal("1.5"), Odd(),
        {"a": 1}, ["x"], {1, 2}, 37060000001, 3.7060000001e10, range(3), object, "\ud800", "\0", "x" * 300_000,
    ))  # fmt: skip
    if dice.random() < 0.02:
        odd = "x" * _HUGE
    if isinstance(rows[at], dict):
        shapes: list[Callable[[], Any]] = [
            lambda: rows[at] | {dice.choice(("name", "sum", "extra", "phone")): odd},
            lambda: rows[at] | {"phone": odd},
            lambda: rows[at] | {odd if isinstance(odd, str | int | float | bytes | None) else 7: "x"},
            lambda: rows[at] | {7: "x", "7": "y"},
            lambda: rows[at] | {"k" * dice.choice((41, 100_000)): odd},
            lambda: rows[at] | {"": "x"},
            lambda: odd,
            lambda: list(rows[at].items()),
        ]
        rows[at] = dice.choice(shapes)()
    whole: list[Any] = [rows] * 12 + [
        tuple(rows),
        iter(rows),
        {"phone": "x"},
        None,
        "phone",
        7,
        b"phone\n",
        [rows],
        [None],
    ]
    return dice.choice(whole), None if isinstance(odd, int | float | bytes) else table.phones


# --- what is wanted with it --------------------------------------------------------------------------------

_TEXTS = (
    "Hello", "Hi {name}", "{phone}", "{ First Name }", "{0}", "{}", "{0.__class__}", "{name!r}", "{name:>10}", "{{", "}}",
    "{{{{", "{{name}", "{name", "name}", "{a{b}}", "{+37060000001}", "{a\nb}", "{\x1b[2J}", "{" + "x" * 500 + "}", "%s %",
    "", " ", "\u200b", "\0", "\ud83d", "{name[0]}", "{self.__init__.__globals__}", "{" * 5001, "{name}" * 3000, "😀" * 700,
    "{Name}", "{slapta4711 +37060000001}",
)  # fmt: skip
_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "text": (*_TEXTS, None, 7, b"x", ["Hello"]),
    "region": ("lt", "XX", "", "LTU", "DE", "US", "+37060000001", "L\nT", "🇱🇹", 7, [], b"LT", "\ud800"),
    "on_doubt": ("", "HOLD", "guess", None, 7, [], {}, "+37060000001"),
    "sender_id": ("", " ", "\0", "\ud800", "S" * 5000, None, 7, "+37060000001"),
    "name": ("", "\0", "n" * 100_000, None, 7, "a\nb"),
    "phone_column": ("", " ", "number", "\0", "\ud800", "+37060000001", "p" * 5000, "PHONE", None, 7, "a\nb"),
    "submission_key": ("", "k" * 201, "\x1b" * 200, "\0", "+37060000001", "+37060000001", 7, "a\nb", "a\nb"),
    "account": ("\0", "\ud800", None, 7),
    "currency": ("\0", 7, "x" * 5000),
}  # fmt: skip


def _wanted(dice: Dice) -> submission.Submission:
    text = dice.choice(("Hello", "Hello", "Hi {name}", "Hi {name}", dice.choice(_TEXTS)))
    if dice.random() < 0.1:
        text = "".join(dice.choices("{}{}ab!:.[]% \n", k=dice.randrange(1, 40)))
    made = submission.Submission(
        "main", text, "Demo", "garbage", region=dice.choice((None, None, None, "LT"))
    )
    if dice.random() < 0.15:
        field = dice.choice(sorted(_FIELDS))
        made = replace(made, **{field: dice.choice(_FIELDS[field])})
    return made


_KINDS: Mapping[str, tuple[int, Callable[[Dice], tuple[Any, set[str] | None]]]] = {
    "csv": (34, _csv_file),
    "jsonl": (20, _jsonl_file),
    "damaged": (18, _damaged_file),
    "binary": (6, _binary_file),
    "foreign": (21, _foreign),
    "huge": (1, _huge_file),
}


def garbage(number: int) -> Garbage:
    """The submission of that number."""
    dice = Random(f"{SEED}:{number}")
    kind = dice.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
    if kind == "huge" and dice.random() < 0.5:
        kind = "csv"
    source, phones = _KINDS[kind][1](dice)
    wanted = _wanted(dice)
    is_known = phones is not None and wanted.region in (None, "LT") and wanted.phone_column == "phone"
    return Garbage(kind, wanted, source, frozenset(phones or ()) if is_known else None)


# --- the judge ---------------------------------------------------------------------------------------------

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONG_NUMBER = re.compile(r"\d(?:[ ()./-]?\d){6,}")


def _complaint(error: BaseException) -> str | None:
    """What is wrong with a refusal; None when it is one sentence a person may see."""
    said = str(error)
    bare = _UUID.sub("", said).replace("+37060000000", "")  # our own example
    whole = "".join(traceback.format_exception(error))
    troubles = {
        f"{type(error).__name__} is no error of ours": not isinstance(error, CampaignError),
        "it is empty": not said.strip(),
        "it has more than 400 characters": len(said) > 400,
        "it is more than a line, or moves the cursor": not said.isprintable(),
        "it holds a number": _LONG_NUMBER.search(bare) is not None,
        "it holds what stood in a cell": SECRET in said,
        "an error behind it holds what stood in a cell": SECRET in whole,
        "it holds a traceback": "Traceback" in said or 'File "' in said,
    }
    return next((trouble for trouble, is_so in troubles.items() if is_so), None)


@dataclass(slots=True)
class Tally:
    """What the submissions came to."""

    taken: dict[UUID, tuple[int, TakenIn, frozenset[str] | None]]
    sentences: Counter[str]
    kinds: Counter[str]
    known_count: int = 0


async def _try(database: Database, number: int, tally: Tally) -> None:
    """One submission, the way the doors make it: a file through the reader, a list through rows_of."""
    made = garbage(number)
    row_count = 0

    def counted(rows: Iterator[tuple[int, Mapping[str, str]]]) -> Iterator[tuple[int, Mapping[str, str]]]:
        nonlocal row_count
        for row in rows:
            row_count += 1
            yield row

    try:
        if isinstance(made.source, bytes) and made.kind != "foreign":
            rows = iter(read_recipients([made.source], format=None, name="list.csv"))
        else:
            rows = submission.rows_of(made.source)
        taken = await submission.submit(
            database, POLICY, made.wanted, counted(rows), batch_size=batching.BATCH_SIZE
        )
    except Exception as error:
        trouble = _complaint(error)
        assert trouble is None, f"submission {number} ({made.kind}): {trouble}: {str(error)[:600]!r}"
        tally.sentences[re.sub(r"\d+|'[^']*'|\([^)]*\)", "…", str(error))] += 1
        return
    tally.kinds[made.kind] += 1
    if not taken.created:
        tally.known_count += 1
        return
    assert taken.recipient_count >= 1
    assert taken.recipient_count + sum(taken.refused.values()) == row_count, f"submission {number} lost a row"
    tally.taken[taken.id] = (number, taken, made.planted)


async def _assert_exactly_that_is_stored(database: Database, tally: Tally) -> None:
    """Every row that is there belongs to a campaign that was taken in, and adds up."""
    stored = await query(
        database,
        "SELECT c.id, c.recipient_count, c.refused::text AS refused,"
        " (SELECT coalesce(sum(b.message_count), 0) FROM batch b WHERE b.campaign_id = c.id) AS in_batches,"
        " (SELECT count(*) FROM refusal r WHERE r.campaign_id = c.id) AS refusals,"
        " array(SELECT m.phone FROM batch b JOIN message m ON m.batch_id = b.id WHERE b.campaign_id = c.id)"
        " AS phones FROM campaign c",
    )
    assert {row["id"] for row in stored} == set(tally.taken)
    for row in stored:
        number, taken, planted = tally.taken[row["id"]]
        assert row["recipient_count"] == row["in_batches"] == len(row["phones"]) == taken.recipient_count
        assert json.loads(row["refused"]) == dict(taken.refused)
        assert row["refusals"] == sum(taken.refused.values())
        assert len(set(row["phones"])) == len(row["phones"])
        assert planted is None or set(row["phones"]) <= planted, f"submission {number}: a number was made up"
    (counted,) = await query(
        database,
        "SELECT (SELECT count(*) FROM message) AS messages, (SELECT count(*) FROM refusal) AS refusals",
    )
    takens = [taken for _, taken, _ in tally.taken.values()]
    assert counted["messages"] == sum(taken.recipient_count for taken in takens)
    assert counted["refusals"] == sum(sum(taken.refused.values()) for taken in takens)


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_17_garbage_is_refused_whole_or_taken_in_whole(database: Database) -> None:
    tally = Tally({}, Counter(), Counter())
    numbers = iter(range(COUNT))

    async def work() -> None:
        for number in numbers:
            await _try(database, number, tally)

    async def up_to(end: int) -> None:
        nonlocal numbers
        numbers = iter(range(done, end))
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    done, before, files, threads = 0, 0, 0, 0
    steps = 10
    for step in range(1, steps + 1):
        end = COUNT * step // steps
        await up_to(end)
        done = end
        await _assert_exactly_that_is_stored(database, tally)
        if step == 2:
            before, files, threads = _resident_bytes(), _open_files(), threading.active_count()
    grown = _resident_bytes() - before
    print(
        json.dumps(
            {
                "submissions": COUNT,
                "taken_in": dict(tally.kinds),
                "sentences": len(tally.sentences),
                "grown": grown,
            }
        )
    )
    for k, v in tally.sentences.most_common():
        print(v, k)
