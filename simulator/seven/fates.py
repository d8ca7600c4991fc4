"""What becomes of a number at seven.io: the endings of `lightsms/fates.py` in its words, and four of its own.

85  TRANSMITTED, then UNKNOWN for ever
86  REJECTED: taken, and refused by the carrier
87  BUFFERED for a while, then DELIVERED
88  UNKNOWN for a while, then DELIVERED
89  delivered; asked for alone, its status comes as two lines of text even where JSON was asked for
90  NOTDELIVERED
91  BUFFERED for a while, then EXPIRED
92  ACCEPTED for ever
93  refused at send with 403 (daily limit of this number)
94  refused at send with 202 (invalid recipient)
95  refused at send with 403
96  refused at send with 202
97  TRANSMITTED for ever
98  accepted, and there is never a status (null)
99  FAILED: taken, and then "error while sending". seven.io has a status for it, and 600 at send leaves it
    open whether anything was taken: that comes by a fault alone
any other: DELIVERED
"""

from dataclasses import dataclass
from typing import Final

from simulator.fates import SpokenFates


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one number at seven.io."""

    send_code: str | None = None  # the code it is refused with at send; None: it is accepted
    status_words: tuple[str, ...] = ()  # its life, in order; before the first of them there is no status
    text_form: bool = False  # its status, asked for alone, is text


def _show(fate: Fate) -> dict[str, object]:
    final = fate.status_words[-1] if fate.status_words else None
    return {"send_code": fate.send_code, "final": final, "text_form": fate.text_form}


_SENT: Final = ("ACCEPTED", "TRANSMITTED")

FATES: Final = SpokenFates(
    {
        "85": Fate(status_words=(*_SENT, "UNKNOWN")),
        "86": Fate(status_words=("ACCEPTED", "REJECTED")),
        "87": Fate(status_words=(*_SENT, "BUFFERED", "DELIVERED")),
        "88": Fate(status_words=(*_SENT, "UNKNOWN", "DELIVERED")),
        "89": Fate(status_words=(*_SENT, "DELIVERED"), text_form=True),
        "90": Fate(status_words=(*_SENT, "NOTDELIVERED")),
        "91": Fate(status_words=(*_SENT, "BUFFERED", "EXPIRED")),
        "92": Fate(status_words=("ACCEPTED",)),
        "93": Fate(send_code="403"),
        "94": Fate(send_code="202"),
        "95": Fate(send_code="403"),
        "96": Fate(send_code="202"),
        "97": Fate(status_words=_SENT),
        "98": Fate(),
        "99": Fate(status_words=("FAILED",)),
    },
    Fate(status_words=(*_SENT, "DELIVERED")),
    _show,
    comes_at={"ACCEPTED": 0.25, "TRANSMITTED": 0.5, "BUFFERED": 0.75, "UNKNOWN": 0.75},
)
"""The one table."""
