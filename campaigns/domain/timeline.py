"""A message's timeline: what became of it, when, and how we learned it. Pure.

It is kept with the message as lines of text, a step each, the oldest first (`store/timeline.py` writes them):
the moment in milliseconds since 1970 in hexadecimal, a letter that says how we learned it, the state, and the
provider's word where it is another. Of a hand-over the attempt.

    19accf3d47b h 1
    19accf3d5c8 a accepted
    19accf44c3a c delivered DELIVRD
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from campaigns.domain.states import MessageState
from campaigns.domain.values import value

LONGEST_TIMELINE = 1_000
"""Characters: the oldest steps make room for new ones."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source(StrEnum):
    """How a step came to be known."""

    SUBMISSION = "submission"
    HAND_OVER = "hand_over"  # by us, before the request left
    ANSWER = "answer"  # to that request
    LATE_ANSWER = "late_answer"  # found again after its worker had lost the lease
    CALLBACK = "callback"
    POLL = "poll"
    LOOK_UP = "look_up"  # doubt, settled by asking the provider
    RESCUE = "rescue"  # its worker ended in the middle
    PERSON = "person"  # an operator's decision
    RULE = "rule"  # a deadline, a cancellation, the campaign's own wish


CODES: dict[Source, str] = {
    Source.HAND_OVER: "h",
    Source.ANSWER: "a",
    Source.LATE_ANSWER: "l",
    Source.CALLBACK: "c",
    Source.POLL: "p",
    Source.LOOK_UP: "u",
    Source.RESCUE: "r",
    Source.PERSON: "o",
    Source.RULE: "d",
}
"""How sources are kept: every message holds some."""

_SOURCES = {code: source for source, code in CODES.items()}
_SAID_BY_PROVIDER = frozenset({Source.CALLBACK, Source.POLL, Source.LOOK_UP})


@value
class Step:
    """One step. `provider_state` is the provider's own word; `attempt` that of a hand-over, from 1; `state`
    None: the word means nothing to us.
    """

    at: datetime
    source: Source
    state: MessageState | None
    provider_state: str | None = None
    attempt: int | None = None
    provider_message_id: str | None = None


def steps(
    kept: str | None,
    *,
    submitted_at: datetime,
    changed_at: datetime,
    state: MessageState,
    attempt: int,
    provider_message_id: str | None,
) -> list[Step]:
    """The steps of a message, the oldest first: its submission, what is kept, and a hand-over under way. The
    provider's id is at the last answer by which it was accepted.
    """
    is_suppressed = kept is None and state is MessageState.SUPPRESSED
    at_once = is_suppressed and changed_at <= submitted_at
    found = [
        Step(submitted_at, Source.SUBMISSION, MessageState.SUPPRESSED if at_once else MessageState.QUEUED),
        *_read(kept or ""),
    ]
    if state is MessageState.SENDING:
        found.append(Step(changed_at, Source.HAND_OVER, state, attempt=attempt))
    elif is_suppressed and not at_once:
        found.append(Step(changed_at, Source.HAND_OVER, state))
    for at in reversed(range(len(found))):
        step = found[at]
        if step.source is Source.ANSWER and step.state is MessageState.ACCEPTED:
            found[at] = replace(step, provider_message_id=provider_message_id)
            break
    return found


def _read(kept: str) -> Iterator[Step]:
    lines = kept.split("\n")
    if len(kept) >= LONGEST_TIMELINE:
        lines = lines[1:]  # it may have lost its beginning
    for line in lines:
        if line:
            yield _step(*line.split(" ", 3))


def _step(moment: str, code: str, said: str, status_word: str | None = None) -> Step:
    at, source = _EPOCH + timedelta(milliseconds=int(moment, 16)), _SOURCES[code]
    if source is Source.HAND_OVER:
        return Step(at, source, MessageState.SENDING, attempt=int(said))
    state = None if said == "-" else MessageState(said)
    if status_word is None and state is not None and source in _SAID_BY_PROVIDER:
        status_word = state.value
    return Step(at, source, state, status_word)
