"""LightSMS as a member of the family. Imports nothing of `members.py`, which finds it by its name."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from campaigns.domain.provider import OutboundMessage
from campaigns.domain.states import MessageState
from campaigns.providers.lightsms import answers
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.wire import Wire
from tests.contract.providers.wire_server import Seen, WireServer

LOGIN = "secret-login"
API_KEY = "secret-api-key-0123456789"
SERVER_MOMENT = 1_732_809_600


class LightSmsMember:
    name = "lightsms"
    words: Mapping[str, MessageState] = MappingProxyType(
        {word: state for word, (state, _) in answers.STATUSES.items()}
    )
    secrets: Sequence[str] = (API_KEY, LOGIN)

    def make(
        self,
        server: WireServer,
        wire: Wire,
        *,
        timeout_seconds: float = 5.0,
        word: str | None = None,
        **more: Any,
    ) -> LightSms:
        def statuses(seen: Seen) -> bytes:
            return json.dumps(dict.fromkeys(seen.query["state"].split(","), word)).encode()

        server.free.setdefault("/external/get/timestamp.php", str(SERVER_MOMENT).encode())
        if word is not None:
            server.free["/external/get/status.php"] = statuses
        return LightSms(
            name="main",
            login=LOGIN,
            api_key=API_KEY,
            wire=wire,
            base_url=server.url,
            timeout_seconds=timeout_seconds,
            **more,
        )

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        return json.dumps(
            {
                message.phone.removeprefix("+"): {
                    "error": "0",
                    "id_sms": f"40921125103483809{at:05}",
                    "cost": "0.0144",
                    "count_sms": "2",
                }
                for at, message in enumerate(request, 1)
            }
        ).encode()

    def with_extra_fields(self, body: bytes) -> bytes:
        document = {
            phone: {**entry, "network": "tele", "ported": 0, "more": [{}]}
            for phone, entry in json.loads(body).items()
        }
        return json.dumps({**document, "37000000000": {"error": 16}, "note": "hello"}).encode()

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        return answers.read_answer(body, [message.phone for message in request])


MEMBER = LightSmsMember()
