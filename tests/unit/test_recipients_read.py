"""Recipients files that are read: CSV and JSON Lines, in every encoding and form."""

import json
from collections.abc import Callable
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.recipients import read_recipients
from tests.unit.recipient_rows import cells, read, refusal, rows_in


def test_csv_gives_each_row_as_a_person_counts_it() -> None:
    reader = read_recipients([b"phone,name\n+37061234567,Jonas\n+37061234568,Ona\n"], format="csv", name="x")
    assert reader.format == "csv"
    assert reader.columns == ("phone", "name")
    assert rows_in(reader) == [
        (2, {"phone": "+37061234567", "name": "Jonas"}),
        (3, {"phone": "+37061234568", "name": "Ona"}),
    ]


def test_jsonl_gives_each_line_as_texts() -> None:
    lines = [
        b'{"phone": 37061234567890123456789, "name": "Jonas", "vip": true, "old": false}\n',
        b'{"phone": 3.70612E+10, "name": null, "sum": 1.50, "minus": -0}\n',
    ]
    reader = read_recipients(lines, format=None, name="x")
    assert reader.format == "jsonl"
    assert reader.columns is None
    assert rows_in(reader) == [
        (1, {"phone": "37061234567890123456789", "name": "Jonas", "vip": "true", "old": "false"}),
        (2, {"phone": "3.70612E+10", "name": "", "sum": "1.50", "minus": "-0"}),
    ]
    assert reader.columns == ("phone", "name", "vip", "old")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_header(delimiter: str) -> None:
    others = "".join(other * 5 for other in ",;\t|" if other != delimiter)
    header = delimiter.join(["phone", f'"a{others}b"', "city"])
    assert read(f"{header}\n{delimiter.join('abc')}\n") == [
        (2, {"phone": "a", f"a{others}b".replace("\t", " "): "b", "city": "c"})
    ]


def test_a_single_column_needs_no_delimiter() -> None:
    assert read("phone\n+37061234567\n") == [(2, {"phone": "+37061234567"})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way_and_the_last_need_not(end: str) -> None:
    rows = [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]
    assert read(end.join(["a,b", "1,2", "3,4"])) == rows
    assert read(end.join(["a,b", "1,2", "3,4", ""])) == rows


@pytest.mark.parametrize("before", range(65_525, 65_540))
def test_a_line_end_may_be_cut_in_two(before: int) -> None:
    data = b"a\r\n" + b"x" * (before - 3) + b"\r\n2\r\n"
    assert [row for row, _ in read(data)] == [2, 3]
    data = b"a\r\n" + b"x" * (before - 3) + b"\r2\r\r3"
    assert [row for row, _ in read(data)] == [2, 3, 5]


def test_mixed_line_ends_and_line_breaks_in_cells() -> None:
    content = 'a,b\r\n1,"x\r\ny"\r2,"x\ry"\n3,"x\ny"\r\n4,"a ""quoted"" word\x0b\x85\u2028"\n'
    assert read(content) == [
        (2, {"a": "1", "b": "x\r\ny"}),
        (3, {"a": "2", "b": "x\ry"}),
        (4, {"a": "3", "b": "x\ny"}),
        (5, {"a": "4", "b": 'a "quoted" word\x0b\x85\u2028'}),
    ]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_encodings_cut_anywhere(encode: Callable[[str], bytes], size: int) -> None:
    for text, row in (("phone,name\n1,Žydrūnas 😀\n", 2), ('\n{"phone": 1, "name": "Žydrūnas 😀"}\n', 2)):
        data = encode(text)
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        found = rows_in(read_recipients(chunks, format=None, name="x"))
        assert found == [(row, {"phone": "1", "name": "Žydrūnas 😀"})]


def test_blank_rows_are_counted_and_skipped() -> None:
    assert read("\n  \na,b\n\n1,2\n,\n \t \n , \n3,4\n\n") == [
        (5, {"a": "1", "b": "2"}),
        (9, {"a": "3", "b": "4"}),
    ]
    assert read('\n{"a": 1}\n \n{"a": 2}\n\n') == [(2, {"a": "1"}), (4, {"a": "2"})]


def test_an_empty_first_cell_is_not_a_blank_row() -> None:
    assert read("a,b\n,2\n") == [(2, {"a": "", "b": "2"})]


def test_column_names_are_trimmed_and_cells_are_not() -> None:
    assert read(" phone , first name \n 1 , 2 \n") == [(2, {"phone": " 1 ", "first name": " 2 "})]


@pytest.mark.parametrize("cell", ["=1+1", "+370", "-1", "@SUM(A1)", "'1", "<b>", "{name}", "%s", "\\n"])
def test_cells_are_data(cell: str) -> None:
    assert read(f"a,b\n{cell},x\n") == [(2, {"a": cell, "b": "x"})]
    assert read(json.dumps({"a": cell})) == [(1, {"a": cell})]


def test_the_format_can_be_said() -> None:
    assert read('{"a"\n1\n', "csv") == [(2, {'{"a"': "1"})]


def test_jsonl_may_differ_from_line_to_line() -> None:
    assert read('{"a": 1}\r\n{"b": 2}\r{}') == [(1, {"a": "1"}), (2, {"b": "2"}), (3, {})]


def test_json_escapes_that_are_characters_are_fine() -> None:
    assert read('{"a": "\\u017d \\ud83d\\ude00"}') == [(1, {"a": "Ž 😀"})]


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1)
    ),
    delimiter=st.sampled_from(",;\t|"),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    cuts=st.lists(st.integers(1, 50), min_size=1),
    quoting=st.lists(st.booleans(), min_size=1),
)
def test_whatever_is_written_is_read(
    rows: list[list[str]],
    delimiter: str,
    ends: list[str],
    encoding: str,
    cuts: list[int],
    quoting: list[bool],
) -> None:
    def write(cell: str, quote: bool) -> str:
        if quote or not cell or any(character in cell for character in '"\r\n,;\t|'):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    columns = [f"column {position}" for position in range(len(rows[0]))]
    text = ""
    for number, row in enumerate([columns, *rows]):
        quote = quoting[number % len(quoting)]
        text += delimiter.join(write(cell, quote) for cell in row) + ends[number % len(ends)]
    expected = [
        (number, dict(zip(columns, row, strict=True)))
        for number, row in enumerate(rows, start=2)
        if any(cell.strip() for cell in row)
    ]
    data = text.encode(encoding)
    chunks = []
    for size in chain(cuts, [len(data)]):
        chunks.append(data[:size])
        data = data[size:]
    if expected:
        assert rows_in(read_recipients(chunks, format="csv", name="x")) == expected
    else:
        assert "no recipients" in refusal(chunks, "csv")


@given(
    st.lists(
        st.dictionaries(
            cells.filter(bool), cells | st.integers() | st.booleans() | st.none() | st.floats(-1e9, 1e9)
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_whatever_json_is_written_is_read(objects: list[dict[str, object]], ascii_only: bool) -> None:
    words = {None: "", True: "true", False: "false"}
    expected = [
        (
            number,
            {
                key: words[value] if value is None or isinstance(value, bool) else str(value)
                for key, value in object_.items()
            },
        )
        for number, object_ in enumerate(objects, start=1)
    ]
    content = "\n".join(json.dumps(object_, ensure_ascii=ascii_only) for object_ in objects)
    assert read(content) == expected
