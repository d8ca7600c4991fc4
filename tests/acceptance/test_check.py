"""`campaigns check` as a process: what it prints for people, for programs, and for a file to mend."""

import csv
import io

import pytest

from tests.acceptance.processes import Stack, csv_of

pytestmark = pytest.mark.acceptance

ROWS = [
    {"phone": "+37060000001", "name": "Ona", "note": "=1+1"},
    {"phone": "12", "name": "Nobody", "note": "=1+1"},
    {"phone": "+370 600 00001", "name": "Ona again", "note": ""},
    {"phone": "+37060000002", "name": "", "note": "a b"},
]
COMMAND = ("check", "-", "--account", "main", "--text", "Hello {name}")


def test_it_says_the_same_to_people_and_to_programs_and_leaves_nothing(stack: Stack) -> None:
    stack.simulator()

    said = stack.run(*COMMAND, stdin=csv_of(ROWS)).stdout.decode()
    checked = stack.json(*COMMAND, stdin=csv_of(ROWS))

    assert "1 of 4 rows would be sent to, in 1 batches" in said
    assert "1 not taken in: empty_cell" in said
    assert "the cost is not known" in said
    assert "+3706" not in said, "numbers are nobody's business in a terminal's history"
    assert (checked["row_count"], checked["message_count"], checked["unused_columns"]) == (4, 1, ["note"])
    assert [(each["reason"], each["rows"]) for each in checked["refused"]] == [
        ("duplicate", [4]),
        ("empty_cell", [5]),
        ("no_region", [3]),
    ]
    assert checked["sample"] == [
        {
            "row": 2,
            "phone": "+********001",
            "text": "Hello Ona",
            "encoding": "gsm7",
            "segment_count": 1,
        }
    ]
    assert checked["cost"]["balance"]["currency"] == "EUR"
    assert stack.json("list") == []


def test_refused_rows_are_a_csv_that_can_be_mended_and_checked_again(stack: Stack) -> None:
    stack.simulator()

    done = stack.run(*COMMAND, "--refused", stdin=csv_of(ROWS))

    (short, empty) = csv.DictReader(io.StringIO(done.stdout.decode()))
    assert (short["phone"], short["note"], short["row"], short["reason"]) == ("12", "'=1+1", "3", "no_region")
    assert (empty["name"], empty["note"], empty["row"]) == ("", "a b", "5")
    assert empty["how_to_mend"].endswith("(column name)")
    assert b"rows would be sent to" in done.stderr
    mended = done.stdout.replace(b"12,", b"+37060000003,").replace(b"+37060000002,,", b"+37060000002,Jonas,")
    assert stack.json(*COMMAND, stdin=mended)["message_count"] == 2


def test_what_would_be_refused_as_a_whole_is_exit_code_1(stack: Stack) -> None:
    stack.simulator()

    nobody = stack.run(*COMMAND, stdin=csv_of(ROWS[1:2]), check=False)
    missing = stack.run(*COMMAND[:-1], "Hello {town}", stdin=csv_of(ROWS), check=False)

    assert (nobody.returncode, missing.returncode) == (1, 1)
    assert b"it would be refused: not one of the 1 recipients can be sent to" in nobody.stdout
    assert b"{town}" in missing.stderr
    assert stack.run(*COMMAND, "--refused", "--json", check=False).returncode == 2
