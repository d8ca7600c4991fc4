"""An account in the settings: any provider's. `settings` reads it, `accounts` makes an adapter of it."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from campaigns.providers.account import AccountSettings, Group, Seconds
from campaigns.providers.registry import PROVIDERS

__all__ = ["PROVIDERS", "AccountSettings", "AnyAccount", "Group", "Seconds"]

if TYPE_CHECKING:
    AnyAccount = AccountSettings
else:
    AnyAccount = Annotated[
        reduce(or_, (each.settings for each in PROVIDERS.values())), Field(discriminator="provider")
    ]
    """Which model it is, its `provider` says."""
