"""Erasing by number: nothing that says whom a message went to, or what it said, is kept.

Totals, states, money and the provider's ids stay: they are what we answer for. So do submission keys and
content hashes, by which the same submission is known again and not sent a second time.
"""

from collections.abc import Sequence

from campaigns.domain.access import EVERYTHING, Reach
from campaigns.domain.phone import forms_of
from campaigns.store import erasing as rows
from campaigns.store import suppression as suppression_rows
from campaigns.store.erasing import Erased
from campaigns.store.session import Database

REASON = "erased"
"""Why an erased number is on the suppression list, where nobody put it there before."""


async def erase(database: Database, phones: Sequence[str], reach: Reach = EVERYTHING) -> Erased:
    """Erase what is known of these numbers (E.164), within reach.

    They go on the suppression list first, and stay there until a person takes them off: what is queued is not
    sent, and nobody who lost the record of a text sends it again. A message that is not settled needs its
    number yet; it is counted, and erased by the next call after it settled. Idempotent; any number may call
    it at once.
    """
    await suppression_rows.suppress(database, phones, REASON)
    return await rows.erase(database, [form for phone in phones for form in forms_of(phone)], reach)
