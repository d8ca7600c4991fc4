"""How a message's timeline is written: by the statement that changes the message, so that no row is written
for it (`domain/timeline.py` reads it, and says what it is made of; docs/decisions/0021).

All give and take SQL. What is the same for many messages is worked out once, in the subquery the statement
reads, not once a message.
"""

from campaigns.domain.states import MessageState
from campaigns.domain.timeline import (
    CONTINUED,
    LONGEST_TIMELINE,
    RECORD_BYTES,
    SOURCE_CODES,
    STATE_CODES,
    Source,
)
from campaigns.store.law import quoted

_LETTERS = RECORD_BYTES - 1
_MOST_ATTEMPTS = 255  # that a byte holds


def noted(step: str, *, message: str = "m.") -> str:
    """The timeline of a message with one step more. Of one that was `sending` also the hand-over, whose
    moment is that of its last change: so the intent, the hottest update, writes nothing of it.

    Takes the message's alias with its point.
    """
    attempt = f"least({message}attempt, {_MOST_ATTEMPTS})"
    hand_over = record(moment(f"{message}updated_at"), str(SOURCE_CODES[Source.HAND_OVER]), attempt)
    before = f"CASE WHEN {message}state = {quoted(MessageState.SENDING)} THEN {hand_over} ELSE '' END"
    whole = f"coalesce({message}timeline, '') || {before} || {step}"
    # Counted from the end, and cut between two records.
    return (
        f"CASE WHEN coalesce(octet_length({message}timeline), 0) <= {LONGEST_TIMELINE // 2} THEN {whole}"
        f" ELSE substring({whole} FROM greatest(1, 1 + octet_length({whole}) - {LONGEST_TIMELINE})) END"
    )


def step(source: Source, state: str, status_word: str = "NULL") -> str:
    """A step of now. Takes the state the message has then, and its provider's status word."""
    return (
        f"{record(moment('now()'), str(SOURCE_CODES[source]), code(state))} || {pieces(state, status_word)}"
    )


def record(at: str, source: str, said: str) -> str:
    """What every step begins with. Takes numbers: a moment, how it is known, and the state or attempt."""
    return f"int8send(({at} << 16) | (({source}) << 8) | ({said}))"


def moment(at: str) -> str:
    """How a moment is kept."""
    return f"(date_part('epoch', {at}) * 1000)::bigint"


def code(state: str) -> str:
    """How a state is kept; NULL: none."""
    cases = " ".join(f"WHEN {quoted(each)} THEN {number}" for each, number in STATE_CODES.items())
    return f"CASE ({state}) {cases} ELSE 0 END"


def pieces(state: str, status_word: str) -> str:
    """The records of a provider's status word; none where it says what the state says."""
    letters = f"convert_to({status_word}, 'UTF8')"
    piece = f"rpad(encode(substring({letters} FROM i FOR {_LETTERS}), 'hex'), {2 * _LETTERS}, '0')"
    return (
        f"coalesce(CASE WHEN {status_word} IS DISTINCT FROM ({state})::text THEN"
        f" (SELECT string_agg(decode('{CONTINUED:x}' || {piece}, 'hex'), ''::bytea ORDER BY i)"
        f" FROM generate_series(1, octet_length({letters}), {_LETTERS}) AS i) END, '')"
    )
