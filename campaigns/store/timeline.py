"""How a message's timeline is written: by the statement that changes the message, so that no row is written
for it (`domain/timeline.py` reads it; docs/decisions/0021).

All give and take SQL. What is the same for many messages is worked out once, in the subquery the statement
reads, not once a message: to put a step together costs several times as much as to add it.
"""

from campaigns.domain.states import MessageState
from campaigns.domain.timeline import CODES, LONGEST_TIMELINE, Source
from campaigns.store.law import quoted


def noted(step: str, *, message: str = "m.") -> str:
    """The timeline of a message with one step more. Of one that was `sending` also the hand-over, whose
    moment is that of its last change: so the intent, the hottest update, writes nothing of it.

    Takes the message's alias with its point.
    """
    hand_over = f"{moment(f'{message}updated_at')} || ' {CODES[Source.HAND_OVER]} ' || {message}attempt"
    before = f"CASE WHEN {message}state = {quoted(MessageState.SENDING)} THEN {hand_over} END"
    return f"right(concat_ws(E'\\n', {message}timeline, {before}, {step}), {LONGEST_TIMELINE})"


def step(source: Source, state: str, status_word: str = "NULL") -> str:
    """A step of now. Takes the state the message has then, and its provider's status word."""
    return f"concat_ws(' ', {moment('now()')}, '{CODES[source]}', {said(state, status_word)})"


def said(state: str, status_word: str = "NULL") -> str:
    """What a step says: the state (NULL: none), and the provider's status word, in one line, where it is
    another.
    """
    word = f"translate({status_word}, E'\\n\\r', '  ')"
    return f"concat_ws(' ', coalesce(({state})::text, '-'), nullif({word}, ({state})::text))"


def moment(at: str) -> str:
    """How a moment is kept."""
    return f"to_hex((date_part('epoch', {at}) * 1000)::bigint)"
