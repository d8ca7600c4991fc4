"""What an operator decides of one account, a class for each provider. Read by `settings`."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from campaigns.domain.limits import LIGHTSMS, LOYALTY_LT, NAMIRIAL, NO_LIMITS, SEVEN, Limits
from worker.addresses import split

Seconds = Annotated[float, Field(gt=0)]


class Group(BaseModel):
    """Settings that belong together: read once, never changed, and silent about what was typed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # what was typed may be a secret in the wrong place
    )


def web_address(url: str) -> str:
    """`url` as everything else can be put behind it: http or https, a host, no user, no ?, no / at its end.

    Raises ValueError, a sentence without its subject that shows nothing of the address.
    """
    parts = split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query:
        raise ValueError("must be an address alone, without a user and without ?")
    return url.rstrip("/")


def _before(path: str, *, ends: str) -> Callable[[str], str]:
    """A check for the address that stands before `path`; `ends`: the parts of `path` one types too much."""

    def check(url: str) -> str:
        sentence = f"must be only what stands before {path}, without a user and without ?"
        parts = split(url)
        if parts.hostname and ("@" in parts.netloc or parts.query or re.search(ends, parts.path.rstrip("/"))):
            raise ValueError(sentence)
        return web_address(url)

    return check


def _currency(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError("must be three capital letters of ISO 4217, such as EUR")
    return code


def _locale(locale: str) -> str:
    if not re.fullmatch(r"[a-z]{2}", locale):
        raise ValueError("must be two small letters, such as en or lt")
    return locale


def _in_header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be printable ASCII without blanks: in a header nothing else arrives as it is")
    return secret


def _in_basic(username: str) -> str:
    if ":" in username:
        raise ValueError("may hold no colon: HTTP Basic could not tell it from the password")
    return username


Currency = Annotated[str, AfterValidator(_currency)]
HeaderSecret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_in_header)]


class _Account(Group):
    needs_sender_id: ClassVar[bool] = True
    calls_back: ClassVar[bool] = True
    asks_one_by_one: ClassVar[bool] = False
    limits: ClassVar[Limits] = NO_LIMITS

    sender_id: str | None = Field(default=None, min_length=1)
    """Who the texts come from where a campaign does not say. Not approved there: all are rejected."""
    requests_per_second: float = Field(default=5, gt=0)
    """How fast we speak to the account. Too high: it is throttled; too low: campaigns crawl."""
    questions_per_second: float | None = Field(default=None, gt=0)
    """How fast we ask what became of messages, counted apart from what is sent. Not set: sends and questions
    share REQUESTS_PER_SECOND, half each while both want it. Too high: we are throttled; too low: statuses
    come late."""
    burst: int = Field(default=1, ge=1)
    """Requests that may leave at once after a pause. Any second may then hold so many above the rate, so
    it is 1 unless the provider allows more; a steady rate loses nothing by it."""
    timeout_seconds: Seconds = 20
    """The longest one request may take. Too short: messages that were sent stand in doubt; too long: one
    hanging connection holds its batch up (and LEASE_SECONDS must grow with it)."""


class LightSMSAccount(_Account):
    """One account at LightSMS."""

    calls_back: ClassVar[bool] = False
    limits: ClassVar[Limits] = LIGHTSMS

    provider: Literal["lightsms"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    login: str = Field(min_length=1)
    """The login of the account. Wrong: LightSMS refuses everything and the account is held."""
    api_key: SecretStr = Field(min_length=1)
    """The API key of the account. Wrong: every signature is refused and the account is held."""
    base_url: Annotated[str, AfterValidator(_before("/external/get/", ends="/external/get$"))] = (
        "https://www.lightsms.com"
    )
    """Everything before /external/get/. Wrong: texts and signatures go to a stranger."""
    currency: Currency | None = None
    """What the account is billed in, since LightSMS's answer does not name it. Wrong: so are all reports."""
    max_recipients_per_request: int = Field(default=100, ge=1, le=100)
    """Above what LightSMS takes (its documents say 100 and 50), a request is refused and cut smaller."""


class LoyaltyLtAccount(_Account):
    """One account at Loyalty.lt."""

    asks_one_by_one: ClassVar[bool] = True
    limits: ClassVar[Limits] = LOYALTY_LT

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
        str, AfterValidator(_before("/{locale}/sms/", ends="(/[a-z]{2}|/sms|/sms/send|/sms/status)$"))
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


class SevenAccount(_Account):
    """One account at seven.io."""

    limits: ClassVar[Limits] = SEVEN

    provider: Literal["seven"]
    """The company that sends. Another one: this account's credentials mean nothing there."""
    api_key: HeaderSecret
    """The API key of the account. Wrong: everything is refused and the account is held."""
    signing_key: SecretStr | None = Field(default=None, min_length=1)
    """The signing key of the account: requests are signed with it and callbacks verified (it needs a clock
    that is right by 30 seconds). Wrong: both are refused; none: requests are not signed, and a callback is
    known by its address alone."""
    base_url: Annotated[str, AfterValidator(_before("/sms", ends="/sms$"))] = "https://gateway.seven.io/api"
    """Everything before /sms. Wrong: texts and the key go to a stranger."""
    currency: Currency | None = None
    """What the account is billed in, since seven.io's answer does not name it. Wrong: so are all reports."""
    max_recipients_per_request: int = Field(default=100, ge=1, le=100)
    """Numbers in one request. Above what seven.io takes (it is not documented), a request is refused; at 1
    each message can be looked up by our own reference."""
    concurrency: int = Field(default=1, ge=1)
    """Requests of one batch in flight at once. Worth raising only with few recipients a request; too many: a
    killed worker leaves as many of them in doubt."""


class NamirialAccount(_Account):
    """One account at Namirial's SMS service: one address and one credential to send, others to ask."""

    needs_sender_id: ClassVar[bool] = False
    asks_one_by_one: ClassVar[bool] = True
    limits: ClassVar[Limits] = NAMIRIAL

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
        AfterValidator(_before("/api/Services/send", ends="/api(/Services(/send)?)?$")),
    ] = "https://sms.namirialtsp.com"
    """Everything before /api/Services/send. Wrong: texts and the password go to a stranger."""
    status_url: Annotated[
        str, AfterValidator(_before("/api/messagestatus/", ends="/api(/messagestatus)?$"))
    ] = "https://sms-apistatus.namirialtsp.com"
    """Everything before /api/messagestatus/, on another host. Wrong: numbers and the key go to a stranger."""
    concurrency: int = Field(default=10, ge=1)
    """Requests of one batch in flight at once, each of one message. Too few: a slow answer holds up the whole
    batch; too many: a killed worker leaves as many messages in doubt."""

    @property
    def currency(self) -> None:
        """None: Namirial's answers hold no price."""


AccountSettings = Annotated[
    LightSMSAccount | LoyaltyLtAccount | SevenAccount | NamirialAccount, Field(discriminator="provider")
]
"""What one account needs. `needs_sender_id`: a campaign must say who it is from; `calls_back`: the provider
tells us by itself what became of messages; `asks_one_by_one`: a question is about one message."""

KINDS: Mapping[str, type[Group]] = {
    "lightsms": LightSMSAccount,
    "loyalty_lt": LoyaltyLtAccount,
    "seven": SevenAccount,
    "namirial": NamirialAccount,
}
"""Each provider's word in the settings -> what an account at it needs."""
