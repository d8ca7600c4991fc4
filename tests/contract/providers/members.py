"""The family: what the contract suite must know of each adapter to hold it to the contract."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Protocol

from campaigns.domain.provider import OutboundMessage, Provider, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.registry import PROVIDERS
from campaigns.providers.wire import Wire
from tests.contract.providers.wire_server import WireServer
from tests.stub import STATUSES, Stub

TEXT = "Labas, ačiū už pirkinį! Kodas 4711 😀"
SENDER = "Sender"


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


class StubMember:
    name = "stub"
    words: Mapping[str, MessageState] = MappingProxyType(STATUSES)

    def make(
        self, server: WireServer, wire: Wire, *, timeout_seconds: float = 5.0, word: str | None = None
    ) -> Stub:
        states = {} if word is None else {message.phone: [word] for message in messages(10)}
        return Stub("main", timeout_seconds=timeout_seconds, states=states)


_FILES = [import_module(f"tests.contract.providers.{name}.member") for name in PROVIDERS]
WIRED: list[WiredMember] = [member for file in _FILES for member in (file.MEMBER, *getattr(file, "MORE", ()))]
"""Every provider there is: each has a file here that says what the suite must know of it, and of every wire
where it has several.
"""
MEMBERS: list[Member] = [*WIRED, StubMember()]


def messages(count: int, text: str = TEXT) -> list[OutboundMessage]:
    return [OutboundMessage(f"ref-{at}", f"+370612{at:05}", text) for at in range(1, count + 1)]
