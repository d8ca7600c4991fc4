"""An adapter with a clock that a test moves by hand, in front of a server that answers as it is told."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.wire import Wire
from tests.contract.providers.clock import Clock
from tests.contract.providers.lightsms.member import SERVER_MOMENT, LightSmsMember
from tests.contract.providers.wire_server import WireServer


@pytest.fixture
def clock() -> Clock:
    return Clock(wall=SERVER_MOMENT)


@pytest.fixture
def make(server: WireServer, wire: Wire, clock: Clock) -> Callable[..., LightSms]:
    def made(**more: Any) -> LightSms:
        return LightSmsMember().make(
            server, wire, **{"clock": lambda: clock.wall, "monotonic": lambda: clock.monotonic, **more}
        )

    return made
