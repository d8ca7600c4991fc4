"""The family: what the contract suite must know of each adapter to hold it to the contract."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from campaigns.domain.provider import OutboundMessage, Provider, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.lightsms import answers as lightsms_answers
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.wire import Wire
from tests.contract.providers.member_loyalty_lt import LoyaltyLtMember
from tests.contract.providers.member_namirial import NamirialMember
from tests.contract.providers.member_seven import SevenMember
from tests.contract.providers.wire_server import Seen, WireServer
from tests.stub import STATUSES, Stub

LOGIN = "secret-login"
API_KEY = "secret-api-key-0123456789"
TEXT = "Labas, ačiū už pirkinį! Kodas 4711 😀"
SENDER = "Sender"
SERVER_MOMENT = 1_732_809_600


def words_of(receipts: Sequence[Receipt]) -> list[Receipt]:
    """Receipts as far as they name a message and say a word of it, without what is said beside."""
    return [
        Receipt(
            each.provider_message_id, each.evidence, each.provider_state, each.message_ref, each.is_coarse
        )
        for each in receipts
    ]


class Member(Protocol):
    """What the suite must know of an adapter to hold it to the contract."""

    name: str
    words: Mapping[str, MessageState]  # every documented status word

    def make(
        self, server: WireServer, wire: Wire, *, timeout_seconds: float = 5.0, word: str | None = None
    ) -> Provider:
        """An adapter that speaks to `server`, whose free routes answer; every poll says `word`."""
        ...


class WiredMember(Member, Protocol):
    """A member with a wire under it."""

    secrets: Sequence[str]  # what must never be shown

    def accepts(self, request: Sequence[OutboundMessage]) -> bytes:
        """The body of an answer that takes every message."""
        ...

    def with_extra_fields(self, body: bytes) -> bytes:
        """The same answer with fields nobody documents."""
        ...

    def read(self, body: bytes, request: Sequence[OutboundMessage]) -> Sequence[object]:
        """What the adapter reads in `body`: pure."""
        ...


class LightSmsMember:
    name = "lightsms"
    words: Mapping[str, MessageState] = MappingProxyType(
        {word: state for word, (state, _) in lightsms_answers.STATUSES.items()}
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
        return lightsms_answers.read_answer(body, [message.phone for message in request])


class StubMember:
    name = "stub"
    words: Mapping[str, MessageState] = MappingProxyType(STATUSES)

    def make(
        self, server: WireServer, wire: Wire, *, timeout_seconds: float = 5.0, word: str | None = None
    ) -> Stub:
        states = {} if word is None else {message.phone: [word] for message in messages(10)}
        return Stub("main", timeout_seconds=timeout_seconds, states=states)


WIRED: list[WiredMember] = [LightSmsMember(), LoyaltyLtMember(), SevenMember(), NamirialMember()]
MEMBERS: list[Member] = [*WIRED, StubMember()]


def messages(count: int, text: str = TEXT) -> list[OutboundMessage]:
    return [OutboundMessage(f"ref-{at}", f"+370612{at:05}", text) for at in range(1, count + 1)]
