"""Follow-ups: which messages of a campaign a new one may send to again, and by which words they are named.

Only settled messages: what is open may still arrive, or be sent by its own campaign. Never one that was
delivered. What may have arrived, for all we know, only with a person's sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from campaigns.domain.errors import SubmissionError
from campaigns.domain.states import FOLLOWED_UP, UNREACHED, MessageState

CONFIRMATION = "a second text is possible"
"""The sentence without which nothing that may have arrived is sent again."""

NEVER_HANDED_OVER = "never_handed_over"
_GROUPS = {"not_reached": UNREACHED}
_STATES = {state.value: frozenset({state}) for state in MessageState if state in FOLLOWED_UP}
CHOICES: tuple[str, ...] = (*_GROUPS, NEVER_HANDED_OVER, *_STATES)
"""What a person may choose: groups, and single states."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Messages of a campaign that are sent to again: those in `states`; those that were never handed over;
    those that may have arrived.
    """

    campaign_id: UUID
    states: frozenset[MessageState]
    takes_never_handed_over: bool = False
    takes_doubtful: bool = False

    def identity(self) -> list[object]:
        """What makes two follow-ups the same, beside their texts and times."""
        states = sorted(state.value for state in self.states)
        return [str(self.campaign_id), states, self.takes_never_handed_over, self.takes_doubtful]


def chosen(campaign_id: UUID, choices: Sequence[str], confirmed: str | None) -> Followed:
    """The messages that somebody chose by names of `CHOICES`; with the sentence also those in doubt.

    Raises SubmissionError where a name is none of them, where the sentence is another, or nothing is chosen.
    """
    if confirmed is not None and confirmed != CONFIRMATION:
        raise SubmissionError(f"to send to those in doubt, say exactly: {CONFIRMATION}")
    if not set(choices) <= set(CHOICES):
        raise SubmissionError(
            f"a follow-up is of messages that are: {', '.join(CHOICES)}; those in doubt are asked for apart"
        )
    if not choices and confirmed is None:
        raise SubmissionError(f"say which messages are followed up: {', '.join(CHOICES)}")
    named = [_GROUPS.get(name) or _STATES.get(name, frozenset[MessageState]()) for name in choices]
    return Followed(
        campaign_id,
        frozenset[MessageState]().union(*named),
        takes_never_handed_over=NEVER_HANDED_OVER in choices,
        takes_doubtful=confirmed is not None,
    )
