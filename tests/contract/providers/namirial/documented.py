"""What Namirial answers, and one message handed over."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from campaigns.domain.provider import OutboundMessage, Outcome
from campaigns.providers.namirial.adapter import Namirial
from tests.contract.providers.members import SENDER, messages
from tests.contract.providers.wire_server import Act, answer

ID = "7b8ef313-f1f2-4c4f-bffa-438c287ba9d8"
TAKEN = {"message": "0: Accepted for delivery", "provider": "PROVIDER1", "id": ID}
NOW = datetime(2026, 2, 12, 15, 0, tzinfo=UTC)


async def hand_over(provider: Namirial, request: Sequence[OutboundMessage] | None = None) -> Outcome:
    given = messages(1) if request is None else request
    (outcome,) = await provider.hand_over(given, SENDER, asyncio.get_running_loop().time() + 5)
    return outcome


def says(document: object, status: int = 200, **headers: str) -> Act:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return answer(
        body, status=status, headers={name.replace("_", "-"): said for name, said in headers.items()}
    )
