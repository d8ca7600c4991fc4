"""What the words of a provider can mean for a message that is handed over."""

from enum import StrEnum


class Means(StrEnum):
    """What a word or an HTTP status means for a message that was handed over."""

    TAKEN = "taken"
    REFUSED = "refused"  # this message, for good
    OPTED_OUT = "opted_out"  # so, and its number wants nothing any more
    FAILED = "failed"  # taken up and not sent, for good
    LATER = "later"  # not taken: too fast, or closed for a while
    NOT_SENT = "not_sent"  # not taken
    ACCOUNT = "account"  # not taken: the account is at fault
    SENDER = "sender"  # not taken: so would be every text from this sender
    TEXT = "text"  # not taken: so would be this text to anybody
    IN_DOUBT = "in_doubt"


FINAL = frozenset({Means.TAKEN, Means.REFUSED, Means.OPTED_OUT, Means.FAILED, Means.IN_DOUBT})
"""After these nothing is sent again. After the others an id in the same answer would contradict them."""
