"""Every provider there is."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from campaigns.providers.account import AccountSettings
from campaigns.providers.description import Description

if TYPE_CHECKING:
    from campaigns.domain.provider import Provider
    from campaigns.providers.wire import Wire

_NAMES = (
    "lightsms",
    "loyalty_lt",
    "seven",
    "namirial",
    "http",
)  # each a folder here, and its word in the settings

PROVIDERS: Mapping[str, Description[Any]] = MappingProxyType(
    {name: import_module(f"{__package__}.{name}").PROVIDER for name in _NAMES}
)
"""Each provider by its name."""


def opened(name: str, account: AccountSettings, wire: "Wire") -> "Provider":
    """The adapter of an account. Takes the account's name. Called inside the loop of the wire."""
    [description] = [each for each in PROVIDERS.values() if each.settings is type(account)]
    adapter: Provider = description.open(name, account, wire)
    return adapter
