"""What becomes of a number at Namirial: the endings of `lightsms/fates.py` in its words, and two of its own.

87  REJECTED: taken, and never sent
88  delivered, then READ; over RCS, which alone knows READ, and so without `sms`
89  delivered; its status has no `sms`, and its dates have a fraction
90  UNDELIVERED: blocked by the carrier
91  UNDELIVERED: its validity passed, for which Namirial has no word
92  PROVIDER_ACCEPTANCE for ever
93  refused at send with code 61 (watchlist)
94  refused at send with code 56 (invalid number)
95  refused at send with code 61 (watchlist)
96  refused at send with code 8 (wrong number: of a country that takes no SMS)
97  SENT for ever
98  accepted, and its id is never known (404); the lists have it, PROVIDER_ACCEPTANCE for ever: it was taken
99  answered with 200, "12: Error sending" and no id: nothing is accepted
any other: DELIVERED
"""

from dataclasses import dataclass
from typing import Final

from simulator.fates import SpokenFates

ACCEPTED: Final = "PROVIDER_ACCEPTANCE"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one number at Namirial."""

    send_code: str | None = None  # the code it is refused with at send; None: it is accepted
    said_with_200: bool = False  # the refusal is an HTTP 200 without an id
    status_words: tuple[str, ...] = ()  # its life after PROVIDER_ACCEPTANCE, in order
    known_by_id: bool = True
    channel: str = "SMS"
    has_sms: bool = True  # its status says how many segments it has
    has_fraction: bool = False  # its dates do
    provider_status: str = ""  # the name of the failure at the company behind Namirial, and its reason
    provider_message: str | None = None


def _show(fate: Fate) -> dict[str, object]:
    final = None if fate.send_code else [ACCEPTED, *fate.status_words][-1]
    return {"send_code": fate.send_code, "final": final, "known_by_id": fate.known_by_id}


FATES: Final = SpokenFates(
    {
        "87": Fate(status_words=("REJECTED",), provider_status="rejected", provider_message="Rejected"),
        "88": Fate(status_words=("SENT", "DELIVERED", "READ"), channel="RCS", has_sms=False),
        "89": Fate(status_words=("SENT", "DELIVERED"), has_sms=False, has_fraction=True),
        "90": Fate(
            status_words=("SENT", "UNDELIVERED"),
            provider_status="undelivered",
            provider_message="Number Blocked by Carrier",
        ),
        "91": Fate(
            status_words=("SENT", "UNDELIVERED"), provider_status="expired", provider_message="Expired"
        ),
        "92": Fate(),
        "93": Fate(send_code="61"),
        "94": Fate(send_code="56"),
        "95": Fate(send_code="61"),
        "96": Fate(send_code="8"),
        "97": Fate(status_words=("SENT",)),
        "98": Fate(known_by_id=False),
        "99": Fate(send_code="12", said_with_200=True),
    },
    Fate(status_words=("SENT", "DELIVERED")),
    _show,
    comes_at={"SENT": 0.5, "READ": 1.5},
)
"""The one table: SENT after half of `delivery_seconds`, the end after all of it, READ half as long again."""
