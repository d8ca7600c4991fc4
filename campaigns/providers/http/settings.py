"""What an account at any provider needs: a file that says how to speak to it, and its secrets."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from campaigns.domain.addresses import web_address
from campaigns.domain.limits import Limits
from campaigns.lazy_imports import lazy_imports
from campaigns.providers.account import AccountSettings, Currency, HeaderSecret

with lazy_imports(__name__):  # only an account here needs mappings, and every command knows its model
    from campaigns.providers.http import mapping as mappings
    from campaigns.providers.http import templates

if TYPE_CHECKING:
    from campaigns.providers.http.mapping import WireMapping

_T = TypeVar("_T")


_UNKNOWN = Limits("the provider of a mapping")


class _OfMapping(Generic[_T]):
    """A fact that each account's mapping says; of the class, what holds where none is known."""

    def __init__(self, before: _T, read: Callable[["WireMapping"], _T]) -> None:
        self._before = before
        self._read = read

    def __get__(self, account: Any, _owner: object) -> _T:
        return self._before if account is None else self._read(account.mapping)


def _of_mapping(before: object, read: Callable[["WireMapping"], object]) -> Any:
    return _OfMapping(before, read)


def _asks_one_by_one(mapping: "WireMapping") -> bool:
    return mapping.status is not None and mapping.status.ids_per_request == 1


def _loaded(given: object) -> "WireMapping":
    if isinstance(given, mappings.WireMapping):
        return given
    if not isinstance(given, str | Path):
        raise ValueError("must be the path of a TOML file")
    return mappings.load(Path(given))


class HttpAccount(AccountSettings):
    """One account at a provider that a mapping describes."""

    needs_sender_id: ClassVar[bool] = _of_mapping(True, lambda mapping: mapping.send.uses("sender"))
    calls_back: ClassVar[bool] = _of_mapping(True, lambda mapping: mapping.callback is not None)
    asks_one_by_one: ClassVar[bool] = _of_mapping(True, _asks_one_by_one)
    limits: ClassVar[Limits] = _of_mapping(
        Limits("the provider of a mapping"), lambda mapping: mapping.bounds()
    )

    provider: Literal["http"]
    """The company that sends. Another one: this account's mapping means nothing there."""
    username: str | None = Field(default=None, min_length=1)
    """What {username} is in the mapping. Wrong: everything is refused and the account is held."""
    password: SecretStr | None = Field(default=None, min_length=1)
    """What {password} is in the mapping. Wrong: everything is refused and the account is held."""
    api_key: HeaderSecret | None = None
    """What {api_key} is in the mapping. Wrong: everything is refused and the account is held."""
    api_secret: HeaderSecret | None = None
    """What {api_secret} is in the mapping. Wrong: everything is refused and the account is held."""
    currency: Currency | None = None
    """What the account is billed in, where answers do not say; not set: as its mapping has it. Wrong: so are
    all reports."""
    base_url: Annotated[str, AfterValidator(web_address)]
    """The address of the provider; not set: as its mapping has it. It replaces every address of the
    mapping. Wrong: texts and credentials go to a stranger."""
    concurrency: int = Field(default=10, ge=1)
    """Requests of one batch in flight at once, where each holds one message. Too few: a slow answer holds up
    the whole batch; too many: a killed worker leaves as many messages in doubt."""
    if TYPE_CHECKING:  # a path in the settings, which is read once
        mapping: WireMapping
    else:  # a model here would be built whenever a command starts
        mapping: Annotated[Any, BeforeValidator(_loaded)]
        """The path of the TOML file that says how the provider is spoken to. Wrong: an answer may be read as
        what it is not, so try it first: campaigns account A try."""

    @model_validator(mode="before")
    @classmethod
    def _as_its_mapping_says(cls, given: object) -> object:
        """Fill in what the mapping says and the account does not."""
        if not isinstance(given, dict) or "mapping" not in given:
            return given
        try:
            mapping = _loaded(given["mapping"])
        except ValueError:
            return {"base_url": "https://not.known", **given}  # the field itself says what is wrong with it
        return {**mapping.defaults(), **given, "mapping": mapping}

    @field_validator("mapping")
    @classmethod
    def _has_its_secrets(cls, mapping: "WireMapping", info: ValidationInfo) -> "WireMapping":
        missing = sorted(name for name in mapping.secrets_used() if info.data.get(name, "") is None)
        if missing:
            raise ValueError(
                f"names {{{missing[0]}}}, and {missing[0].upper()} of this account is not set: set it"
            )
        return mapping

    def values(self) -> dict[str, str | int | None]:
        """What templates may name of the account."""
        secrets = {"password": self.password, "api_key": self.api_key, "api_secret": self.api_secret}
        shown = {name: None if each is None else each.get_secret_value() for name, each in secrets.items()}
        return {"username": self.username, **shown}

    def basic(self, template: str | None) -> str | None:
        """User and password as HTTP Basic writes them (RFC 7617); None where there is no template."""
        filled = None if template is None else templates.fill(template, self.values())
        return None if filled is None else b64encode(filled.encode()).decode()

    def secrets(self) -> set[str]:
        """User and password as HTTP Basic writes them, too: a log may hold them without the header's name."""
        return super().secrets() | {basic for each in self.mapping.basics() if (basic := self.basic(each))}
