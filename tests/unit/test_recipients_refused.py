"""Recipients files that are refused, with the row and the reason; and memory stays flat."""

import json
import tracemalloc
from collections.abc import Iterator
from itertools import chain

import pytest

from campaigns.domain.recipients import Format, read_recipients
from tests.unit.recipient_rows import read, refusal


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
        found = sum(len(block) for block in read_recipients(chunks(3_000), format=format_, name="x"))  # 30 MB
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
    rows = chain.from_iterable(reader)
    assert next(rows) == (2, {"phone": "+37061234567", "name": "Jonas"})
    assert taken < 300_000


def test_trouble_with_the_source_is_passed_on_as_it_is() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"phone\n"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        list(read_recipients(chunks(), format="csv", name="x"))
