"""Every provider there is. A new one adds itself here, in two lines."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from campaigns.providers import lightsms, loyalty_lt, namirial, seven
from campaigns.providers.account import AccountSettings
from campaigns.providers.description import Description

if TYPE_CHECKING:
    from campaigns.domain.provider import Provider
    from campaigns.providers.wire import Wire

PROVIDERS: Mapping[str, Description[Any]] = MappingProxyType(
    {
        "lightsms": lightsms.PROVIDER,
        "loyalty_lt": loyalty_lt.PROVIDER,
        "seven": seven.PROVIDER,
        "namirial": namirial.PROVIDER,
    }
)
"""Each provider by its word in the settings."""


def opened(name: str, account: AccountSettings, wire: "Wire") -> "Provider":
    """The adapter of an account. Called inside the loop of the wire."""
    [description] = [each for each in PROVIDERS.values() if each.settings is type(account)]
    return description.open(name, account, wire)
