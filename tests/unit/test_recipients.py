"""Files of recipients: CSV and JSON lines as any program writes them, read as they stream in."""

import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import SubmissionError
from campaigns.domain.recipients import Format, read_recipients

Rows = list[tuple[int, dict[str, str]]]


def read(content: str | bytes, format_: Format | None = None) -> Rows:
    data = content if isinstance(content, bytes) else content.encode()
    return list(read_recipients([data], format=format_, name="list.csv"))


def refusal(content: str | bytes | Iterable[bytes], format_: Format | None = None) -> str:
    """What the reader says; fails when it reads all of `content`."""
    if isinstance(content, str):
        content = content.encode()
    chunks = [content] if isinstance(content, bytes) else content
    with pytest.raises(SubmissionError) as caught:
        list(read_recipients(chunks, format=format_, name="list.csv"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    held: BaseException | None = caught.value
    while held is not None:  # nothing of the file may ride along on an error that led to this one
        assert "secret" not in f"{held} {held!r} {vars(held)}"
        assert not hasattr(held, "object")
        assert not hasattr(held, "doc")
        held = held.__cause__ or held.__context__
    return str(caught.value)


# --- what is read -------------------------------------------------------------------------------------


def test_csv_gives_each_row_as_a_person_counts_it() -> None:
    reader = read_recipients([b"phone,name\n+37061234567,Jonas\n+37061234568,Ona\n"], format="csv", name="x")
    assert reader.format == "csv"
    assert reader.columns == ("phone", "name")
    assert list(reader) == [
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
    assert list(reader) == [
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
        found = list(read_recipients(chunks, format=None, name="x"))
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


cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
) | st.sampled_from(
    ["", " ", '"', '""', ",", ";", "\n", "\r", "\r\n", "\t|", "+37061234567", "Žydrūnas", "😀"]
)


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
@settings(deadline=None)
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
        assert list(read_recipients(chunks, format="csv", name="x")) == expected
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
@settings(deadline=None)
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


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "\n", " \r\n\t\n", "\ufeff", b"\xff\xfe"])
@pytest.mark.parametrize("format_", [None, "csv", "jsonl"])
def test_an_empty_file(content: str | bytes, format_: Format | None) -> None:
    assert refusal(content, format_) == "list.csv is empty; send a file with a row for each recipient"


def test_a_header_alone() -> None:
    assert "has a header but no recipients" in refusal("phone,name\n")
    assert "has a header but no recipients" in refusal("phone,name\n\n,\n")


@pytest.mark.parametrize(
    ("content", "row", "says"),
    [
        ("a,,b\n1,,3\nsecret,2,3\n", 3, "column 2 has no name in the header and a value here"),
        ("\na,b,\n1,2,3\n", 3, "column 3 has no name in the header and a value here"),
        (",,\n1,2,3\n", 1, "no column has a name"),
        ("a\u200b,\ufeffa\n1,2\n", 1, "columns 1 and 2 have the same name"),
        ("secret,b, secret \n", 1, "columns 1 and 3 have the same name"),
        ("a,b\n\nsecret,2,3\n", 3, "3 cells where the header has 2"),
        ('a,b\n"x\n\ny",2\nsecret,2,3,4\n', 3, "4 cells where the header has 2"),
        ('a,b\n1,2\n1,"secret\n3,4\n', 3, "a quoted cell does not end where it should"),
        ('a,b\n1,2\n1,"secret" x\n', 3, "a quoted cell does not end where it should"),
        ('a,b\n1,"secret\n2,"x"\n', 2, "a quoted cell does not end where it should"),
        ('"a,b\n', 1, "a quoted cell does not end where it should"),
        ("a,b\n1,2\nsecret\0,2\n", 3, "NUL"),
        ('a,b\n1,2\n"x\ny\0",2\n', 3, "NUL"),
        ("a,b\n1,2\r\0", 3, "NUL"),
        ("\0", 1, "NUL"),
        (b"a,b\n1\x1a,2\nsecret\0,3", 3, "NUL"),
        ("phone,name\nsecret,x\n".encode("utf-16-le") + b"x", 3, "not the UTF-16"),
        ("a,b\n1,2\nsecret,Žydrūnas\n".encode("cp1257"), 3, "not UTF-8"),
        ("Žodis,b\n1,2\n".encode("cp1257"), 1, "not UTF-8"),
        (b"a,b\n1,2\nsecret,\xe2\x82", 3, "not UTF-8"),
        (b"a,b\n1,2\nsecret,\xed\xa0\x80\n", 3, "not UTF-8"),
        (b"\xff\xfe" + "a,b\n1,2\nsecret".encode("utf-16-le") + b"x", 3, "not the UTF-16"),
        (b"\xfe\xff" + "a,b\n1,2\nsecret,".encode("utf-16-be") + b"\xd8\x00\x00a", 3, "not the UTF-16"),
        ('{"a": 1}\n\n["secret"]\n', 3, "must be one JSON object"),
        ('{"a": 1}\n"secret"\n', 2, "must be one JSON object"),
        ('{"a": 1}\nnull\n', 2, "must be one JSON object"),
        ('{"a": 1}\n{"a": "secret"\n', 2, "not JSON at character 15"),
        ('{"a": 1}{"b": "secret"}\n', 1, "not JSON at character 9"),
        ('{"a": "secret",}\n', 1, "not JSON at character"),
        ("{'a': 'secret'}\n", 1, "not JSON at character 2"),
        ('{"a": "secret\ttab"}\n', 1, "not JSON at character"),
        ('{"a": 1}\n{"a": "x", "list": ["secret"]}\n', 2, "the field list holds a list or an object"),
        ('{"a": {"b": "secret"}}\n', 1, "the field a holds a list or an object"),
        ('{"a": 1, "37061234567": {}}\n', 1, "the field 2 holds a list or an object"),
        ('{"a": 1}\n{"a": "secret", "a": 2}\n', 2, "names a field twice"),
        ('{"a": "secret", "": 2}\n', 1, "a field has no name"),
        ('{"a": NaN}\n', 1, "NaN and Infinity"),
        ('{"a": -Infinity}\n', 1, "NaN and Infinity"),
        ('{"a": "secret\\u0000"}\n', 1, "an escape that is no character"),
        ('{"a": 1}\n{"a": "secret\\ud83d"}\n', 2, "an escape that is no character"),
        ('{"secret\\ude00": 1}\n', 1, "an escape that is no character"),
        ('[{"a": "secret"}]\n', 1, "this is a JSON array"),
        ('\n[\n{"a": "secret"}]\n', 2, "this is a JSON array"),
        ('{"a":' + "[" * 100_000, 1, "nested too deep"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_row(content: str | bytes, row: int, says: str) -> None:
    said = refusal(content)
    assert said.startswith(f"list.csv, row {row}: ")
    assert says in said


@pytest.mark.parametrize("size", [1, 5, 65_536, 65_537, 1 << 30])
@pytest.mark.parametrize("trouble", [b"\xff", b"\0"])
def test_the_row_is_right_wherever_the_file_is_cut(size: int, trouble: bytes) -> None:
    for count, end in ((3, b"\r\n"), (3, b"\r"), (20_000, b"\n")):
        data = b"phone,name" + end + (b"+37061234567,Jonas" + end) * count + b"+37061234567" + trouble + b"\n"
        if size == 1 and count > 3:
            continue
        chunks = (data[start : start + size] for start in range(0, len(data), size))
        assert refusal(chunks).startswith(f"list.csv, row {count + 2}: ")


@pytest.mark.parametrize("before", [0, 65_500, 65_536])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_may_have_a_hundred_thousand_characters_and_not_one_more(before: int, quote: str) -> None:
    start = "a,b\n" + ("x" * 99 + "\n").replace("x", "1,", 1) * (before // 100)
    row = 2 + before // 100
    for character in "xą":
        assert read(f"{start}1,{quote}{character * 100_000}{quote}\n")[-1][0] == row
        said = refusal(f"{start}1,{quote}{character * 100_001}{quote}\n2,2\n")
        assert said.startswith(f"list.csv, row {row}: a cell is longer than 100000 characters")
    for value in ("x" * 100_001, "1" * 100_001):
        assert "a cell is longer" in refusal(json.dumps({"a": value}))
        assert "a cell is longer" in refusal(f'{{"a": {"1" * 100_001}}}')


def endless(line: bytes) -> Iterator[bytes]:
    """A file too large for any memory. More than 20 MB taken of it is a failure of its own."""
    for _ in range(20_000_000 // len(line)):
        yield line
    raise AssertionError("the reader took the whole of it")


@pytest.mark.parametrize(
    ("start", "line", "row"),
    [
        (b"a,b\n1,2\n", b"x" * 1000, 3),
        (b"a,b\n1,2\n", b"x,x,x,x,x," * 100, 3),
        (b"", b"x" * 1000, 1),
        (b"", b" " * 1000, 1),
        (b'a,b\n1,"', b"x\n" * 500, 2),
        (b'a,b\n1,"', b"\n" * 1000, 2),
        (b'a,b\n1,"x"', b',"y\n"' * 200, 2),
        (b'"', b"x\n" * 500, 1),
        (b'{"a": 1}\n{"a": "', b"x" * 1000, 2),
    ],
)
def test_a_row_without_an_end_is_given_up(start: bytes, line: bytes, row: int) -> None:
    said = refusal(chain([start], endless(line)))
    assert said.startswith(f"list.csv, row {row}: ")
    assert " is longer than " in said


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_memory_stays_flat_whatever_the_size(format_: Format) -> None:
    text = "x" * 10_000

    def chunks(count: int) -> Iterator[bytes]:
        if format_ == "csv":
            yield b"phone,text\n"
        for _ in range(count):
            yield (
                f"+37061234567,{text}\n" if format_ == "csv" else f'{{"phone":1,"text":"{text}"}}\n'
            ).encode()

    tracemalloc.start()
    try:
        found = sum(1 for _ in read_recipients(chunks(3_000), format=format_, name="x"))  # 30 MB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 3_000
    assert peak < 3_000_000


def test_it_takes_only_what_it_needs() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for chunk in chain([b"phone,name\n"], [b"+37061234567,Jonas\n" * 1000] * 1000):
            taken += len(chunk)
            yield chunk

    reader = read_recipients(chunks(), format=None, name="x")
    assert reader.columns == ("phone", "name")
    rows = iter(reader)
    assert next(rows) == (2, {"phone": "+37061234567", "name": "Jonas"})
    assert taken < 300_000


def test_trouble_with_the_source_is_passed_on_as_it_is() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"phone\n"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        list(read_recipients(chunks(), format="csv", name="x"))
