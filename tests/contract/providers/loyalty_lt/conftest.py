"""An adapter with a clock that a test moves by hand, in front of a server that answers as it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.wire import Wire
from tests.contract.providers.clock import Clock
from tests.contract.providers.loyalty_lt.member import LoyaltyLtMember
from tests.contract.providers.wire_server import WireServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(server: WireServer, wire: Wire, clock: Clock) -> Callable[..., LoyaltyLt]:
    def made(**more: Any) -> LoyaltyLt:
        return LoyaltyLtMember().make(server, wire, **{"monotonic": lambda: clock.monotonic, **more})

    return made
