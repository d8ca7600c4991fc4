"""The law of states as SQL: what `domain/states.py` says, rendered. Statements and functions name states only
through these, so that the law is said once.

    f"WHERE m.state IN {in_list(POLLABLE)}"             m.state IN ('accepted', 'sent', 'buffered')
    f"SET state = {quoted(MessageState.QUEUED)}"          state = 'queued'
    f"WHERE {sum_of(OPEN, 'b')} = 0"                    (b.sending_count + b.in_doubt_count + ...) = 0

A guard that names the one state it expects (`WHERE state = 'queued'`) may name it: that reads best.
"""

from collections.abc import Iterable
from typing import TypeVar

from campaigns.domain.states import BatchState, CampaignState, MessageState

State = CampaignState | BatchState | MessageState
_State = TypeVar("_State", CampaignState, BatchState, MessageState)


def in_order(states: Iterable[_State]) -> list[_State]:
    """States of one kind in the order of their law, whichever order they come in."""
    return sorted(states, key=lambda state: list(state.__class__.__members__).index(state.name))


def quoted(state: State) -> str:
    """A state as a quoted SQL literal. PostgreSQL takes it for the column's own type."""
    return f"'{state.value}'"


def in_list(states: Iterable[_State]) -> str:
    """States as the list that follows IN, in the order of their law: `('accepted', 'sent', 'buffered')`."""
    return f"({', '.join(quoted(state) for state in in_order(states))})"


def tally_column(state: MessageState) -> str:
    """The column of a batch's tally that counts its messages in `state`."""
    return f"{state.value}_count"


def sum_of(states: Iterable[MessageState], batch: str = "") -> str:
    """How many messages of a batch are in any of these: a sum over its tally, in parentheses.

    Takes the batch's alias, if it has one.
    """
    prefix = f"{batch}." if batch else ""
    return f"({' + '.join(f'{prefix}{tally_column(state)}' for state in in_order(states))})"


TALLY_COLUMNS: tuple[str, ...] = tuple(tally_column(state) for state in MessageState)
"""The columns of a batch's tally, one for every message state, in order of rank."""
