"""An adapter with a clock that a test moves by hand, in front of a server that answers as it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.wire import Wire
from tests.contract.providers.clock import Clock
from tests.contract.providers.namirial.member import NamirialMember
from tests.contract.providers.wire_server import WireServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(server: WireServer, wire: Wire, clock: Clock) -> Callable[..., Namirial]:
    def made(**more: Any) -> Namirial:
        return NamirialMember().make(server, wire, **{"monotonic": lambda: clock.monotonic, **more})

    return made
