"""The mapping of one provider: what a TOML file says of its wire. Read once, checked whole, never changed.

Every key is described here, in `tables` and `sends`, and in docs/http-provider.md. A mistake is one sentence:
file, key, how to mend.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from campaigns.domain.described_fields import described_fields
from campaigns.domain.limits import Limits
from campaigns.providers.account import Currency
from campaigns.providers.http import templates
from campaigns.providers.http.sends import Send
from campaigns.providers.http.tables import (
    Balance,
    Callbacks,
    Lookup,
    Request,
    SecretAddress,
    StatusRequest,
    Table,
    braced,
)

_MOST_BYTES = 1_000_000  # of a mapping file
_HEADER = re.compile(r"[ -~]*")
# In these a value of its own would be a secret in the file.
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "apikey", "x-auth-token"})


class SenderForm(Table):
    """One form a sender id may have."""

    pattern: str
    """A regular expression for all of it."""
    words: str
    """The same in words."""


class Bounds(Table):
    """What the provider's documents rule out."""

    most_characters: int | None = Field(default=None, ge=1)
    """The longest text."""
    senders: list[SenderForm] = Field(default=[])
    """The forms a sender id may have; any of them will do."""


class Pace(Table):
    """How fast the provider may be spoken to, where the account does not say."""

    requests_per_second: float | None = Field(default=None, gt=0)
    """How fast we send."""
    questions_per_second: float | None = Field(default=None, gt=0)
    """How fast we ask, counted apart."""
    burst: int | None = Field(default=None, ge=1)
    """Requests that may leave at once."""


class WireMapping(Table):
    """One provider: all that its file says."""

    name: str = Field(min_length=1, max_length=64)
    """What people call the provider."""
    base_url: SecretAddress | None = None
    """What comes before every url; not set: the account's BASE_URL says it."""
    currency: Currency | None = None
    """What its accounts are billed in."""
    headers: dict[str, str] = Field(default={})
    """Headers of every request."""
    basic: str | None = None
    """HTTP Basic of every request, such as {username}:{password}."""
    pace: Pace = Pace()
    """How fast it may be spoken to."""
    limits: Bounds = Bounds()
    """What it does not take."""
    send: Send
    """The request that hands messages over."""
    status: StatusRequest | None = None
    """The request that asks what became of them."""
    lookup: Lookup | None = None
    """The request that asks for messages in doubt."""
    callback: Callbacks | None = None
    """How its callbacks are read."""
    balance: Balance | None = None
    """The request that asks what is left on the account."""

    @model_validator(mode="before")
    @classmethod
    def _as_status_says(cls, given: object) -> object:
        """The words of callbacks, and words and answer of a look-up, are those of status where not set."""
        if not isinstance(given, dict) or not isinstance(status := given.get("status"), dict):
            return given
        filled = dict(given)
        for name, keys in (("callback", ("words",)), ("lookup", ("words", "answer"))):
            if isinstance(table := given.get(name), dict):
                filled[name] = {key: status[key] for key in keys if key in status} | table
        return filled

    @model_validator(mode="after")
    def _fits_together(self) -> "WireMapping":
        for key, name in [
            *templates.names_in(self.headers, "headers"),
            *templates.names_in(self.basic, "basic"),
        ]:
            if name not in templates.SECRETS:
                raise ValueError(f"names {{{name}}} at {key}: it may name {braced(templates.SECRETS)}")
        for basic in self.basics():
            if ":" not in basic or not [*templates.names_in(basic, "")]:
                raise ValueError("has a basic that names no secret: write it such as {username}:{password}")
        if self.send.uses("callback_url") and self.callback is None:
            raise ValueError("names {callback_url} and does not say how a callback is read: set [callback]")
        if self.callback is not None and not self.callback.answer.word:
            raise ValueError("does not say where the status word of a callback is: set callback.answer.word")
        for request in self._requests():
            for header, value in {**self.headers, **request.headers}.items():
                if not re.fullmatch(r"[A-Za-z0-9-]+", header) or not _HEADER.fullmatch(value):
                    raise ValueError("has a header that is not printable ASCII")
                if header.lower() in _SECRET_HEADERS and "{" not in value:
                    raise ValueError(
                        f"has a secret of its own in the header {header}: name it, such as {{api_key}}"
                    )
        return self

    def basics(self) -> set[str]:
        """Every template of HTTP Basic."""
        return {each for each in (self.basic, *(request.basic for request in self._requests())) if each}

    def _requests(self) -> list[Request]:
        possible = (self.send, self.status, self.lookup, self.balance)
        return [request for request in possible if request is not None]

    def secrets_used(self) -> set[str]:
        """The names of the account's settings that its templates use."""
        given: list[tuple[str, str]] = [
            *templates.names_in(self.headers, ""),
            *templates.names_in(self.basic, ""),
        ]
        for request in self._requests():
            given += request.used()
        return {name for _, name in given if name in templates.SECRETS}

    def bounds(self) -> Limits:
        """What is ruled out before anything is sent."""
        return Limits(
            self.name,
            self.limits.most_characters,
            tuple((form.pattern, form.words) for form in self.limits.senders),
            takes_sender_id=self.send.uses("sender"),
        )

    def defaults(self) -> dict[str, object]:
        """The settings of an account that it says where the account does not."""
        said = {"base_url": self.base_url, "currency": self.currency, **self.pace.model_dump()}
        return {name: value for name, value in said.items() if value is not None}


# --- reading ----------------------------------------------------------------------------------------


def load(path: Path) -> WireMapping:
    """Read a mapping. Raises ValueError: one line for each mistake, without its subject."""
    try:
        data = path.expanduser().read_bytes()
        if len(data) > _MOST_BYTES:
            raise ValueError(f"leads to {path}, which is too large for a mapping")
        said = tomllib.loads(data.decode())
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "there is no home"
        raise ValueError(f"leads to {path}, which cannot be read: {why}") from None
    except UnicodeDecodeError:
        raise ValueError(f"leads to {path}, which is not UTF-8: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"leads to {path}, which is not TOML: {error}") from None
    try:
        return WireMapping.model_validate(said)
    except ValidationError as error:
        lines = [_sentence(each) for each in error.errors(include_url=False, include_input=False)]
    raise ValueError("\n".join(f"leads to {path}, where {line}" for line in dict.fromkeys(lines)))


def _sentence(details: ErrorDetails) -> str:
    """One mistake: its key, what is wrong, how to mend it."""
    path = [str(part) for part in details["loc"]]
    key, kind = ".".join(path) or "the file", details["type"]
    if kind == "value_error":
        return f"{key} {details.get('ctx', {}).get('error', '')}"
    if kind == "missing":
        field = _fields(path[:-1]).get(path[-1])
        about = (getattr(field, "description", None) or "its value").split(".")[0].split(":")[0]
        return f"{key} is missing: {about[0].lower()}{about[1:]}"
    if kind == "extra_forbidden":
        known = sorted(_fields(path[:-1]))
        near = get_close_matches(path[-1], known, n=1)
        return f"{key} is not a key: " + (
            f"did you mean {near[0]}?" if near else f"it may be {', '.join(known)}"
        )
    return f"{key} {details['msg'].replace('Input should be', 'must be')}"


def _fields(path: Iterable[str]) -> Mapping[str, Any]:
    """The keys of the table at a path."""
    fields: Mapping[str, Any] = {
        each.alias or name: each for name, each in described_fields(WireMapping).items()
    }
    for part in path:
        field = fields.get(part)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        [kind, *_] = [each for each in kinds if isinstance(each, type) and issubclass(each, Table)] or [Table]
        fields = {each.alias or name: each for name, each in described_fields(kind).items()}
    return fields
