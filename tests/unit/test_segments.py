"""Segments: what a text costs on the air."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.domain.segments import GSM_ALPHABET, GSM_EXTENSION, Segments, costly_characters, count_segments

# 3GPP TS 23.038, 6.2.1, by Unicode's names; the other positions from 0x20 on are those of ASCII.
DIFFERENT_FROM_ASCII = {
    0x00: "COMMERCIAL AT",
    0x01: "POUND SIGN",
    0x02: "DOLLAR SIGN",
    0x03: "YEN SIGN",
    0x04: "LATIN SMALL LETTER E WITH GRAVE",
    0x05: "LATIN SMALL LETTER E WITH ACUTE",
    0x06: "LATIN SMALL LETTER U WITH GRAVE",
    0x07: "LATIN SMALL LETTER I WITH GRAVE",
    0x08: "LATIN SMALL LETTER O WITH GRAVE",
    0x09: "LATIN CAPITAL LETTER C WITH CEDILLA",
    0x0B: "LATIN CAPITAL LETTER O WITH STROKE",
    0x0C: "LATIN SMALL LETTER O WITH STROKE",
    0x0E: "LATIN CAPITAL LETTER A WITH RING ABOVE",
    0x0F: "LATIN SMALL LETTER A WITH RING ABOVE",
    0x10: "GREEK CAPITAL LETTER DELTA",
    0x11: "LOW LINE",
    0x12: "GREEK CAPITAL LETTER PHI",
    0x13: "GREEK CAPITAL LETTER GAMMA",
    0x14: "GREEK CAPITAL LETTER LAMDA",
    0x15: "GREEK CAPITAL LETTER OMEGA",
    0x16: "GREEK CAPITAL LETTER PI",
    0x17: "GREEK CAPITAL LETTER PSI",
    0x18: "GREEK CAPITAL LETTER SIGMA",
    0x19: "GREEK CAPITAL LETTER THETA",
    0x1A: "GREEK CAPITAL LETTER XI",
    0x1C: "LATIN CAPITAL LETTER AE",
    0x1D: "LATIN SMALL LETTER AE",
    0x1E: "LATIN SMALL LETTER SHARP S",
    0x1F: "LATIN CAPITAL LETTER E WITH ACUTE",
    0x24: "CURRENCY SIGN",
    0x40: "INVERTED EXCLAMATION MARK",
    0x5B: "LATIN CAPITAL LETTER A WITH DIAERESIS",
    0x5C: "LATIN CAPITAL LETTER O WITH DIAERESIS",
    0x5D: "LATIN CAPITAL LETTER N WITH TILDE",
    0x5E: "LATIN CAPITAL LETTER U WITH DIAERESIS",
    0x5F: "SECTION SIGN",
    0x60: "INVERTED QUESTION MARK",
    0x7B: "LATIN SMALL LETTER A WITH DIAERESIS",
    0x7C: "LATIN SMALL LETTER O WITH DIAERESIS",
    0x7D: "LATIN SMALL LETTER N WITH TILDE",
    0x7E: "LATIN SMALL LETTER U WITH DIAERESIS",
    0x7F: "LATIN SMALL LETTER A WITH GRAVE",
}
CONTROLS = {0x0A: "\n", 0x0D: "\r", 0x1B: "\x1b"}

texts = st.text(
    st.sampled_from("aZ ąŽ€[]{}\n\f\r`çÇ😀👍🏽\u200d") | st.characters(exclude_categories=["Cs"]),
    max_size=200,
) | st.builds(
    lambda part, times: part * times,
    st.sampled_from(["a", "€", "aa€", "ą", "😀", "a😀"]),
    st.integers(0, 400),
)


def naive(text: str) -> tuple[str, list[str]]:
    """Character by character, as the air does it."""
    ucs2 = any(c == "\x1b" or c not in GSM_ALPHABET + GSM_EXTENSION for c in text)

    def cost(piece: str) -> int:
        if ucs2:
            return len(piece.encode("utf-16-be")) // 2
        return sum(2 if c in GSM_EXTENSION else 1 for c in piece)

    if cost(text) <= (70 if ucs2 else 160):
        return "ucs2" if ucs2 else "gsm7", [text]
    pieces = [""]
    for character in text:
        if cost(pieces[-1] + character) > (67 if ucs2 else 153):
            pieces.append("")
        pieces[-1] += character
    return "ucs2" if ucs2 else "gsm7", pieces


def test_the_alphabet_is_that_of_the_standard() -> None:
    assert len(GSM_ALPHABET) == 128
    for code, character in enumerate(GSM_ALPHABET):
        if code in CONTROLS:
            assert character == CONTROLS[code]
        elif code in DIFFERENT_FROM_ASCII:
            assert unicodedata.name(character) == DIFFERENT_FROM_ASCII[code]
        else:
            assert code >= 0x20
            assert character == chr(code)
    assert sorted(GSM_EXTENSION) == sorted("\f^{}\\[~]|€")


@pytest.mark.parametrize(
    ("text", "encoding", "units", "count"),
    [
        ("", "gsm7", 0, 1),
        ("a" * 160, "gsm7", 160, 1),
        ("a" * 161, "gsm7", 161, 2),
        ("a" * 306, "gsm7", 306, 2),
        ("a" * 307, "gsm7", 307, 3),
        ("ΔΦΓΛΩΠΨΣΘΞ" * 16, "gsm7", 160, 1),
        ("Ç", "gsm7", 1, 1),
        ("ç", "ucs2", 1, 1),
        ("`", "ucs2", 1, 1),
        ("\t", "ucs2", 1, 1),
        ("\x1b", "ucs2", 1, 1),
        ("\f", "gsm7", 2, 1),
        ("€" * 80, "gsm7", 160, 1),
        ("€" * 80 + "a", "gsm7", 161, 2),
        ("€" * 152, "gsm7", 304, 2),  # 76 fit: the last septet of each stays empty
        ("€" * 153, "gsm7", 306, 3),  # would be two, were pairs parted
        ("a" * 152 + "€" + "a" * 151, "gsm7", 305, 2),
        ("a" * 152 + "€" + "a" * 152, "gsm7", 306, 3),  # the pair moves over: one septet wasted
        ("a" * 151 + "€" + "a" * 153, "gsm7", 306, 2),
        ("ą" * 70, "ucs2", 70, 1),
        ("ą" * 71, "ucs2", 71, 2),
        ("ą" * 134, "ucs2", 134, 2),
        ("ą" * 135, "ucs2", 135, 3),
        ("€" * 69 + "ą", "ucs2", 70, 1),  # an extension character is one unit in UCS-2
        ("😀" * 35, "ucs2", 70, 1),
        ("😀" * 36, "ucs2", 72, 2),
        ("😀" * 66, "ucs2", 132, 2),  # 33 fit, the 67th unit stays empty
        ("😀" * 67, "ucs2", 134, 3),  # would be two, were pairs parted
        ("ą" * 66 + "😀" + "ą" * 65, "ucs2", 133, 2),
        ("ą" * 66 + "😀" + "ą" * 66, "ucs2", 134, 3),
        ("ą" * 65 + "😀" + "ą" * 67, "ucs2", 134, 2),
    ],
)
def test_what_texts_cost(text: str, encoding: str, units: int, count: int) -> None:
    segments = count_segments(text)
    assert (segments.encoding, segments.units, segments.count) == (encoding, units, count)


def test_one_curly_quote_doubles_the_bill() -> None:
    text = "It's ready: " + "a" * 140
    assert count_segments(text).count == 1
    assert count_segments(text.replace("'", "\u2019")).count == 3
    assert costly_characters(text.replace("'", "\u2019")) == ("\u2019",)


@given(texts)
@example("a" * 152 + "€€" + "a" * 300)
@example("ą" * 66 + "😀😀" + "ą" * 300)
def test_cutting_is_what_the_air_does(text: str) -> None:
    encoding, pieces = naive(text)
    assert count_segments(text).encoding == encoding
    assert count_segments(text).count == len(pieces)
    assert "".join(pieces) == text


@given(texts, texts, st.integers(0, 1000))
def test_the_count_never_falls_as_a_text_grows(text: str, more: str, place: int) -> None:
    at = place % (len(text) + 1)
    assert count_segments(text[:at] + more + text[at:]).count >= count_segments(text).count


@given(st.text(st.characters()))
def test_any_text_is_counted_even_with_halves_of_pairs(text: str) -> None:
    assert count_segments(text + "\ud83d" * 100).count >= count_segments(text).count


@given(texts)
def test_costly_characters_are_those_without_which_it_would_be_gsm(text: str) -> None:
    costly = costly_characters(text)
    assert len(set(costly)) == len(costly)
    assert [text.index(character) for character in costly] == sorted(map(text.index, costly))
    assert bool(costly) == (count_segments(text).encoding == "ucs2")
    for character in costly:
        text = text.replace(character, "")
    assert count_segments(text).encoding == "gsm7"


def test_costly_characters_of_a_lithuanian_text() -> None:
    assert costly_characters("Ačiū, Žydrūnai! €5 [čia]") == ("č", "ū", "Ž")


def test_the_cost_does_not_hold_the_text() -> None:
    assert count_segments("secret 1234") == Segments("gsm7", 11, 1)
    assert "secret" not in repr(count_segments("secret 1234"))
