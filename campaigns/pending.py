"""Outcomes of one batch that came back and are not written down yet."""

from campaigns.domain.outcomes import LEFT, TROUBLED, Told
from campaigns.domain.provider import Outcome
from campaigns.store.sending.outcome_rows import OutcomeRow, rows_of


class PendingOutcomes:
    """What is to be written down of a batch, and what its outcomes ask for together.

    Takes whether callbacks of its provider may name a message by the provider's id alone.
    """

    def __init__(self, *, by_id: bool) -> None:
        self._by_id = by_id
        self._told: list[tuple[bool, list[tuple[int, Outcome]]]] = []  # with whether each spends an attempt
        self._has_left = False  # whether of `_told` the provider has some, or may have
        self.received: list[tuple[int, Outcome]] = []  # as they came, until they are written down
        self.troubled: list[Outcome] = []  # nothing was taken, and the batch must not go on
        self.handed_over_count = 0

    def add(self, told: Told, *, spends_all: bool) -> None:
        """Take outcomes by position. `spends_all`: also those of which nothing was taken spend an attempt."""
        outcomes = [outcome for _, outcome in told]
        if not self._told or self._told[-1][0] is not spends_all:
            self._told.append((spends_all, []))
        self._told[-1][1].extend(told)
        left_count = sum(isinstance(outcome, LEFT) for outcome in outcomes)
        self._has_left |= left_count > 0
        self.handed_over_count += left_count
        self.troubled += [outcome for outcome in outcomes if isinstance(outcome, TROUBLED)]

    def take_rows(self) -> tuple[list[OutcomeRow], bool]:
        """What is to be written down now, and whether of it the provider has some, or may have."""
        rows: list[OutcomeRow] = []
        for spends_all, told in self._told:  # of all requests that came back together: they are often alike
            positions, outcomes = zip(*told, strict=True) if told else ((), ())
            rows += rows_of(positions, outcomes, by_id=self._by_id, spends_all=spends_all)
        has_left = self._has_left
        self._told, self._has_left = [], False
        return rows, has_left
