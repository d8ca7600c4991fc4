"""What an account at seven.io needs."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from campaigns.domain.addresses import address_before
from campaigns.domain.limits import Limits
from campaigns.providers.account import AccountSettings, Currency, HeaderSecret

LIMITS = Limits("seven.io", 1520, ((r".{1,11}", "at most 11"), (r"\+?[0-9]{1,16}", "at most 16 digits")))
"""Source: DOCS sms, `from` and `text`."""


class SevenAccount(AccountSettings):
    """One account at seven.io."""

    limits: ClassVar[Limits] = LIMITS

    provider: Literal["seven"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    api_key: HeaderSecret
    """The API key of the account. Wrong: everything is refused and the account is held."""
    signing_key: SecretStr | None = Field(default=None, min_length=1)
    """The signing key of the account: requests are signed with it and callbacks verified (it needs a clock
    that is right by 30 seconds). Wrong: both are refused; none: requests are not signed, and a callback is
    known by its address alone."""
    base_url: Annotated[str, AfterValidator(address_before("/sms", ends="/sms$"))] = (
        "https://gateway.seven.io/api"
    )
    """Everything before /sms. Wrong: texts and the key go to a stranger."""
    currency: Currency | None = None
    """What the account is billed in, since seven.io's answer does not name it. Wrong: so are all reports."""
    max_recipients_per_request: int = Field(default=100, ge=1, le=100)
    """Numbers in one request. Above what seven.io takes (it is not documented), a request is refused; at 1
    each message can be looked up by our own reference."""
    concurrency: int = Field(default=1, ge=1)
    """Requests of one batch in flight at once. Worth raising only with few recipients a request; too many: a
    killed worker leaves as many of them in doubt."""

    @property
    def takes_unsigned_callbacks(self) -> bool:
        """Without a signing key."""
        return self.signing_key is None
