"""What the providers' own documents rule out, so that it is said at submission and not message by message.

Data and pure checks: taking a submission in needs them, and has no adapter.
"""

import re

from campaigns.domain.allowance import UNBOUNDED, Allowance
from campaigns.domain.values import value


@value
class Limits:
    """What one provider takes. None, or no forms: its documents do not say."""

    provider: str  # as people call it
    most_characters: int | None = None  # of a text
    sender_forms: tuple[tuple[str, str], ...] = ()  # (pattern, in words); any of them will do
    takes_sender_id: bool = True


NO_LIMITS = Limits("the provider")


@value
class AccountTerms:
    """What a submission must know of the account it goes through."""

    name: str
    sender_id: str | None = None  # who texts come from where a submission does not say
    needs_sender_id: bool = True
    currency: str | None = None  # ISO 4217
    limits: Limits = NO_LIMITS
    allowance: Allowance = UNBOUNDED  # whoever submits


def wrong_sender(limits: Limits, sender_id: str) -> str | None:
    """What is wrong with the form of a sender id, as one sentence; None where the provider may take it."""
    if not limits.takes_sender_id or not limits.sender_forms:
        return None
    if any(re.fullmatch(pattern, sender_id) for pattern, _ in limits.sender_forms):
        return None
    forms = ", or ".join(described for _, described in limits.sender_forms)
    return f"the sender id has {len(sender_id)} characters; {limits.provider} takes {forms}"


def is_too_long(limits: Limits, text: str) -> bool:
    """Whether a text has more characters than the provider takes."""
    return limits.most_characters is not None and len(text) > limits.most_characters


def too_long(limits: Limits, text: str) -> str | None:
    """What is wrong with the length of a text, as one sentence; None where the provider takes it."""
    if not is_too_long(limits, text):
        return None
    most = limits.most_characters
    return f"the text has {len(text)} characters; {limits.provider} takes at most {most}; shorten it"
