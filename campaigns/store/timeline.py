"""How a message's timeline is written: by the statement that changes the message, so that no row is written
for it (`domain/timeline.py` reads it; docs/decisions/0021).
"""

from campaigns.domain.states import MessageState
from campaigns.domain.timeline import CODES, LONGEST_TIMELINE, Source
from campaigns.store.law import quoted


def noted(
    source: str, state: str, status_word: str = "NULL", *, message: str = "m.", at: str = "now()"
) -> str:
    """SQL: the timeline of a message with one step more. Of one that was `sending` also the hand-over, whose
    moment is that of its last change: so the intent, the hottest update, writes nothing of it.

    Takes SQL as well: how it is known (`of` gives it for one source), the state it has now or the evidence
    says (NULL: none), the provider's word (kept where it is not the state's), the message's alias with its
    point, and when it was learned.
    """
    hand_over = _line(f"{message}updated_at", of(Source.HAND_OVER), f"{message}attempt")
    step = _line(at, source, f"coalesce(({state})::text, '-')", f"nullif({status_word}, ({state})::text)")
    before = f"CASE WHEN {message}state = {quoted(MessageState.SENDING)} THEN {hand_over} END"
    return f"right(concat_ws(E'\\n', {message}timeline, {before}, {step}), {LONGEST_TIMELINE})"


def _line(at: str, *parts: str) -> str:
    return f"concat_ws(' ', to_hex((extract(epoch FROM {at}) * 1000)::bigint), {', '.join(parts)})"


def of(source: Source) -> str:
    """SQL: the code of a source."""
    return f"'{CODES[source]}'"


def plain(status_word: str) -> str:
    """SQL: a provider's status word in one line."""
    return f"translate({status_word}, E'\\n\\r', '  ')"
