"""One request over the wire."""

import asyncio
from typing import Any

from campaigns.providers.wire import HandOverResult, Wire
from tests.contract.providers.wire_server import WireServer

QUERY = "/paid?phone=37061200001&text=Ko%20das,%2B+%c4%8d&api_key=secret"


def now() -> float:
    return asyncio.get_running_loop().time()


async def hand_over(
    wire: Wire, server: WireServer, method: str = "GET", timeout_seconds: float = 5.0, **more: Any
) -> HandOverResult:
    more.setdefault("leave_by", now() + 5)
    return await wire.hand_over(method, server.url + QUERY, timeout_seconds=timeout_seconds, **more)
