"""What people hand in as a list: opened, or named for what it is."""

import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from campaigns.domain.errors import SubmissionError
from campaigns.recipient_files import open_recipients
from tests.unit.recipient_rows import rows_in

CSV = b"phone,name\n+37061234567,Ona\n"
ONE = [(2, {"phone": "+37061234567", "name": "Ona"})]


def read(data: bytes, *, sheet: str | None = None, size: int = 7) -> list[tuple[int, dict[str, str]]]:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    with open_recipients(pieces, "list", sheet=sheet) as file:
        return rows_in(file)


def refusal(data: bytes, *, sheet: str | None = None) -> str:
    with pytest.raises(SubmissionError) as caught:
        read(data, sheet=sheet, size=65_536)
    return str(caught.value)


def xlsx(*sheets: Sequence[Sequence[Any]], change: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet(f"Sheet {number + 1}")
        assert sheet is not None
        for row in rows:
            sheet.append(list(row))
    if change is not None:
        change(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def ods(content: str) -> bytes:
    """A document as OpenDocument 1.3 has it, 3 and 9: cells hold what they show."""
    names = {
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    }
    spaces = " ".join(f'xmlns:{short}="{name}"' for short, name in names.items())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>{content}"
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return file.getvalue()


def row(*cells: str, more: str = "") -> str:
    inner = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
    return f"<table:table-row>{inner}{more}</table:table-row>"


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_what_is_gzipped_is_opened(size: int) -> None:
    assert read(gzip.compress(CSV), size=size) == ONE
    assert read(gzip.compress(CSV[:11]) + gzip.compress(CSV[11:]), size=size) == ONE  # as `cat a.gz b.gz`
    assert read(CSV, size=size) == ONE


@pytest.mark.parametrize("cut", [11, 20, -4])
def test_gzip_cut_short_stores_nothing(cut: int) -> None:
    assert "its gzip data cannot be read to the end" in refusal(gzip.compress(CSV * 1000)[:cut])


def test_a_workbook_is_read_as_it_shows() -> None:
    def change(book: Any) -> None:
        book.active["B3"].number_format = "000000000"
        book.active["C3"].number_format = "0.00"

    rows = [
        ("phone", "other", "price", "when", None, "ok"),
        ("+37061234567", None, 19.5, datetime(2026, 12, 1, 9, 30), None, True),  # noqa: DTZ001  a sheet knows no zone
        (37061234567, 61234567, 20, date(2026, 12, 1), None, "=1/0"),
        (),
        (37061234568.0, "x"),
    ]
    assert read(xlsx(rows, change=change)) == [
        (
            2,
            {"phone": "+37061234567", "other": "", "price": "19.5", "when": "2026-12-01 09:30", "ok": "TRUE"},
        ),
        (3, {"phone": "37061234567", "other": "061234567", "price": "20.00", "when": "2026-12-01", "ok": ""}),
        (5, {"phone": "37061234568", "other": "x", "price": "", "when": "", "ok": ""}),
    ]


def test_the_first_sheet_that_is_shown_is_read_and_the_others_are_named() -> None:
    def hide(book: Any) -> None:
        book.worksheets[0].sheet_state = "hidden"

    header, ona, jonas = ("phone",), ("+37060000001",), ("+37060000002",)
    both = xlsx([header, ona], [header, jonas])
    with open_recipients([both], "list") as file:
        assert file.note is not None
        assert "first sheet 'Sheet' alone; its sheets are 'Sheet', 'Sheet 2'" in file.note
        assert rows_in(file) == [(2, {"phone": "+37060000001"})]
    assert read(both, sheet="Sheet 2") == [(2, {"phone": "+37060000002"})]
    assert read(xlsx([header, ona], [header, jonas], change=hide)) == [(2, {"phone": "+37060000002"})]
    assert "no sheet of that name; its sheets are 'Sheet', 'Sheet 2'" in refusal(both, sheet="Other")
    assert "it is not a workbook; leave --sheet out" in refusal(CSV, sheet="Sheet")


def test_a_sheet_is_held_to_the_rules_of_a_file() -> None:
    assert "list, row 3: column 2 has no name" in refusal(xlsx([("phone", None, "b"), (1,), (2, "x")]))
    assert "list, row 3: 2 cells where the header has 1" in refusal(xlsx([("phone",), (1,), (2, "x")]))
    assert "columns 1 and 2 have the same name" in refusal(xlsx([("a", " a"), (1, 2)]))
    assert "has a header but no recipients" in refusal(xlsx([("a", "b")]))
    assert "is empty" in refusal(xlsx([]))


def test_an_opendocument_sheet_is_read_as_it_shows() -> None:
    note = "<office:annotation><text:p>x</text:p></office:annotation>"
    name = f'Ona<text:s text:c="2"/><text:span>Marija</text:span>{note}'
    blank = '<table:table-cell table:number-columns-repeated="16380"/>'
    content = (
        '<table:table table:name="A">'
        + row("phone", "name", more=blank)
        + row("061234567", name, more=blank)
        + '<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>'
        + row("061234568", "Jonas")
        + '<table:table-row table:number-rows-repeated="1048570"><table:table-cell/></table:table-row>'
        + '</table:table><table:table table:name="B">'
        + row("phone")
        + row("1")
        + "</table:table>"
    )
    assert read(ods(content)) == [
        (2, {"phone": "061234567", "name": "Ona  Marija"}),
        (6, {"phone": "061234568", "name": "Jonas"}),
    ]
    assert read(ods(content), sheet="B") == [(2, {"phone": "1"})]


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Excel before 2007 (.xls), or has a password"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"\xef\xbb\xbf<html><table><tr><td>phone", "is a web page or XML"),
        (b"\n<!DOCTYPE html>", "is a web page or XML"),
        (b"BEGIN:VCARD\r\nVERSION:3.0\r\n", "holds address cards (vCard)"),
        (b"ID;PWXL;N;E\r\n", "is a SYLK table"),
        (b"{\\rtf1\\ansi", "is a text with formats"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd"),
        (archive("list.csv"), "is an archive: unpack it"),
        (archive("Index/Document.iwa"), "is a Numbers document"),
        (archive("word/document.xml"), "is a text document"),
        (archive("xl/workbook.bin"), "is a binary workbook (.xlsb)"),
        (archive("xl/workbook.xml"), "is no workbook that can be read"),
        (archive("list.csv")[:40], "is a damaged archive"),
        (xlsx([("phone",), ("1",)])[:-30], "is a damaged archive"),
        (ods("<table:table>")[:-1], "is a damaged archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_is_no_list_is_named_for_what_it_is(data: bytes, says: str) -> None:
    said = refusal(data)
    assert said.startswith("list ")
    assert says in said


def test_a_list_with_the_columns_id_and_phone_is_no_sylk() -> None:
    """Excel itself takes it for one."""
    assert read(b"ID;Phone\n7;+37061234567\n") == [(2, {"ID": "7", "Phone": "+37061234567"})]


def test_xml_that_grows_is_not_followed() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{levels}]><x>&l11;</x>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        made.writestr("content.xml", bomb)
    assert "cannot be read to its end" in refusal(file.getvalue())


@pytest.mark.parametrize("name", ["libreoffice.xlsx", "libreoffice.ods"])
def test_what_libreoffice_saves_is_read(name: str) -> None:
    """Both saved by LibreOffice 7.4 out of one CSV file with two empty columns at its end."""
    assert read((Path(__file__).parent / "sheets" / name).read_bytes()) == [
        (2, {"phone": "+37061234567", "name": 'Žąsis, "Ona"', "amount": "19.5"}),
        (3, {"phone": "0037061234568", "name": "Jonas", "amount": "20"}),
    ]
