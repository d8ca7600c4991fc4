"""What an operator decides of any account, and the checks that several providers' settings share.

Models alone: nothing here reads the environment. `worker.settings` does, and gives the values.
"""

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from campaigns.domain.limits import NO_LIMITS, Limits

Seconds = Annotated[float, Field(gt=0)]


class Group(BaseModel):
    """Settings that belong together: read once, never changed, and silent about what was typed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,  # a model inside another is built as a part of it, and would be once more by itself
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,  # what was typed may be a secret in the wrong place
    )


def _currency(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError("must be three capital letters of ISO 4217, such as EUR")
    return code


def _in_header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be printable ASCII without blanks: in a header nothing else arrives as it is")
    return secret


Currency = Annotated[str, AfterValidator(_currency)]
HeaderSecret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_in_header)]


class AccountSettings(Group):
    """What one account needs, whatever its provider.

    A provider's own model adds `provider`, its word in the settings, and says where it differs:
    `needs_sender_id`: a campaign must say who it is from; `calls_back`: the provider tells us by itself what
    became of messages; `asks_one_by_one`: a question is about one message; `limits`: what its documents rule
    out; `addresses`: the settings that are addresses of its services.
    """

    needs_sender_id: ClassVar[bool] = True
    calls_back: ClassVar[bool] = True
    asks_one_by_one: ClassVar[bool] = False
    limits: ClassVar[Limits] = NO_LIMITS
    addresses: ClassVar[tuple[str, ...]] = ("base_url",)

    sender_id: str | None = Field(default=None, min_length=1)
    """Who the texts come from where a campaign does not say. Not approved there: all are rejected."""
    requests_per_second: float = Field(default=5, gt=0)
    """How fast we speak to the account. Too high: it is throttled; too low: campaigns crawl."""
    questions_per_second: float | None = Field(default=None, gt=0)
    """How fast we ask what became of messages, counted apart from what is sent. Not set: sends and questions
    share REQUESTS_PER_SECOND, half each while both want it. Too high: we are throttled; too low: statuses
    come late."""
    segments_per_month: int | None = Field(default=None, ge=1)
    """How many segments may be submitted in a month (UTC), whoever submits; not set: any number. Too low:
    submissions are refused until the month is over; not set: nothing bounds what a mistake costs."""
    burst: int = Field(default=1, ge=1)
    """Requests that may leave at once after a pause. Any second may then hold so many above the rate, so
    it is 1 unless the provider allows more; a steady rate loses nothing by it."""
    timeout_seconds: Seconds = 20
    """The longest one request may take. Too short: messages that were sent stand in doubt; too long: one
    hanging connection holds its batch up (and LEASE_SECONDS must grow with it)."""

    if TYPE_CHECKING:  # settings of the providers' own models: `provider` of each, `currency` of most

        @property
        def provider(self) -> str:
            """The provider's name in the settings."""
            return ""  # a field of each

        @property
        def currency(self) -> str | None:
            """What the account is billed in, ISO 4217; None: not known here."""

    @property
    def takes_unsigned_callbacks(self) -> bool:
        """Whether callbacks could be signed and are not, because a setting is missing."""
        return False

    def secrets(self) -> set[str]:
        """Every secret of the account, in each form in which it goes out."""
        return {value.get_secret_value() for _, value in self if isinstance(value, SecretStr)}
