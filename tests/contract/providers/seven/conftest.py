"""An adapter with a clock that a test moves by hand, in front of a server that answers as it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.providers.seven.adapter import Seven
from campaigns.providers.wire import Wire
from tests.contract.providers.clock import Clock
from tests.contract.providers.seven.journal import Journal
from tests.contract.providers.seven.member import JOURNAL, SevenMember
from tests.contract.providers.wire_server import WireServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(server: WireServer, wire: Wire, clock: Clock) -> Callable[..., Seven]:
    def made(**more: Any) -> Seven:
        return SevenMember().make(server, wire, **{"monotonic": lambda: clock.monotonic, **more})

    return made


@pytest.fixture
def journal(server: WireServer) -> Journal:
    made = Journal()
    server.free[JOURNAL] = made
    return made
