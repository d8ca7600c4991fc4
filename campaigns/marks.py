"""What the second witness is told of one batch, and what follows for its messages."""

from collections.abc import Sequence

from campaigns.domain.errors import WitnessUnavailable
from campaigns.domain.outcomes import TROUBLED, Told
from campaigns.domain.provider import NotSent
from campaigns.domain.witness import Witness, left_before
from campaigns.store.sending.hand_over import SendingWork


class Marks:
    """The marks of one batch under one lease. Without a witness everything may leave."""

    def __init__(self, witness: Witness | None, work: SendingWork) -> None:
        self._witness = witness
        self._work = work
        self.attempt_of = {message.position: message.attempt for message in work.messages}
        self.left_before_count = 0  # messages that had left before
        self._is_away = False  # the witness, as far as this batch heard

    async def leaving(self, positions: frozenset[int]) -> tuple[frozenset[int], Told]:
        """Note that messages leave now whose intent is written. Gives those that may, and what became of the
        others.
        """
        if self._witness is None or not positions:
            return positions, ()
        attempts = self._attempts(sorted(positions))
        try:
            seen = await self._witness.mark(self._work.campaign_id, self._work.number, attempts)
        except WitnessUnavailable as away:
            # Not spent: it may have left before PostgreSQL forgot it, and the next attempt would leave.
            self._is_away = True
            not_sent = NotSent(str(away), spends_attempt=False)
            return frozenset(), [(position, not_sent) for position in attempts]
        self.left_before_count += len(seen)
        return positions - seen.keys(), [(position, left_before(last)) for position, last in seen.items()]

    async def take_back(self, told: Told) -> bool:
        """Have those attempts forgotten of which nothing was taken, before the database writes that down.

        False: the witness may still know them, so that each of them must be spent.
        """
        attempts = self._attempts([at for at, outcome in told if isinstance(outcome, TROUBLED)])
        if self._witness is None or not attempts:
            return True
        if self._is_away:
            return False
        try:
            await self._witness.take_back(self._work.campaign_id, self._work.number, attempts)
        except WitnessUnavailable:
            self._is_away = True
            return False
        return True

    def _attempts(self, positions: Sequence[int]) -> dict[int, int]:
        return {position: self.attempt_of[position] for position in positions}
