"""An account in the settings, at any provider."""

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
    """The settings model of any provider's account; its field `provider` says which."""
