"""What an account at Loyalty.lt needs."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from campaigns.domain.addresses import address_before
from campaigns.domain.limits import Limits
from campaigns.providers.account import AccountSettings, Currency, HeaderSecret

LIMITS = Limits(
    "Loyalty.lt",
    1600,
    ((r"(?=.{1,11}$)[^\W_]([^\W_]| )*", "at most 11, and letters, digits and blanks alone"),),
)
"""Source: LOY send, `source` and `message`."""


def _locale(locale: str) -> str:
    if not re.fullmatch(r"[a-z]{2}", locale):
        raise ValueError("must be two small letters, such as en or lt")
    return locale


class LoyaltyLtAccount(AccountSettings):
    """One account at Loyalty.lt."""

    asks_one_by_one: ClassVar[bool] = True
    limits: ClassVar[Limits] = LIMITS

    provider: Literal["loyalty_lt"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    api_key: HeaderSecret
    """The API key of the account, from the Partners Portal. Wrong: everything is refused and the account is
    held."""
    api_secret: HeaderSecret
    """The API secret that came with the key. Wrong: everything is refused and the account is held."""
    locale: Annotated[str, AfterValidator(_locale)] = "en"
    """The language of Loyalty.lt's own sentences, which we only store. Unknown to it: every request fails."""
    base_url: Annotated[
        str, AfterValidator(address_before("/{locale}/sms/", ends="(/[a-z]{2}|/sms|/sms/send|/sms/status)$"))
    ] = "https://api.loyalty.lt"
    """Everything before /{locale}/sms/. Wrong: texts and credentials go to a stranger."""
    currency: Currency | None = "EUR"
    """What the account is billed in (their prices are in euro). Wrong: so are all reports."""
    requests_per_second: float = Field(default=0.98, gt=0)
    """How fast we send: a hair under 60 messages a minute, which they count in any minute while ours leave a
    little late or in time. Too high: we are throttled; too low: campaigns crawl."""
    questions_per_second: float | None = Field(default=5, gt=0)
    """How fast we ask what became of messages: Loyalty.lt's limit is on messages, so questions are counted
    apart (that they are free of it is inferred, not documented). Too high: we are throttled; too low:
    statuses come late."""
    concurrency: int = Field(default=10, ge=1)
    """Requests of one batch in flight at once, each of one message. Too few: a slow answer holds up the whole
    batch; too many: a killed worker leaves as many messages in doubt."""
