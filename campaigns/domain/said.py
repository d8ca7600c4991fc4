"""What a provider says beside its status word, made fit to be kept and shown. Pure.

A sentence of theirs may quote the number, the text, or a link with a name in it. So digits are masked, and
quotations and addresses are left out. A code is kept as it is.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal

from campaigns.domain.provider import Receipt, Sighting
from campaigns.domain.segments import believed_segment_count
from campaigns.domain.unstorable import UNSTORABLE_CHARACTERS
from campaigns.domain.values import value


@value
class Details:
    """What a provider says of a message beside its status word, fit to be kept."""

    reason: str | None = None
    changed_at: datetime | None = None
    cost: Decimal | None = None
    currency: str | None = None
    segment_count: int | None = None
    channel: str | None = None


NO_DETAILS = Details()

LONGEST_PROVIDER_ID = 128
"""Characters of a provider's id; a longer one names no message."""

LONGEST_STATUS_WORD = 64
"""Characters of a provider's status word that are kept."""


def kept_status_word(said: str) -> str:
    """A provider's status word as it is kept beside our state."""
    storable = said if said.isprintable() else UNSTORABLE_CHARACTERS.sub("", said)
    return storable[:LONGEST_STATUS_WORD]


def details_of(said: Receipt | Sighting, now: datetime) -> Details:
    """What a receipt or a sighting says beside its status word: what cannot be believed is left out.

    Takes the time now, aware.
    """
    if not (said.code or said.reason or said.changed_at or said.currency or said.channel) and (
        said.cost is None and said.segment_count is None
    ):
        return NO_DETAILS  # as most come
    return Details(
        reason_of(said.code, said.reason),
        believed_moment(said.changed_at, now),
        believed_cost(said.cost),
        believed_currency(said.currency),
        believed_segment_count(said.segment_count),
        believed_channel(said.channel),
    )


LONGEST_REASON = 160
"""Characters of a reason, code included."""

_LONGEST_READ = 1_000  # of a sentence; what is behind it is not looked at
_MOST_MONEY = Decimal(10**9)  # nobody pays so much for one message
_FINEST_MONEY = -18  # decimal digits behind the point that are believed
_OLDEST = timedelta(days=400)
_LEAD = timedelta(days=1)  # a clock that is ahead, or a time of theirs without its zone

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}")
_MANY_DIGITS = re.compile(r"\d{7}")  # what may be a number of a person
_ADDRESS = re.compile(r"\S*(?:@|://|www\.)\S*")
_QUOTED = re.compile(
    r"\"[^\"]*\"?|\u00ab[^\u00bb]*\u00bb?|[\u201c\u201e][^\u201c\u201d]*[\u201c\u201d]?"
    r"|\u2018[^\u2019]*\u2019?|`[^`]*`?|(?<!\w)'[^']*'?"
)
_DIGITS = re.compile(r"\d(?:[ ().+/\u2010-\u2015-]*\d)*")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CHANNEL = re.compile(r"[A-Z][A-Z0-9_-]{0,15}")
_LEFT_OUT = "\u2026"


def believed_code(code: str | None) -> str | None:
    """A code of a provider; None where it could be something else than a code."""
    text = (code or "").strip()
    return text if _CODE.fullmatch(text) and not _MANY_DIGITS.search(text) else None


def reason_of(code: str | None, sentence: str | None) -> str | None:
    """Why a message is as it is, in one printable line of at most LONGEST_REASON characters.

    Takes a provider's code and sentence, either or both as they came. Gives "code 1: Number blocked", with
    every run of digits in the sentence as one #; None where nothing is said.
    """
    number = believed_code(code)
    text = masked(sentence or "")
    if number is not None and text:
        return f"code {number}: {text}"[:LONGEST_REASON].rstrip()
    return f"code {number}" if number is not None else text or None


def masked(sentence: str) -> str:
    """A sentence of theirs in one printable line: no digits, no quotations, no addresses. Idempotent."""
    line = " ".join("".join(c if c.isprintable() else " " for c in sentence[:_LONGEST_READ]).split())
    for what, instead in ((_ADDRESS, _LEFT_OUT), (_QUOTED, _LEFT_OUT), (_DIGITS, "#")):
        line = what.sub(instead, line)
    return line[:LONGEST_REASON].strip()


def believed_moment(moment: datetime | None, now: datetime) -> datetime | None:
    """When something changed at a provider; None where it cannot be: no zone, years ago, days ahead."""
    if moment is None or moment.utcoffset() is None:
        return None
    return moment if now - _OLDEST <= moment <= now + _LEAD else None


def believed_cost(cost: Decimal | None) -> Decimal | None:
    """What one message cost; None where nobody could be charged that."""
    if cost is None or not cost.is_finite() or not 0 <= cost < _MOST_MONEY:
        return None
    exponent = cost.as_tuple().exponent
    return cost if isinstance(exponent, int) and exponent >= _FINEST_MONEY else None


def believed_id(provider_message_id: str | None) -> str | None:
    """A provider's id of a message; None where it cannot be kept."""
    if not provider_message_id or len(provider_message_id) > LONGEST_PROVIDER_ID:
        return None
    return None if UNSTORABLE_CHARACTERS.search(provider_message_id) else provider_message_id


def believed_currency(currency: str | None) -> str | None:
    """A currency by ISO 4217, in capitals; None where it is written otherwise."""
    text = (currency or "").strip().upper()
    return text if _CURRENCY.fullmatch(text) else None


def believed_channel(channel: str | None) -> str | None:
    """What a message went by (SMS, RCS), in capitals; None where it is none."""
    text = (channel or "").strip().upper()
    return text if _CHANNEL.fullmatch(text) else None
