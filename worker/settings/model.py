"""The settings: what an operator decides, read once, checked whole, never changed afterwards.

This is the only reader of the environment. Names start with CAMPAIGNS_, two underscores lead inside
(CAMPAIGNS_ACCOUNTS__MAIN__LOGIN); the same lines may stand in a `.env` file of the working directory,
and the environment wins over it, name by name. Values in `.env` are taken as they stand: `${NAME}` is
not filled in. ACCOUNTS, ACCOUNTS__<NAME>, POLL and RETRY may also be given as one JSON object. A name
that is not a setting is an error, because a misspelt limit costs money; what Kubernetes writes for a
Service called campaigns… is passed over.
"""

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin
from urllib.parse import unquote, urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from campaigns.domain.addresses import web_address
from campaigns.domain.callbacks import MIN_SECRET_CHARACTERS
from campaigns.domain.errors import CampaignError, NotFound
from campaigns.domain.policy import Backoff, Policy
from worker.settings.accounts import PROVIDERS, AccountSettings, AnyAccount, Group, Seconds
from worker.settings.addresses import Postgres, Redis, safe_url
from worker.settings.safety import check_secret, check_web_address, read_networks
from worker.settings.service_links import is_service_link

PREFIX = "CAMPAIGNS_"

NOT_SETTINGS = frozenset({"CAMPAIGNS_TRACEBACK"})
"""CAMPAIGNS_ variables that others of ours read, and that are passed over here: `worker.cli` that one."""

_LEASE_MARGIN_SECONDS = 10.0  # to write down the answers after the slowest request, with room to spare


class SettingsError(CampaignError):
    """The settings cannot be used. One sentence a problem, each beginning with the variable to mend."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


# --- what can be set ---------------------------------------------------------------------------------


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
        use_attribute_docstrings=True,
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

    @field_validator("public_url")
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

    def policy(self) -> Policy:
        """The numbers the stages work by."""
        poll, retry = self.poll, self.retry
        return Policy(
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
        for secret in (self.callback_secret, self.callback_secret_before):
            keys |= {secret.get_secret_value()} if secret is not None else set()
        return frozenset({*passwords, *map(unquote, passwords), *keys})


_CELERYS_VARIABLES = (
    *("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"),
    *("CELERY_RESULT_BACKEND", "CELERY_LOADER"),
)


def refuse_celerys_variables(environment: Mapping[str, str] | None = None) -> None:
    """Raises SettingsError where a variable of Celery's own would move worker or beat to another broker than
    the one that every other command looks at. Left over from another application, mostly.
    """
    given = os.environ if environment is None else environment
    raise_for = [name for name in _CELERYS_VARIABLES if given.get(name)]
    if raise_for:
        raise SettingsError(
            f"{name} is set, or -b is given: Celery would use it in place of {PREFIX}REDIS_URL; remove it "
            f"(env -u {name} …)"
            for name in raise_for
        )


# --- reading -----------------------------------------------------------------------------------------

_ACCOUNT_FIELDS = {
    name: field for each in PROVIDERS.values() for name, field in each.settings.model_fields.items()
}
_GROUPS: dict[str, Mapping[str, FieldInfo]] = {
    "accounts": _ACCOUNT_FIELDS,
    "poll": PollSettings.model_fields,
    "retry": RetrySettings.model_fields,
}
_Problems = dict[str, str]  # the variable -> what is wrong with it, in one sentence that begins with it


def load_settings(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings.

    Takes the environment (None: the real one) and the file that stands behind it; the file may be absent.
    Raises SettingsError, which names everything that is wrong at once and shows no secret.
    """
    given = os.environ if environment is None else environment
    problems: _Problems = {}
    behind = _nested(_sorted_out(_lines(env_file, problems), problems))
    values = _merged(behind, _nested(_sorted_out(given.items(), problems)))
    settings: Settings | None = None
    errors: list[ErrorDetails] = []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for details in errors:
        sentence = _sentence(details)
        variable = sentence.split(maxsplit=1)[0]
        parents = ("__".join(variable.split("__")[:depth]) for depth in (1, 2, 3))
        if not any(parent in problems for parent in parents):
            problems[variable] = sentence
    if problems or settings is None:
        # Outside the except block: pydantic's error knows the values, and must not hang on to ours.
        raise SettingsError(problems.values())
    return settings


def _lines(env_file: Path | None, problems: _Problems) -> list[tuple[str, str | None]]:
    """The variables of `env_file`, in order; none where there is no file."""
    if env_file is None:
        return []
    try:
        with env_file.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems[str(env_file)] = f"{env_file} cannot be read ({type(error).__name__}): mend it or remove it"
        return []
    for binding in bindings:
        if binding.error and PREFIX in binding.original.string.upper():
            where = f"{env_file}, line {binding.original.line},"
            problems[where] = f"{where} cannot be read: write NAME=value, with quotes closed"
    return [(binding.key, binding.value) for binding in bindings if binding.key is not None]


def _sorted_out(variables: Iterable[tuple[str, str | None]], problems: _Problems) -> dict[str, str]:
    """Those of `variables` that are ours and sound, small and without prefix; the others to `problems`."""
    ours = [(typed, value) for typed, value in variables if typed.upper().startswith(PREFIX)]
    known = _known_names(typed for typed, _ in ours)
    sound: dict[str, str] = {}
    for typed, raw in ours:
        name, value = typed[len(PREFIX) :].lower(), (raw or "").strip()
        if typed.upper() in NOT_SETTINGS or is_service_link(typed[len(PREFIX) :], value):
            continue
        if not _is_setting(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {PREFIX}{near[0].upper()}?" if near else "no setting has a name like it"
            problems[typed.upper()] = f"{typed} is not a setting: {hint}"
        elif not value:
            problems[typed.upper()] = f"{typed} is set to nothing: give it a value, or remove it"
        elif name in sound:
            problems[typed.upper()] = f"{typed} is set twice in one place: remove one of them"
        elif not _is_object_name(name):
            sound[name] = value
        else:
            try:
                sound[name] = json.dumps(_json_object(value))
            except (ValueError, RecursionError):
                problems[typed.upper()] = (
                    f"{typed} must be one JSON object that names nothing twice, or left out in favour of "
                    f"variables that begin with {typed.upper()}__"
                )
    return sound


def _is_setting(name: str) -> bool:
    match name.split("__"):
        case [field]:
            return field in Settings.model_fields
        case ["accounts", _]:
            return True
        case [("poll" | "retry") as group, field] | [("accounts" as group), _, field]:
            return field in _GROUPS[group]
        case _:
            return False


def _is_object_name(name: str) -> bool:
    return name in _GROUPS or (name.startswith("accounts__") and name.count("__") == 1)


def _known_names(typed: Iterable[str]) -> list[str]:
    """Every name that could have been meant, given which accounts are spoken of."""
    inside = [name[len(PREFIX) :].lower().split("__")[1:-1] for name in typed if "__" in name]
    accounts = {"_".join(filter(None, middle)) for middle in inside} - {""} or {"main"}
    in_accounts = [
        f"accounts__{account}__{field}" for account in sorted(accounts) for field in _GROUPS["accounts"]
    ]
    in_groups = [f"{group}__{field}" for group in ("poll", "retry") for field in _GROUPS[group]]
    return [*Settings.model_fields, *in_groups, *in_accounts]


def _json_object(text: str) -> dict[str, Any]:
    """`text` with its names in small letters, as those of variables are. Raises ValueError."""

    def small(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = {name.lower(): value for name, value in pairs}
        if len(result) < len(pairs):
            raise ValueError("a name stands there twice")
        return result

    value = json.loads(text, object_pairs_hook=small)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    # Sorted, so that an account's JSON object comes before the single variables that add to it.
    source.env_vars = {PREFIX.lower() + name: variables[name] for name in sorted(variables)}
    return source()


def _merged(behind: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Both, nested; where they meet, `before` wins."""
    result = behind | before
    for name in behind.keys() & before.keys():
        if isinstance(behind[name], dict) and isinstance(before[name], dict):
            result[name] = _merged(behind[name], before[name])
    return result


def _sentence(details: ErrorDetails) -> str:
    """What is wrong, beginning with the variable as one would type it. Shows no value of a text field."""
    path = [str(part) for part in details["loc"] if part != "[key]"]
    siblings = _GROUPS[path[0]] if path[1:] and path[0] in _GROUPS else Settings.model_fields
    provider = ""
    if path[0] == "accounts" and path[2:3] and path[2] in PROVIDERS:
        provider = path.pop(2)  # pydantic names the member of a union there
        siblings = PROVIDERS[provider].settings.model_fields
    if details["type"].startswith("union_tag"):
        path.append("provider")
    variable = PREFIX + "__".join(path).upper()
    field = siblings.get(path[-1])
    kind, said = details["type"], str(details.get("ctx", {}).get("error", ""))
    if kind == "value_error":
        return said if said.startswith(PREFIX) else f"{variable} {said}"
    if kind == "extra_forbidden" and provider and path[-1] in _GROUPS["accounts"]:
        return f"{variable} is not a setting of an account at {provider}: remove it"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], siblings, n=1)
        meant = "__".join([*variable.split("__")[:-1], *near]).upper()
        return f"{variable} is not a setting here" + (f": did you mean {meant}?" if near else "")
    if field is None or (path[0] == "accounts" and len(path) == 2):
        return f"{variable} must be one JSON object"
    if kind in {"missing", "union_tag_not_found"}:
        about = (field.description or "its value").split(".")[0]
        what = _rule(field) if get_origin(field.annotation) is Literal else about[0].lower() + about[1:]
        return f"{variable} is missing: set it to {what}"
    value = details["input"].get("provider") if kind == "union_tag_invalid" else details["input"]
    shown = f'is "{value}": it ' if _may_be_shown(value, field) else ""
    return f"{variable} {shown}must be {_rule(field)}"


def _rule(field: FieldInfo) -> str:
    """What `field` takes, in words: "a number ≥ 1", "one of auto, json, console"."""
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        if choices[0] in PROVIDERS:
            choices = tuple(PROVIDERS)
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if field.annotation not in {int, float}:
        least = max((limit.min_length for limit in field.metadata if hasattr(limit, "min_length")), default=1)
        return "text, and not empty" if least == 1 else f"text of at least {least} characters"
    noun = "a whole number" if field.annotation is int else "a number"
    bounds = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("gt", "ge", "le")
        if hasattr(limit, name)
    }
    if "le" in bounds:
        return f"{noun} from {bounds['ge']:g} to {bounds['le']:g}"
    return f"{noun} ≥ {bounds['ge']:g}" if "ge" in bounds else f"{noun} above {bounds['gt']:g}"


def _may_be_shown(value: object, field: FieldInfo) -> bool:
    """Numbers and choices may; text may not, nor what looks like an address or a key in the wrong place."""
    if get_origin(field.annotation) is Literal:
        return isinstance(value, str) and re.fullmatch(r"[A-Za-z_.-]{1,16}", value) is not None
    if field.annotation not in {int, float}:
        return False
    return isinstance(value, str | int | float) and len(str(value)) <= 24 and "://" not in str(value)
