"""What the rest of the program must know of one provider: the one object that its folder hands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from campaigns.providers.account import AccountSettings

if TYPE_CHECKING:  # the wire loads HTTP, for which no command must wait that only reads settings
    from campaigns.domain.provider import Provider
    from campaigns.providers.wire import Wire

A = TypeVar("A", bound=AccountSettings)


@dataclass(frozen=True, slots=True)
class Demo:
    """An account at the provider's simulator, for `campaigns demo` and the tests.

    Takes `settings` by name; in a value `{url}` is where the simulator listens. `first_rows`: so many rows of
    the example are sent, where all of them would take too long at one message a request.
    """

    settings: Mapping[str, str]
    first_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Description(Generic[A]):
    """One provider.

    `settings`: the model of an account at it. `open`: makes the adapter of an account, called inside the loop
    of the wire; takes the account's name, its settings and the wire.
    """

    settings: type[A]
    open: Callable[[str, A, Wire], Provider]
    demo: Demo
