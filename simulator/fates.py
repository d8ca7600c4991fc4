"""What becomes of a number: decided by its last two digits alone, so that a run is predictable.

Each provider has a table of its own, in its own status words, beside its endpoints.
"""

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

F = TypeVar("F")
S = TypeVar("S", bound="Spoken")


class Fates(Generic[F]):
    """One provider's table.

    Takes the fate of each listed ending, the fate of all others, and what `GET /_fates` shows of a fate.
    """

    def __init__(self, named: Mapping[str, F], other: F, show: Callable[[F], dict[str, object]]) -> None:
        self.named = named
        self.other = other
        self._show = show
        self._by_ending = tuple(named.get(f"{ending:02d}", other) for ending in range(100))

    def of(self, phone: int) -> F:
        """What becomes of a number."""
        return self._by_ending[phone % 100]

    def as_json(self) -> dict[str, object]:
        """The table as `GET /_fates` serves it."""
        return {
            "decided_by": "the last two digits of the number",
            "fates": {ending: self._show(fate) for ending, fate in self.named.items()},
            "any_other": self._show(self.other),
        }


class Spoken(Protocol):
    """A fate that is a list of status words."""

    @property
    def status_words(self) -> tuple[str, ...]:
        """The status words a message takes, in order."""


class SpokenFates(Fates[S]):
    """A table of fates that are lists of status words, with the moment of each.

    Takes `comes_at`: the moment of a status word as a share of `delivery_seconds`; 1 where it has none.
    """

    def __init__(
        self,
        named: Mapping[str, S],
        other: S,
        show: Callable[[S], dict[str, object]],
        comes_at: Mapping[str, float],
    ) -> None:
        super().__init__(named, other, show)
        self._comes_at = comes_at

    def changes(self, fate: S, delivery_seconds: float) -> tuple[tuple[float, str], ...]:
        """When each status word comes, in seconds after acceptance, in order. With 0 only the last."""
        if not delivery_seconds:
            return tuple((0.0, status_word) for status_word in fate.status_words[-1:])
        return tuple(
            (self._comes_at.get(status_word, 1.0) * delivery_seconds, status_word)
            for status_word in fate.status_words
        )

    def status_word_at(
        self, fate: S, age_seconds: float, delivery_seconds: float
    ) -> tuple[float, str | None]:
        """The status word of a message of that age, and when it came (None: none came yet)."""
        said: tuple[float, str | None] = (0.0, None)
        for change in self.changes(fate, delivery_seconds):
            if age_seconds >= change[0]:
                said = change
        return said
