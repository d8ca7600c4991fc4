"""The contract between us and any provider of SMS.

An adapter turns our messages into one provider's wire and the provider's words into these values.
It keeps no state of messages, writes nothing down and never repeats a paid request: what happens
next is decided by the stage that called it. Every adapter passes `tests/contract/providers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from campaigns.domain.states import MessageState


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One text to one number, as an adapter sees it."""

    message_ref: str  # our id, the same on every attempt, unique over all installations
    phone: str = field(repr=False)  # E.164 with +; a whole number is nobody's business in a log
    text: str = field(repr=False)  # never shown: a text may hold a name, a code, a debt


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it."""

    provider_message_id: str
    cost: Decimal | None = None  # in the account's currency; None where the answer does not say
    segment_count: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider refused this message for good: number, text or sender. Not to be tried again."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider took it up and could not send it, or says so in words we know no better. Final."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too fast, or briefly closed: nothing was taken; come back after `retry_after_seconds`."""

    retry_after_seconds: float | None  # None: the provider did not say
    why: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Certain that nothing was taken: refused connection, DNS, TLS, or an answer that says so."""

    why: str
    retry_at_once: bool = False  # the adapter mended the cause (clock, batch size): no need to wait


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The request left and the answer was not seen, or cannot be read. Never to be re-sent blindly."""

    why: str


@dataclass(frozen=True, slots=True)
class AccountTrouble:
    """The account, not the message, is at fault: bad credentials, no money. Nothing was taken."""

    code: str
    reason: str


Outcome = Accepted | Rejected | Failed | Throttled | NotSent | InDoubt | AccountTrouble
"""What became of one message at hand-over. Match it exhaustively."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's word on one message (DLR), from a callback or a poll."""

    provider_message_id: str
    evidence: MessageState | None  # None: a word we do not know, which changes nothing
    provider_state: str  # the word itself, kept beside ours


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of asking for statuses. Ids the provider said nothing of are simply absent."""

    receipts: Sequence[Receipt]
    trouble: str | None = None  # why some or all could not be asked; None when that was our own pace alone
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount and its currency (ISO 4217), None where the provider does not name one."""

    amount: Decimal
    currency: str | None


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """One line of a provider's own monthly statistics."""

    date: str  # YYYY-MM-DD
    provider_state: str  # the provider's word
    cost: Decimal
    segment_count: int


class Turn(Protocol):
    """Waits for our turn to speak to an account (pacing). An adapter awaits it before each request.

    Raises `NotOurTurn` when the wait would be longer than a moment.
    """

    async def __call__(self) -> None: ...


class NotOurTurn(Exception):
    """The account's pace is used up; try again in `wait_seconds`."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"the account's pace is used up for {wait_seconds:.1f} s")
        self.wait_seconds = wait_seconds


class Provider(Protocol):
    """One account at one provider."""

    @property
    def name(self) -> str:
        """The account's name in our settings."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """The longest one request may take, from connecting to the last byte of the answer."""
        ...

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut `messages` into what goes out together, in order: a partition, no list empty.

        The provider's limits decide: recipients a request, one text a request, length of a URL.
        """
        ...

    async def prepare(self) -> None:
        """Do what must be done before a hand-over and costs nothing (learn the clock). Idempotent.

        Raises ProviderRefused when the provider cannot be reached: nothing was handed over.
        """
        ...

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        """Hand one request (one list of `requests`) over. The paid step: at most one pass on the wire.

        Takes `leave_by`, a moment of the running loop's clock: after it nothing may be written, the
        outcome is NotSent. Gives one outcome per message, in order. Raises nothing but cancellation;
        a cancelled hand-over is in doubt.
        """
        ...

    async def ask(self, provider_message_ids: Sequence[str], turn: Turn) -> Answers:
        """Ask what became of messages the provider accepted. Costs nothing, may be repeated."""
        ...

    async def balance(self) -> Money:
        """What is left on the account. Raises ProviderRefused."""
        ...

    async def statistics(self, month: str) -> list[DayStatistics]:
        """The provider's own statistics of `month` (YYYY-MM), by day. Raises ProviderRefused."""
        ...
