"""Files as programs write them: all that has one meaning is read."""

import codecs

import pytest

from campaigns.domain.recipients import read_recipients
from tests.unit.recipient_rows import rows_in

ONE = {"phone": "+37061234567", "name": "Ona"}


def read(content: str | bytes) -> list[tuple[int, dict[str, str]]]:
    data = content if isinstance(content, bytes) else content.encode()
    return rows_in(read_recipients([data], format=None, name="list.csv"))


@pytest.mark.parametrize(
    ("program", "content", "row"),
    [
        ("Excel: columns that were used once", "phone,name,,\n+37061234567,Ona,,\n", 2),
        ("Excel: and between the others", "phone,,name\n+37061234567,  ,Ona\n", 2),
        ("Excel: cells it leaves out at the end", "phone,name,city\n+37061234567,Ona\n", 2),
        ("Excel: cells too many, all empty", "phone,name\n+37061234567,Ona,,,\n", 2),
        ("Excel: sep=", "sep=;\nphone;name\n+37061234567;Ona\n", 3),
        ("Excel: sep= beside commas", "sep=;\r\nphone;name\r\n+37061234567;Ona\r\n", 3),
        ("LibreOffice: sep= in quotes", '"sep=|"\nphone|name\n+37061234567|Ona\n', 3),
        ("Excel: as Unicode text", "phone\tname\n+37061234567\tOna\n".encode("utf-16"), 2),
        ("PowerShell: type information", '#TYPE System.Object\n"phone","name"\n"+37061234567","Ona"\n', 3),
        ("PowerShell: both", "#TYPE X Y\nsep=;\nphone;name\n+37061234567;Ona\n", 4),
        ("bcp: UTF-16 without a mark", "phone,name\n+37061234567,Ona\n".encode("utf-16-le"), 2),
        ("Java: the other order of bytes", "phone,name\n+37061234567,Ona\n".encode("utf-16-be"), 2),
        ("iconv: UTF-32", "phone,name\n+37061234567,Ona\n".encode("utf-32"), 2),
        ("DOS: Ctrl-Z", "phone,name\r\n+37061234567,Ona\r\n\x1a", 2),
        ("a mark of byte order, twice", codecs.BOM_UTF8 * 2 + b"phone,name\n+37061234567,Ona\n", 2),
        ("twice, before JSON", codecs.BOM_UTF8 * 2 + b'{"phone": "+37061234567", "name": "Ona"}\n', 1),
        ("a zero-width space in the header", "\u200bphone,name\u200e\n+37061234567,Ona\n", 2),
        ("a no-break space in the header", "phone\u00a0,\u00a0name\n+37061234567,Ona\n", 2),
        ("a line break in the header", '"phone\n","name\r\n"\n+37061234567,Ona\n', 2),
    ],
)
def test_what_a_program_adds_of_its_own_is_passed_over(program: str, content: str | bytes, row: int) -> None:
    ((found_row, fields),) = read(content)
    assert {name: value for name, value in fields.items() if value} == ONE
    if "line break" not in program:  # the reader counts what it read, not the lines of a name
        assert found_row == row


def test_a_header_from_macos_is_the_same_as_one_typed() -> None:
    """In two characters there, in one elsewhere."""
    ((_, fields),) = read("phone,pre\u0301nom\n+37061234567,Ona\n")
    assert list(fields) == ["phone", "pr\u00e9nom"]


def test_what_databases_write_for_nothing_is_empty() -> None:
    assert read("phone\tname\tcity\n+37061234567\t\\N\tVilnius\n") == [
        (2, {"phone": "+37061234567", "name": "", "city": "Vilnius"})
    ]


def test_a_value_that_only_holds_such_marks_is_kept() -> None:
    """Inside a cell they are somebody's text."""
    assert read("phone,name\n1,a\\N\n2,x\x1ay\n") == [
        (2, {"phone": "1", "name": "a\\N"}),
        (3, {"phone": "2", "name": "x\x1ay"}),
    ]


def test_sep_in_a_later_row_is_data() -> None:
    assert read("phone,name\nsep=;,x\n") == [(2, {"phone": "sep=;", "name": "x"})]
