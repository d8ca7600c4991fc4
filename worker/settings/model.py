"""The settings: what an operator decides, what each is checked for, and what goes wrong without it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from campaigns.domain.addresses import web_address
from campaigns.domain.allowance import Allowance
from campaigns.domain.backoff import Backoff
from campaigns.domain.callbacks import MIN_SECRET_CHARACTERS, CallbackUrls
from campaigns.domain.errors import NotFound
from campaigns.domain.limits import AccountTerms
from campaigns.lazy_imports import lazy_imports
from worker.settings.accounts import PROVIDERS, AccountSettings, AnyAccount, Group, Seconds
from worker.settings.addresses import Postgres, Redis, safe_url
from worker.settings.environment import PREFIX
from worker.settings.safety import check_secret, check_web_address, read_host_names, read_networks

with lazy_imports(__name__):  # outcomes, circuits, late answers: for who hands over
    from campaigns.domain import policy

if TYPE_CHECKING:
    from campaigns.domain.policy import Policy

_LEASE_MARGIN_SECONDS = 10.0  # to write down the answers after the slowest request, with room to spare


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # a container's uid that has no account, and no HOME
        raise ValueError("begins with ~, and nothing says where that home is: write the whole path") from None


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _yes_or_no(value: object) -> object:
    return {"true": "yes", "1": "yes", "false": "no", "0": "no"}.get(str(value).lower(), _lower(value))


def _networks(listed: str) -> str:
    read_networks(listed)
    return listed


def _account_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]+", name) or "__" in name or name.endswith("_"):
        raise ValueError(
            "must be named otherwise: an account's name is small letters, digits, - and single _ inside"
        )
    return name


Factor = Annotated[float, Field(ge=1)]
Jitter = Annotated[float, Field(ge=0, le=0.5)]


class _Waits(Group):
    variables: ClassVar[str]

    @field_validator("max_seconds", "give_up_seconds", check_fields=False)
    @classmethod
    def _above_the_first(cls, seconds: float, info: ValidationInfo) -> float:
        first = info.data.get("first_seconds")
        is_limit = info.field_name == "give_up_seconds"
        if first is not None and (seconds < first or (is_limit and seconds == first)):
            least = "above" if is_limit else "at least"
            raise ValueError(
                f"is {seconds:g}: it must be {least} {cls.variables}FIRST_SECONDS, which is {first:g}"
            )
        return seconds


class PollSettings(_Waits):
    """When to ask what became of accepted messages, and when to stop."""

    variables = f"{PREFIX}POLL__"

    first_seconds: Seconds = 10
    """The wait before the first question. Too short: questions before any operator has answered."""
    factor: Factor = 2
    """By what each wait is longer than the last. At 1 the questions never thin out."""
    max_seconds: Seconds = 3600
    """The longest wait. Too long: final words are learned late and campaigns finish late."""
    jitter: Jitter = 0.1
    """The share by which waits differ. At 0 all batches of a campaign ask at the same moment."""
    after_callback_seconds: Seconds = 120
    """The wait before the first question where the provider was told to call us. Too short: questions that
    callbacks would have answered; too long: a callback that was lost is noticed late."""
    give_up_seconds: Seconds = 72 * 3600
    """When a message without a final word becomes unknown. Too short: delivered messages are reported so."""


class RetrySettings(_Waits):
    """When to try again what certainly did not leave."""

    variables = f"{PREFIX}RETRY__"

    first_seconds: Seconds = 5
    """The wait after the first failure. Too short: a provider in trouble is hammered."""
    factor: Factor = 2
    """By what each wait is longer than the last. At 1 an outage is hammered to its end."""
    max_seconds: Seconds = 900
    """The longest wait. Too long: a campaign stands still long after the provider is back."""
    jitter: Jitter = 0.1
    """The share by which waits differ. At 0 everything comes back at the same moment."""


class Settings(BaseSettings):
    """All that can be set. Made from arguments it reads nothing; `load_settings` reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,
    )

    database_url: str | None = None
    """PostgreSQL; None: an embedded one in DATA_DIR. Wrong: another database's campaigns are sent."""
    redis_url: str | None = None
    """Redis; None: an embedded one. Shared with a stranger: paces and tasks of both are mixed."""
    data_dir: Annotated[Path, AfterValidator(_at_home)] = Path(".campaigns")
    """Where embedded servers keep their data, and workers the answers that the database could not take yet.
    Moved or lost: the campaigns in it are gone, and what was answered is in doubt."""
    allow_plain_http: Annotated[Literal["no", "yes"], BeforeValidator(_yes_or_no)] = "no"
    """Whether addresses of others may begin with http://. yes: credentials and texts pass in clear."""
    accounts: Annotated[
        dict[Annotated[str, AfterValidator(_account_name)], AnyAccount],
        AfterValidator(MappingProxyType),
        PlainSerializer(dict),
    ] = Field(default={})
    """The accounts by name. A name changed while a campaign runs: its messages have no account."""
    public_url: Annotated[str, AfterValidator(web_address)] | None = None
    """Where providers reach `campaigns web`, everything before /callbacks/; none: no provider is asked to
    call. Wrong: callbacks go to a stranger, and final words are learned late."""
    callback_secret: SecretStr | None = Field(default=None, min_length=MIN_SECRET_CHARACTERS)
    """What the tokens in callback addresses are made with, the same in every process. Known to others: they
    can make receipts up; changed: callbacks to the addresses of before are refused."""
    callback_secret_before: SecretStr | None = Field(default=None, min_length=MIN_SECRET_CHARACTERS)
    """The secret of before a change of CALLBACK_SECRET, believed but not used any more. Removed too early:
    callbacks to the addresses of before are refused."""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] | None = None
    """Our own proxies, whose X-Forwarded-For is believed in the log of refused callbacks. Too many: a caller
    may say to be anybody."""
    api_hosts: Annotated[str, AfterValidator(read_host_names)] | None = None
    """Names by which the API may be asked, beside localhost, addresses and PUBLIC_URL's; not set: behind a
    proxy any, else none. One missing: who asks by it gets 421."""
    webhook_allow: Annotated[str, AfterValidator(_networks)] | None = None
    """Networks of our own that webhooks may reach; none: public addresses alone. Too many: whoever may make
    a webhook sends requests into our network."""
    api_url: Annotated[str, AfterValidator(web_address)] | None = None
    """The API of another `campaigns web`, everything before /v1: commands then work by it and not by the
    database; none: by the database. Wrong: a stranger is told the key, texts and numbers."""
    api_key: SecretStr | None = Field(default=None, min_length=1)
    """The key with which commands speak to API_URL. Known to others: they may do what it may."""
    poll: PollSettings = PollSettings()
    """When to ask what became of messages."""
    retry: RetrySettings = RetrySettings()
    """When to try again what certainly did not leave."""
    lease_seconds: Seconds = 60
    """How long a worker may work on a batch unseen. Too short: rescue races the living; too long: what a
    killed worker held stands still."""
    tick_seconds: Seconds = 1
    """How often due batches are dealt out. Too long: every batch waits so long for nothing."""
    in_flight_batches: int = Field(default=128, ge=1)
    """Batches dealt out and not finished. Too few: workers idle; too many: pausing takes effect late."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where this process tells machines how it is, at /metrics; none: nowhere. Each process of a machine has
    its own; `campaigns up` gives web this one, beat the next, and each worker one more. Reached by strangers:
    they read accounts and volumes, no number and no text."""
    metrics_host: str = "127.0.0.1"
    """The address at which it listens for that. 0.0.0.0: whoever reaches the port reads it."""
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = "auto"
    """auto: for people on a terminal, JSON elsewhere. console elsewhere: log collectors cannot read it."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"
    """What is worth a line. debug in production: a few lines for every batch."""

    @field_validator("database_url")
    @classmethod
    def _is_database_url(cls, url: str | None) -> str | None:
        if url is not None:
            Postgres.read(url)
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url_and_both_are_set(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None:
            Redis.read(url)
        if "database_url" in info.data and (url is None) is not (info.data["database_url"] is None):
            missing, given = ("REDIS_URL", "DATABASE_URL") if url is None else ("DATABASE_URL", "REDIS_URL")
            raise ValueError(
                f"{PREFIX}{missing} is missing: {PREFIX}{given} is set, so set both, or neither of them "
                "for embedded servers"
            )
        return url

    @field_validator("accounts")
    @classmethod
    def _speaks_in_secret(
        cls, accounts: Mapping[str, AccountSettings], info: ValidationInfo
    ) -> Mapping[str, AccountSettings]:
        allowed = info.data.get("allow_plain_http") == "yes"
        for name, account in accounts.items():
            for field in account.addresses:
                variable = f"{PREFIX}ACCOUNTS__{name.upper()}__{field.upper()}"
                try:
                    check_web_address(getattr(account, field), allows_plain_http=allowed)
                except ValueError as error:
                    raise ValueError(f"{variable} {error}") from None
        return accounts

    @field_validator("api_key")
    @classmethod
    def _is_set_with_the_api_url(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "api_url" in info.data and (key is None) is not (info.data["api_url"] is None):
            missing, given = ("API_KEY", "API_URL") if key is None else ("API_URL", "API_KEY")
            raise ValueError(
                f"{PREFIX}{missing} is missing: {PREFIX}{given} is set, so set both, or neither of them for "
                "commands that work by the database"
            )
        return key

    @field_validator("public_url", "api_url")
    @classmethod
    def _is_called_in_secret(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None:
            check_web_address(url, allows_plain_http=info.data.get("allow_plain_http") == "yes")
        return url

    @field_validator("callback_secret", "callback_secret_before")
    @classmethod
    def _is_hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            check_secret(secret.get_secret_value())
        return secret

    @field_validator("callback_secret")
    @classmethod
    def _is_set_with_the_public_url(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None and info.data.get("public_url") is not None:
            raise ValueError(
                f"is missing: {PREFIX}PUBLIC_URL is set, so set it to {MIN_SECRET_CHARACTERS} random "
                "characters or more, the same for every process"
            )
        return secret

    @field_validator("poll")
    @classmethod
    def _asks_before_it_gives_up(cls, poll: PollSettings, info: ValidationInfo) -> PollSettings:
        is_called = info.data.get("public_url") is not None
        if is_called and poll.after_callback_seconds >= poll.give_up_seconds:
            raise ValueError(
                f"{PREFIX}POLL__AFTER_CALLBACK_SECONDS is {poll.after_callback_seconds:g}: it must be below "
                f"{PREFIX}POLL__GIVE_UP_SECONDS, which is {poll.give_up_seconds:g}"
            )
        return poll

    @field_validator("lease_seconds")
    @classmethod
    def _outlasts_a_request(cls, lease_seconds: float, info: ValidationInfo) -> float:
        accounts: Mapping[str, AccountSettings] = info.data.get("accounts", {})
        slowest = max((account.timeout_seconds for account in accounts.values()), default=0.0)
        if accounts and lease_seconds < slowest + _LEASE_MARGIN_SECONDS:
            raise ValueError(
                f"is {lease_seconds:g}: it must be at least {slowest + _LEASE_MARGIN_SECONDS:g}, the longest "
                f"TIMEOUT_SECONDS of an account and {_LEASE_MARGIN_SECONDS:g} more"
            )
        return lease_seconds

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: a test's settings must not change with the machine it runs on."""
        return (init_settings,)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            hides = name in {"database_url", "redis_url"} and value is not None
            yield name, safe_url(value) if hides else value

    def account(self, name: str) -> AccountSettings:
        """The account called `name`. Raises NotFound, naming those that exist."""
        if name in self.accounts:
            return self.accounts[name]
        if not self.accounts:
            raise NotFound(
                f"No account is set up yet: set {PREFIX}ACCOUNTS__MAIN__PROVIDER and what follows."
            )
        # What was asked for is not repeated: people paste keys and numbers into the wrong field.
        raise NotFound(
            f"There is no account of that name. The accounts are: {', '.join(sorted(self.accounts))}."
        )

    def terms(self, name: str) -> AccountTerms:
        """What a submission must know of the account called `name`, in either case. Raises NotFound."""
        account = self.account(name.lower())
        return AccountTerms(
            name.lower(),
            account.sender_id,
            account.needs_sender_id,
            account.currency,
            account.limits,
            Allowance(segments_per_month=account.segments_per_month),
        )

    def callback_urls(self, name: str) -> CallbackUrls | None:
        """Where the provider of account `name` may call us; None if it does not call, or if PUBLIC_URL is not
        set. Raises NotFound.
        """
        account = self.account(name)
        if self.public_url is None or self.callback_secret is None or not account.calls_back:
            return None
        before = self.callback_secret_before
        return CallbackUrls(
            name,
            self.public_url,
            self.callback_secret.get_secret_value(),
            None if before is None else before.get_secret_value(),
        )

    def policy(self) -> "Policy":
        """The numbers the stages work by."""
        poll, retry = self.poll, self.retry
        return policy.Policy(
            lease_seconds=self.lease_seconds,
            give_up_seconds=poll.give_up_seconds,
            in_flight_batches=self.in_flight_batches,
            poll=Backoff(poll.first_seconds, poll.factor, poll.max_seconds, poll.jitter),
            retry=Backoff(retry.first_seconds, retry.factor, retry.max_seconds, retry.jitter),
            poll_after_callback_seconds=poll.after_callback_seconds,
        )

    def secrets(self) -> frozenset[str]:
        """Every secret among the settings, for `configure_logs` to hide wherever it appears.

        A password that is also the user's or the database's name (a development set-up) is no secret, and
        hiding it would blot out half of every line.
        """
        urls = [urlsplit(url) for url in (self.database_url, self.redis_url) if url is not None]
        passwords = {
            url.password for url in urls if url.password and url.password not in {url.username, url.path[1:]}
        }
        keys = {secret for account in self.accounts.values() for secret in account.secrets()}
        for secret in (self.callback_secret, self.callback_secret_before, self.api_key):
            keys |= {secret.get_secret_value()} if secret is not None else set()
        return frozenset({*passwords, *map(unquote, passwords), *keys})


_ACCOUNT_FIELDS = {
    name: field for each in PROVIDERS.values() for name, field in each.settings.model_fields.items()
}
GROUPS: Mapping[str, Mapping[str, FieldInfo]] = {
    "accounts": _ACCOUNT_FIELDS,
    "poll": PollSettings.model_fields,
    "retry": RetrySettings.model_fields,
}
"""Settings with settings inside, by name. Of accounts, whatever the account of any provider has."""
