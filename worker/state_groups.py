"""Groups of messages' states: what has one colour and one sign, on the dashboard and in a terminal.

The sign is there so that nobody has to tell colours apart. `web/static/app.css` holds the same as
`--state-<group>` and `.mark-<group>`, with a second set of colours for dark pages; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from campaigns.domain.states import MessageState


@dataclass(frozen=True, slots=True)
class Group:
    """Some states. `colour`: `#rrggbb`, which is seen on light and on dark ground."""

    states: tuple[MessageState, ...]
    sign: str
    colour: str


GROUPS: Mapping[str, Group] = {
    "delivered": Group((MessageState.READ, MessageState.DELIVERED), "✓", "#00795c"),
    "away": Group(
        (MessageState.SENT, MessageState.BUFFERED, MessageState.ACCEPTED, MessageState.SENDING),
        "→",
        "#58a6de",
    ),
    "doubt": Group((MessageState.IN_DOUBT,), "?", "#e2a300"),
    "unknown": Group((MessageState.UNKNOWN,), "~", "#8e6bb5"),
    "missed": Group(
        (MessageState.UNDELIVERED, MessageState.REJECTED, MessageState.FAILED, MessageState.EXPIRED),
        "×",
        "#c4430f",
    ),
    "left": Group((MessageState.SUPPRESSED, MessageState.CANCELLED), "–", "#77736a"),
    "queued": Group((MessageState.QUEUED,), "·", "#d6d2c8"),
}
"""By name, in the order of bars: what is certain first. Every state is in one of them."""

GROUP_OF: Mapping[MessageState, str] = {
    state: name for name, group in GROUPS.items() for state in group.states
}


def by_group(totals: Mapping[MessageState, int]) -> dict[str, int]:
    """Messages by group."""
    return {name: sum(totals.get(state, 0) for state in group.states) for name, group in GROUPS.items()}
