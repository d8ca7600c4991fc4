"""What all simulated providers have in common, held to once for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.fates import SpokenFates
from simulator.namirial.fates import FATES as NAMIRIAL_FATES
from simulator.provider import Series
from simulator.seven.fates import FATES as SEVEN_FATES


@given(
    st.sampled_from([NAMIRIAL_FATES, SEVEN_FATES]),
    st.integers(0, 99),
    st.floats(0, 100),
    st.floats(0, 100),
    st.sampled_from([0.0, 0.5, 50.0]),
)
def test_a_life_of_status_words_never_goes_back(
    fates: SpokenFates, ending: int, age: float, older: float, delivery: float
) -> None:
    fate = fates.of(37_060_000_000 + ending)
    changes = fates.changes(fate, delivery)
    assert [seconds for seconds, _ in changes] == sorted(seconds for seconds, _ in changes)
    words = [None, *(word for _, word in changes)]
    first, then = fates.word_at(fate, age, delivery), fates.word_at(fate, age + older, delivery)
    assert words.index(first[1]) <= words.index(then[1])
    assert first[0] <= then[0] <= age + older
    assert fates.word_at(fate, 1000.0, delivery) == (changes[-1] if changes else (0.0, None))
    assert fates.word_at(fate, -1.0, delivery) == (0.0, None)  # scheduled: its life has not begun


@given(st.integers(1, 10**8), st.sampled_from([10, 16]))
def test_an_id_gives_its_sequence_number_back(sequence: int, base: int) -> None:
    series = Series("msg_7a-", 9, base)
    message_id = series.id_of(sequence)
    assert series.sequence_of(message_id) == sequence
    assert len(message_id) == len("msg_7a-") + 9
    for wrong in (f"{message_id}0", message_id[:-1], f"\u0663{message_id[1:]}", message_id[7:], ""):
        assert series.sequence_of(wrong) is None


@pytest.mark.parametrize(
    "wrong", ["7_1x0000001", "7_1+0000001", "7_1 0000001", "7_1\u066300000001", "8_100000001"]
)
def test_an_id_of_another_form_or_series_is_of_nobody(wrong: str) -> None:
    assert Series("7_1", 8).sequence_of("7_100000001") == 1
    assert Series("7_1", 8).sequence_of(wrong) is None
    assert Series("7_1", 8, 16).sequence_of("7_1ABCDEF01") is None
