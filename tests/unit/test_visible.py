"""What looks the same is the same: nobody pays for what nobody sees."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.segments import count_segments, plain_saving
from campaigns.domain.visible import column_key, visible


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("Ona\u00a0J.", "Ona J."),
        ("Ona\u2009J.", "Ona J."),
        ("Ona\u3000J.", "Ona J."),
        ("a\tb", "a b"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("Ona\u200b\ufeff\u2060", "Ona"),
        ("wo\u00adrd", "word"),
        ("Zoe\u0301", "Zo\u00e9"),
        ("\u212b\u2126", "\u00c5\u03a9"),
        ("\x1b[31mred\x07", "[31mred"),
        ("\u200fOna\u200e", "Ona"),
        ("\u202eano\u202c", "ano"),
        ("a\u200db\u200cc", "abc"),
        ("a\ufe0f", "a"),
        ("x\U000e0041", "x"),
    ],
)
def test_what_nobody_sees_goes(given: str, seen: str) -> None:
    assert visible(given) == seen
    assert count_segments(visible(given * 40)).encoding == "gsm7"


@pytest.mark.parametrize(
    "text",
    [
        'A&B #1 100% + "q" <b> {{x}} ~[]|^\u20ac\n two  blanks ',
        "\u201cquoted\u201d \u2013 \u0105\u010d\u0119 \u0416",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
        "\u2764\ufe0f\u200d\U0001f525",  # a heart on fire
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England
        "1\ufe0f\u20e3 \U0001f1f1\U0001f1f9 \U0001f44d\U0001f3fd \u00a9\ufe0f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with its non-joiner
        "\u0915\u094d\u200d\u0937",  # Devanagari, with its joiner
        "\u05e9\u05dc\u05d5\u05dd\u200f!",  # Hebrew, with a mark of direction
    ],
)
def test_what_is_seen_stays_to_the_character(text: str) -> None:
    assert visible(text) == text


@given(st.text())
def test_the_form_is_one(text: str) -> None:
    seen = visible(text)
    assert visible(seen) == seen
    assert unicodedata.is_normalized("NFC", seen)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=30))
def test_letters_digits_and_signs_are_never_lost(text: str) -> None:
    unseen = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0\u2800"))
    whole = unicodedata.normalize("NFC", text.translate(unseen))
    assert visible(text).replace(" ", "") == whole


def test_a_columns_key_leaves_out_what_people_do_not_tell_apart() -> None:
    spellings = ["pr\u00e9nom", "PRE\u0301NOM ", "\ufeffPr\u00e9nom", "pr\u00e9\u200bnom"]
    assert len(set(map(column_key, spellings))) == 1
    assert column_key("first name") != column_key("firstname")


def test_a_few_costly_characters_are_named_with_what_they_cost() -> None:
    text = "\u201cSale\u201d \u2013 " + "x" * 140
    assert plain_saving(text) == (("\u201c", "\u201d", "\u2013"), 2)
    assert plain_saving("x" * 150) == ((), 0)
    assert plain_saving("\u0105\u010d, ten") == ((), 0)  # one segment in any case
    assert plain_saving("\u041f\u0440\u0438\u0432\u0435\u0442 " * 20) == ((), 0)  # its script, no slip
