"""A message's timeline: what became of it, when, and how we learned it. Pure.

It is kept with the message as records of eight bytes, the oldest first (`store/timeline.py` writes them): a
step is the moment in milliseconds since 1970 (six bytes), how we learned it, and the state it had then; of a
hand-over the attempt instead. The provider's word, where it is another, follows in records that begin with
`CONTINUED` and hold seven bytes of UTF-8 each; the last is filled up with zeros.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from campaigns.domain.states import MessageState
from campaigns.domain.values import value

RECORD_BYTES = 8
"""Of each record."""

MOMENT_BYTES = 6
"""Of a step: what it begins with."""

LONGEST_TIMELINE = 128 * RECORD_BYTES
"""Bytes: the oldest steps make room for new ones."""

CONTINUED = 0xFF
"""The first byte of what follows a step. No moment before the year 8900 begins with it."""

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


SOURCE_CODES: dict[Source, int] = {
    Source.HAND_OVER: 1,
    Source.ANSWER: 2,
    Source.LATE_ANSWER: 3,
    Source.CALLBACK: 4,
    Source.POLL: 5,
    Source.LOOK_UP: 6,
    Source.RESCUE: 7,
    Source.PERSON: 8,
    Source.RULE: 9,
}
"""How sources are kept. A number that was given is never given to another."""

STATE_CODES: dict[MessageState, int] = {
    MessageState.SUPPRESSED: 1,
    MessageState.CANCELLED: 2,
    MessageState.QUEUED: 3,
    MessageState.SENDING: 4,
    MessageState.IN_DOUBT: 5,
    MessageState.ACCEPTED: 6,
    MessageState.SENT: 7,
    MessageState.BUFFERED: 8,
    MessageState.UNKNOWN: 9,
    MessageState.EXPIRED: 10,
    MessageState.UNDELIVERED: 11,
    MessageState.FAILED: 12,
    MessageState.REJECTED: 13,
    MessageState.DELIVERED: 14,
    MessageState.READ: 15,
}
"""How states are kept, by the same rule; 0: none. Their rank is not kept: a new state moves it."""

_SOURCES = {code: source for source, code in SOURCE_CODES.items()}
_STATES = {code: state for state, code in STATE_CODES.items()}
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
    kept: bytes | None,
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
        *_read(kept or b""),
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


def _read(kept: bytes) -> Iterator[Step]:
    step: Step | None = None
    said = b""
    for at in range(0, len(kept), RECORD_BYTES):
        record = kept[at : at + RECORD_BYTES]
        if record[0] == CONTINUED:
            said += record[1:]
            continue
        if step is not None:
            yield _whole(step, said)
        step, said = _step(record), b""
    if step is not None:
        yield _whole(step, said)  # a word whose step made room is left out


def _step(record: bytes) -> Step:
    at = _EPOCH + timedelta(milliseconds=int.from_bytes(record[:6]))
    source = _SOURCES[record[6]]
    if source is Source.HAND_OVER:
        return Step(at, source, MessageState.SENDING, attempt=record[7])
    return Step(at, source, _STATES.get(record[7]))


def _whole(step: Step, said: bytes) -> Step:
    if said:
        return replace(step, provider_state=said.rstrip(b"\0").decode(errors="replace"))
    if step.state is not None and step.source in _SAID_BY_PROVIDER:
        return replace(step, provider_state=step.state.value)
    return step
