"""When a batch is asked about again: backoff counts cycles, not series."""

import pytest

from campaigns.domain.asking import Again, Series, ask_again
from campaigns.domain.policy import Backoff

BACKOFF = Backoff(first_seconds=10, factor=2, max_seconds=3_600, jitter=0)


@pytest.mark.parametrize(
    ("series", "again"),
    [
        # All were asked: by backoff, and never sooner than the provider wishes.
        (Series(True, True, False), Again(40, True)),
        (Series(True, False, False), Again(40, True)),
        (Series(True, True, False, 90), Again(90, True)),
        (Series(True, True, True), Again(40, True)),
        # Our own pace or time ended it: at once, or when there is a slot. It counts for nothing.
        (Series(False, True, False, 0.3), Again(None, False)),
        (Series(False, True, False), Again(None, False)),
        (Series(False, False, False, 2.0), Again(2.0, False)),
        # Trouble ended it: who was asked was asked, and who was not is asked soon.
        (Series(False, True, True), Again(10, False)),
        (Series(False, True, True, 30), Again(30, False)),
        (Series(False, False, True, 0), Again(10, False)),
        (Series(False, False, True, 30), Again(30, False)),
        # Nobody could be asked, and nobody says when: ever more rarely.
        (Series(False, False, True), Again(40, True)),
    ],
)
def test_when_to_ask_again(series: Series, again: Again) -> None:
    assert ask_again(series, 1, BACKOFF, 0.5) == again
