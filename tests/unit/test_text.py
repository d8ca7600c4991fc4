"""Texts with placeholders."""

import pickle
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.text import EmptyCell, MissingColumn, RenderedTooLong, Template, TemplateError
from campaigns.domain.visible import visible

names = st.text(st.characters(exclude_characters="{}|"), min_size=1).filter(lambda name: name == name.strip())


def escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@pytest.mark.parametrize(
    ("source", "columns", "text"),
    [
        ("", (), ""),
        ("Hello", (), "Hello"),
        ("Hello {name}", ("name",), "Hello Jonas"),
        ("{name}, {order}: {name}", ("name", "order"), "Jonas, A-1: Jonas"),
        ("{order}{name}", ("order", "name"), "A-1Jonas"),
        ("{ first name }", ("first name",), "Jonas Jonaitis"),
        ("{{name}}", (), "{name}"),
        ("{{{name}}}", ("name",), "{Jonas}"),
        ("{{}}", (), "{}"),
        ("}}{{", (), "}{"),
        ("100% of %s %(name)s %% {name}", ("name",), "100% of %s %(name)s %% Jonas"),
        ("50% off", (), "50% off"),
        ("{0}", ("0",), "zero"),
        ("{name!r:>10}", ("name!r:>10",), "odd but a name"),
        ("{name.__class__}", ("name.__class__",), "no attribute"),
        ("{name[0]}", ("name[0]",), "no index"),
        ("line\n{name}\n", ("name",), "line\nJonas\n"),
    ],
)
def test_rendering(source: str, columns: tuple[str, ...], text: str) -> None:
    template = Template(source)
    fields = {
        "name": "Jonas",
        "order": "A-1",
        "first name": "Jonas Jonaitis",
        "0": "zero",
        "name!r:>10": "odd but a name",
        "name.__class__": "no attribute",
        "name[0]": "no index",
        "not asked for": "x",
    }
    assert template.columns == columns
    assert template.is_plain == (not columns)
    assert template.render(fields) == text


@pytest.mark.parametrize(
    ("source", "position", "mend"),
    [
        ("{", 1, "write {column} for a column's value, or {{"),
        ("Hello {name", 7, "or {{"),
        ("Hello name}", 11, "or }}"),
        ("{{name}", 7, "or }}"),
        ("{name}}", 7, "or }}"),
        ("{a{b}}", 1, "or {{"),
        ("Hello {}", 7, "names no column"),
        ("Hello {  }!", 7, "names no column"),
        ("{name} {", 8, "or {{"),
    ],
)
def test_a_text_that_cannot_be_read_says_where_and_how_to_mend_it(
    source: str, position: int, mend: str
) -> None:
    with pytest.raises(TemplateError, match=f"at character {position} ") as caught:
        Template(source)
    assert mend in str(caught.value)
    assert "Hello" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@given(st.text())
def test_doubled_braces_give_any_text_back(text: str) -> None:
    template = Template(escaped(text))
    assert template.is_plain
    assert template.render({}) == unicodedata.normalize("NFC", text)


@given(st.lists(st.tuples(st.text(), names, st.text())), st.text())
def test_values_go_in_as_they_are_whatever_they_hold(parts: list[tuple[str, str, str]], end: str) -> None:
    fields = {name: visible(value).strip() or "-" for _, name, value in parts}
    source = "".join(f"{escaped(literal)}{{{name}}}" for literal, name, _ in parts) + escaped(end)
    plain = "".join(literal + fields[name] for literal, name, _ in parts) + end
    expected = unicodedata.normalize("NFC", plain)
    template = Template(source)
    assert template.columns == tuple(dict.fromkeys(name for _, name, _ in parts))
    assert template.render(fields) == expected
    assert template.bind(tuple(fields)).render(fields) == expected


def test_a_column_is_found_without_regard_to_case_and_blanks() -> None:
    template = Template("{First Name} {ŠALIS}")
    fields = {"phone": "", " first name ": "Ona", "šalis": "LT"}
    assert template.render(fields) == "Ona LT"
    bound = template.bind(tuple(fields))
    assert bound.columns == (" first name ", "šalis")
    assert bound.render(fields) == "Ona LT"
    assert template.columns == ("First Name", "ŠALIS")
    assert Template("{STRASSE}").render({"straße": "Unter den Linden"}) == "Unter den Linden"


def test_the_exact_name_goes_before_one_that_is_only_alike() -> None:
    fields = {"NAME": "alike", "name": "exact"}
    assert Template("{name}").render(fields) == "exact"
    assert Template("{name}").bind(["NAME", "name"]).render(fields) == "exact"


def test_two_placeholders_may_mean_one_column() -> None:
    bound = Template("{name} {NAME}").bind(["Name"])
    assert bound.columns == ("Name",)
    assert bound.render({"Name": "Ona"}) == "Ona Ona"


def test_a_name_that_could_mean_two_columns_is_not_guessed() -> None:
    header = ["NAME", "Name"]
    with pytest.raises(TemplateError, match=r"\{name\} could be any of 2 columns"):
        Template("{name}").bind(header)
    with pytest.raises(TemplateError, match=r"\{name\} could be any of 2 columns") as caught:
        Template("{name}").render(dict.fromkeys(header, "secret"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("source", ["{name}", "{phone} {name}"])
def test_a_column_that_is_not_there_is_named(source: str) -> None:
    template = Template(source)
    with pytest.raises(MissingColumn, match=r"the column \{name\}") as caught:
        template.render({"phone": "+37061234567"})
    assert caught.value.column == "name"
    assert not isinstance(caught.value, KeyError)
    assert caught.value.__context__ is None
    assert "612" not in str(caught.value)
    with pytest.raises(MissingColumn):
        template.bind(["phone"])


def test_all_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(MissingColumn, match=r"the columns \{name\}, \{town\}, which are not there") as caught:
        Template("{name} {phone} {town}").bind(["phone"])
    assert caught.value.columns == ("name", "town")
    many = Template(" ".join(f"{{c{n}}}" for n in range(30)))
    with pytest.raises(MissingColumn, match=r"\{c9\} and 20 more, which"):
        many.bind(["phone"])


def test_a_sentence_in_braces_by_mistake_is_not_shown_whole() -> None:
    with pytest.raises(MissingColumn) as caught:
        Template("{Dear Jonas, you owe us 120 euros since the 4th of May}").render({})
    assert "120" not in f"{caught.value} {caught.value!r}"


def test_a_missing_column_can_be_sent_between_processes() -> None:
    missing = pickle.loads(pickle.dumps(MissingColumn("name")))  # noqa: S301  our own bytes of a moment ago
    assert missing.column == "name"
    assert str(missing) == str(MissingColumn("name"))
    both = pickle.loads(pickle.dumps(MissingColumn("a", "b")))  # noqa: S301  likewise
    assert both.columns == ("a", "b")


def test_a_template_shows_its_columns_and_not_its_text() -> None:
    assert repr(Template("You owe {sum}")) == "Template(columns=('sum',))"


# --- empty cells, long ones, and what is not seen --------------------------------------------------------


def test_an_empty_cell_is_named_unless_the_text_has_a_default() -> None:
    with pytest.raises(EmptyCell, match=r"the column \{First Name\} is empty") as caught:
        Template("Hello {First Name}").bind(["first name"]).render({"first name": " \u00a0\u200b"})
    assert caught.value.column == "First Name"
    assert pickle.loads(pickle.dumps(caught.value)).column == "First Name"  # noqa: S301  ours
    greeting = Template("Hello {name| dear friend }{mark|}")
    assert greeting.columns == ("name", "mark")
    assert greeting.render({"name": "", "mark": ""}) == "Hello dear friend"
    assert greeting.render({"name": " Ona ", "mark": "!"}) == "Hello Ona!"


def test_a_text_that_becomes_too_long_is_not_made() -> None:
    template = Template("{a}" * 3000)
    tracemalloc.start()
    try:
        with pytest.raises(RenderedTooLong):
            template.render({"a": " " + "x" * 100_000}, most_characters=1530)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000
    assert Template("{a}{a}").render({"a": "x" * 5}, most_characters=10) == "x" * 10


def test_columns_and_values_in_pieces_are_the_same_as_whole_ones() -> None:
    """macOS writes e and an accent for é."""
    header = ["pre\u0301nom", "\ufeffville"]
    bound = Template("Bonjour {Pr\u00e9nom} de {ville}").bind(header)
    assert bound.render({header[0]: "Zoe\u0301", header[1]: "Lyon\u00a0"}) == "Bonjour Zo\u00e9 de Lyon"
