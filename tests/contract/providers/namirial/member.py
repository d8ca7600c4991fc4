"""Namirial as a member of the family. Imports nothing of `members.py`, which finds it by its name."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from campaigns.domain.provider import OutboundMessage
from campaigns.domain.states import MessageState
from campaigns.providers.namirial import answers as namirial_answers
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.wire import Wire
from tests.contract.providers.wire_server import WireServer

USERNAME = "secret-user"
PASSWORD = "secret-password"
BASIC = "c2VjcmV0LXVzZXI6c2VjcmV0LXBhc3N3b3Jk"  # both, as the wire has them
API_KEY = "secret-status-key-0123456789"
SERVICE = "MARKETING"
ACTION = "CAMPAIGN"
SEND = "/api/Services/send"
HEALTH = "/api/Services/checkServiceStatus"
STATUSES = "/api/messagestatus/"
WELL = {
    "globalStatus": True,
    "dbStatus": True,
    "servicesStatus": True,
    "errorMessage": "",
    "versionNumber": "27.1.0.2",
}


def id_of(message_ref: str) -> str:
    """The id our pretended Namirial gives to a message."""
    return str(uuid5(NAMESPACE_OID, message_ref))


def status_object(message_ref: str = "ref-1", word: str = "DELIVERED", **more: object) -> dict[str, object]:
    """One message as the page of the documents shows it."""
    return {
        "id": id_of(message_ref),
        "providerAcceptanceAt": "2026-02-04T06:54:35Z",
        "statusChangedAt": "2026-02-04T06:54:55Z",
        "reference": {"service": SERVICE, "action": ACTION, "key": message_ref},
        "channel": "SMS",
        "status": word,
        "provider": {
            "name": "PROVIDER1",
            "id": "bbe7a7b4-067b-484e-a55c-318f5716997e",
            "status": "delivered",
            "code": "0",
        },
        "sms": {"segments": 1},
        **more,
    }


class NamirialMember:
    name = "namirial"
    words: Mapping[str, MessageState] = MappingProxyType(
        {word: state for word, (state, _) in namirial_answers.STATUSES.items()}
    )
    secrets: Sequence[str] = (USERNAME, PASSWORD, BASIC, API_KEY)

    def make(
        self,
        server: WireServer,
        wire: Wire,
        *,
        timeout_seconds: float = 5.0,
        word: str | None = None,
        **more: Any,
    ) -> Namirial:
        if word is not None:
            for ref in (f"ref-{at}" for at in range(1, 11)):
                said = {"message": status_object(ref, word)}
                server.free[STATUSES + id_of(ref)] = json.dumps(said).encode()
        given = {
            "name": "main",
            "username": USERNAME,
            "password": PASSWORD,
            "api_key": API_KEY,
            "send_url": server.url,
            "status_url": server.url,
            "reference_service": SERVICE,
            "reference_action": ACTION,
        }
        return Namirial(wire=wire, timeout_seconds=timeout_seconds, **{**given, **more})

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        return json.dumps(
            {
                "message": "0: Accepted for delivery",
                "provider": "PROVIDER1",
                "id": id_of(request[0].message_ref),
            }
        ).encode()

    def with_extra_fields(self, body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "code": 0, "details": None, "more": [{}]}).encode()

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        return [namirial_answers.read_taken(body) for _ in request]


MEMBER = NamirialMember()
