"""What becomes of a number at any of the providers: the endings of `lightsms/fates.py`, in words of our own,
which each provider's file translates.

87  rejected after it was taken
90  undelivered
91  expired
92  accepted for ever
93  refused: it wants nothing any more
94  refused: no such number
95  refused: it wants nothing any more
96  refused: its country is not served
97  sent for ever
98  accepted, and nothing is ever known of it
99  failed after it was taken
any other: delivered
"""

from dataclasses import dataclass
from typing import Final, Literal

from simulator.fates import SpokenFates

Refusal = Literal["stopped", "no_number", "not_served", "no_sender", "no_money"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one number."""

    refusal: Refusal | None = None
    status_words: tuple[str, ...] = ()  # its life after it was accepted
    is_known: bool = True


def _show(fate: Fate) -> dict[str, object]:
    return {"refusal": fate.refusal, "final": None if fate.refusal else ["accepted", *fate.status_words][-1]}


FATES: Final = SpokenFates(
    {
        "87": Fate(status_words=("rejected",)),
        "90": Fate(status_words=("sent", "undelivered")),
        "91": Fate(status_words=("sent", "expired")),
        "92": Fate(),
        "93": Fate("stopped"),
        "94": Fate("no_number"),
        "95": Fate("stopped"),
        "96": Fate("not_served"),
        "97": Fate(status_words=("sent",)),
        "98": Fate(is_known=False),
        "99": Fate(status_words=("failed",)),
    },
    Fate(status_words=("sent", "delivered")),
    _show,
    comes_at={"sent": 0.5},
)
"""The one table."""
