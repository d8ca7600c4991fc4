"""What an account at LightSMS needs."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from campaigns.domain.addresses import address_before
from campaigns.domain.limits import Limits
from campaigns.providers.account import AccountSettings, Currency

LIMITS = Limits("LightSMS")
"""Their documents give no limit of either: a sender is a name they approved, and a URL holds ten segments."""


class LightSMSAccount(AccountSettings):
    """One account at LightSMS."""

    calls_back: ClassVar[bool] = False
    limits: ClassVar[Limits] = LIMITS

    provider: Literal["lightsms"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    login: str = Field(min_length=1)
    """The login of the account. Wrong: LightSMS refuses everything and the account is held."""
    api_key: SecretStr = Field(min_length=1)
    """The API key of the account. Wrong: every signature is refused and the account is held."""
    base_url: Annotated[str, AfterValidator(address_before("/external/get/", ends="/external/get$"))] = (
        "https://www.lightsms.com"
    )
    """Everything before /external/get/. Wrong: texts and signatures go to a stranger."""
    currency: Currency | None = None
    """What the account is billed in, since LightSMS's answer does not name it. Wrong: so are all reports."""
    max_recipients_per_request: int = Field(default=100, ge=1, le=100)
    """Above what LightSMS takes (its documents say 100 and 50), a request is refused and cut smaller."""
    concurrency: int = Field(default=1, ge=1)
    """Requests of one batch in flight at once. Worth raising only where texts differ, for each then needs a
    request of its own; too many: a killed worker leaves as many of them in doubt."""
