"""How many segments a text has, and what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.segments import count_segments
from tests.contract.simulator.client import PHONE, Simulator


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 80 + "a", 2),
        ("€" * 152, 2),  # 76 of them fill 152 of 153 places
        ("€" * 153, 3),
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ą" * 70, 1),
        ("ą" * 71, 2),
        ("ą" * 134, 2),
        ("ą" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("ą" * 66 + "😀" + "ą" * 65, 2),
        ("ą" * 66 + "😀" + "ą" * 66, 3),
        ("{[~]}\\|^€\f" * 8, 1),
        ("{[~]}\\|^€\f" * 8 + "!", 2),
        ("ΔΦΓΛΩΠΨΣΘΞ¤¡§¿" * 11, 1),
        ("`" * 71, 2),  # in no GSM table
    ],
)
def test_segments_by_hand(text: str, segments: int) -> None:
    assert count_segments(text) == segments


@given(st.text(st.sampled_from("aZ€^[ąЖ😀\n"), max_size=400), st.sampled_from("a€ą😀"))
def test_segments_never_fall_as_a_text_grows(text: str, more: str) -> None:
    assert 1 <= count_segments(text) <= count_segments(text + more)


async def test_segments_are_counted_and_paid(simulator: Simulator) -> None:
    answer = (await simulator.send(text="ą" * 135)).json()[PHONE]
    assert (answer["count_sms"], answer["cost"]) == ("3", "0.0432")
