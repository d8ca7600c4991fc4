"""What becomes of a number at LightSMS. Only its last two digits decide, so that a run is predictable.

89  delivered; its status is always served in the object form, {"status": "deliver", "time": ...}
90  not_deliver
91  expired
92  pending for ever
93  refused at send with code 13 (blacklist)
94  refused at send with code 16 (invalid number)
95  refused at send with code 34 (stop list)
96  refused at send with code 31 (direction closed)
97  sent for ever
98  accepted, and its status is never known
99  refused at send with code 12 (error sending)
any other: delivered
"""

from dataclasses import dataclass

from simulator.fates import Fates


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one number at LightSMS."""

    send_code: str | None = None  # the code it is refused with at send; None: it is accepted
    final: str | None = "delivered"  # the word its life stops at; None: its status is never known
    object_form: bool = False  # its status is served as an object


def _show(fate: Fate) -> dict[str, object]:
    return {"send_code": fate.send_code, "final": fate.final, "object_form": fate.object_form}


FATES = Fates(
    {
        "89": Fate(object_form=True),
        "90": Fate(final="not_deliver"),
        "91": Fate(final="expired"),
        "92": Fate(final="pending"),
        "93": Fate(send_code="13", final=None),
        "94": Fate(send_code="16", final=None),
        "95": Fate(send_code="34", final=None),
        "96": Fate(send_code="31", final=None),
        "97": Fate(final="sent"),
        "98": Fate(final=None),
        "99": Fate(send_code="12", final=None),
    },
    Fate(),
    _show,
)
"""The one table."""


def status_word_at(fate: Fate, age_seconds: float, delivery_seconds: float) -> str | None:
    """The status word of a message of that age; None where it is never known. Pure.

    Half of `delivery_seconds` pending, the other half sent, then the final word; with 0, final at once.
    Before its life begins (a scheduled message) the age is negative: pending.
    """
    if fate.final is None:
        return None
    if age_seconds < 0 or age_seconds < delivery_seconds / 2:
        return "pending"
    if age_seconds < delivery_seconds and fate.final != "pending":
        return "sent"
    return fate.final
