"""What an account at Namirial's SMS service needs."""

from base64 import b64encode
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from campaigns.domain.addresses import address_before
from campaigns.domain.limits import Limits
from campaigns.providers.account import AccountSettings, HeaderSecret

LIMITS = Limits("Namirial", 1600, takes_sender_id=False)
"""Source: OPENAPI, `text`. There is no field for a sender."""


def basic(username: str, password: str) -> str:
    """User and password as HTTP Basic writes them (RFC 7617)."""
    return b64encode(f"{username}:{password}".encode()).decode()


def _in_basic(username: str) -> str:
    if ":" in username:
        raise ValueError("may hold no colon: HTTP Basic could not tell it from the password")
    return username


class NamirialAccount(AccountSettings):
    """One account at Namirial's SMS service: one address and one credential to send, others to ask."""

    needs_sender_id: ClassVar[bool] = False
    asks_one_by_one: ClassVar[bool] = True
    limits: ClassVar[Limits] = LIMITS
    addresses: ClassVar[tuple[str, ...]] = ("send_url", "status_url")

    provider: Literal["namirial"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    username: Annotated[str, Field(min_length=1), AfterValidator(_in_basic)]
    """The user of the sending service. Wrong: everything is refused and the account is held."""
    password: SecretStr = Field(min_length=1)
    """The password of that user. Wrong: everything is refused and the account is held."""
    api_key: HeaderSecret
    """The API key of the status service, which is another one. Wrong: nothing is learned of any message but
    by callbacks."""
    reference_service: str = Field(min_length=1)
    """The service name Namirial agreed on with you; it stands beside our reference in each message. Unknown
    there: every message is refused (its error 59)."""
    reference_action: str | None = Field(default=None, min_length=1)
    """An action name of yours that stands beside it in Namirial's own reports. Wrong: only those are."""
    sender_id: str | None = Field(default=None, min_length=1)
    """A name kept with the campaign. Namirial takes none and shows its own: not set, nothing is missing."""
    send_url: Annotated[
        str,
        AfterValidator(address_before("/api/Services/send", ends="/api(/Services(/send)?)?$")),
    ] = "https://sms.namirialtsp.com"
    """Everything before /api/Services/send. Wrong: texts and the password go to a stranger."""
    status_url: Annotated[
        str, AfterValidator(address_before("/api/messagestatus/", ends="/api(/messagestatus)?$"))
    ] = "https://sms-apistatus.namirialtsp.com"
    """Everything before /api/messagestatus/, on another host. Wrong: numbers and the key go to a stranger."""
    concurrency: int = Field(default=10, ge=1)
    """Requests of one batch in flight at once, each of one message. Too few: a slow answer holds up the whole
    batch; too many: a killed worker leaves as many messages in doubt."""

    @property
    def currency(self) -> None:
        """None: Namirial's answers hold no price."""

    def secrets(self) -> set[str]:
        """User and password as HTTP Basic writes them, too: the header's name may not stand beside it."""
        return super().secrets() | {basic(self.username, self.password.get_secret_value())}
