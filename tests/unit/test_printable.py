"""What others wrote cannot command a terminal nor a spreadsheet, in whatever form it is shown."""

import csv
import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli import terminal
from worker.cli.printable import json_of, printable
from worker.csv_cells import cell as csv_cell
from worker.csv_cells import is_formula

ANY_TEXT = st.text(st.characters(), max_size=30)
NASTY = [
    "Sale [/b]",
    "\x1b[2J\x1b]0;T\x07x",
    "\x9b31m",
    "a\r\nfinished",
    "\u202egpj.exe",
    "\udcff",
    "\u2028x",
]
OBEYED = "\x00\x07\x08\r\x1b\x7f\x9b\u200e\u202e\u2028\u2066\udcff"


@given(ANY_TEXT)
@example(OBEYED)
def test_printable_keeps_the_length_and_stays_on_its_line(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not set(shown) & set(OBEYED + "\n\t")
    assert printable(shown) == shown


def test_words_as_people_write_them_are_left_alone() -> None:
    for text in ("Žąsis čia [0.5] <b>", "Привет, 你好 👩‍👩‍👧 नमस्ते", "مرحبا", "A\u00a0B — “x” €"):
        assert printable(text) == text


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("form", [str, Text, "table"])
def test_no_console_of_ours_lets_it_through(text: str, form: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed as it is, as a text, as a cell; markup is not obeyed either."""
    written = io.StringIO()
    monkeypatch.setattr(terminal.out, "_file", written)
    shown: object = text
    if form is Text:
        shown = Text(text)
    elif form == "table":
        shown = Table("name")
        shown.add_row(text)
    terminal.out.print(shown)
    assert not set(written.getvalue()) & set(OBEYED)
    assert ("[/b]" in written.getvalue()) is ("[/b]" in text)
    assert isinstance(terminal.out, Console)


@given(ANY_TEXT)
def test_json_says_the_same_without_what_is_obeyed(text: str) -> None:
    line = json_of({text: text})
    assert json.loads(line) == json.loads(json.dumps({text: text}))
    assert not set(line) & set(OBEYED + "\n")


@given(st.lists(ANY_TEXT, min_size=2, max_size=4))
@example(["Ona\r=1+1", "x"])
def test_a_row_reads_back_as_it_was_whatever_is_in_it(cells: list[str]) -> None:
    """Also where Python's own writer leaves a lone CR unquoted."""
    row = ",".join(csv_cell(cell, is_others=True, raw=True, excel=False) for cell in cells) + "\n"
    assert list(csv.reader(io.StringIO(row, newline=""))) == [cells]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        " =1",
        "\ufeff=1",
        "\u200b=1",
        "\x00x",
        "﹦1",
        "\xa0@x",
    ],
)
def test_a_formula_gets_an_apostrophe_and_raw_leaves_it_out(text: str) -> None:
    assert is_formula(text)
    cell = csv_cell(text, is_others=True, raw=False, excel=False)
    assert next(csv.reader(io.StringIO(cell, newline=""))) == [f"'{text}"]
    assert next(
        csv.reader(io.StringIO(csv_cell(text, is_others=True, raw=True, excel=False), newline=""))
    ) == [text]


@pytest.mark.parametrize("text", ["", "Ona", "a=b", "8 600", "'=1", "ąž", "«x»", "(1)", "👍"])
def test_other_words_are_left_alone(text: str) -> None:
    assert not is_formula(text)


def test_for_excel_numbers_are_kept_to_the_digit() -> None:
    shown = [
        csv_cell(text, is_others=False, raw=False, excel=True) for text in ("+37060000001", "007", "42", "x")
    ]
    assert shown == ['"=""+37060000001"""', '"=""007"""', "42", "x"]
