"""What becomes of a number at Loyalty.lt. Only its last two digits decide, so that a run is predictable.

87  delivered; its callbacks hold `message_id` too, which their page names and their example lacks
88  failed; its last callback says UNDELIVERABLE (invalid), so the status page knows it more exactly
89  delivered; its status is always served short, as in their OpenAPI file
90  failed; its last callback says FAILED
91  expired; its last callback says UNDELIVERABLE, for callbacks have no other word for it
92  queued for ever, and no callback
93  refused at send with 422 VALIDATION_ERROR, of the destination
94  refused at send with 422 2002 (invalid number)
95  refused at send with 422 422, the newer form, of the destination
96  refused at send with 422 2001 (sender not allowed)
97  sent for ever; the callback SENT alone
98  accepted, and its status is never known; no callback
99  refused at send with 422 and no code at all
any other: delivered
"""

from dataclasses import dataclass
from typing import Final

from simulator.fates import Fates

_EXPIRED_ERROR: Final = "Message expired"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one number."""

    refusal: str | None = None  # what it is refused with at send; None: it is accepted
    status: str | None = "delivered"  # the word its life stops at; None: its status is never known
    callback: str | None = "DELIVERED"  # the word of its last callback, where its life comes to an end
    error: str | None = None  # sent with a failure
    is_short: bool = False  # its status is served in the short form
    names_message_id: bool = False  # its callbacks hold `message_id` beside their own `id`


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a message's status word."""

    age_seconds: float  # since its life began
    status: str
    callback: str  # the word that tells of it
    error: str | None = None


NO_CODE: Final = "none"
"""The refusal that is served without a code."""


def _show(fate: Fate) -> dict[str, object]:
    return {
        "refusal": fate.refusal,
        "final": fate.status,
        "callback": fate.callback,
        "short_form": fate.is_short,
        "names_message_id": fate.names_message_id,
    }


FATES: Final = Fates(
    {
        "87": Fate(names_message_id=True),
        "88": Fate(status="failed", callback="UNDELIVERABLE", error="Number not in service"),
        "89": Fate(is_short=True),
        "90": Fate(status="failed", callback="FAILED", error="Rejected by the operator"),
        "91": Fate(status="expired", callback="UNDELIVERABLE", error=_EXPIRED_ERROR),
        "92": Fate(status="queued", callback=None),
        "93": Fate("VALIDATION_ERROR", None, None),
        "94": Fate("2002", None, None),
        "95": Fate("422", None, None),
        "96": Fate("2001", None, None),
        "97": Fate(status="sent", callback=None),
        "98": Fate(status=None, callback=None),
        "99": Fate(NO_CODE, None, None),
    },
    Fate(),
    _show,
)
"""The one table."""


def steps_of(fate: Fate, delivery_seconds: float, expires_in: float | None) -> list[Step]:
    """The status words after `queued`, in order. Pure.

    Half of `delivery_seconds` queued, the other half sent, then the final word; with 0, all at once. What
    has not come to its end `expires_in` seconds after its life began (None: no validity was given) expires.
    """
    steps: list[Step] = []
    if fate.status is None:
        return steps
    if fate.status != "queued":
        steps.append(Step(delivery_seconds / 2, "sent", "SENT"))
    if fate.callback is not None:
        steps.append(Step(delivery_seconds, fate.status, fate.callback, fate.error))
    if expires_in is None or (fate.callback is not None and delivery_seconds < expires_in):
        return steps
    before = [step for step in steps if step.age_seconds < expires_in]
    return [*before, Step(expires_in, "expired", "UNDELIVERABLE", _EXPIRED_ERROR)]


def status_word_at(steps: list[Step], age_seconds: float) -> str:
    """The status word at that age; before its life begins (a scheduled message) the age is negative. Pure."""
    reached = [step.status for step in steps if step.age_seconds <= age_seconds]
    return reached[-1] if reached else "queued"
