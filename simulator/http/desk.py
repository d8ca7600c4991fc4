"""What the providers share: one account, one ledger, and what became of each message."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from aiohttp import web

from simulator.callbacks import Call, Callbacks
from simulator.faults import Drawn, Endpoint, MissingIdsFault, UnknownWordFault
from simulator.http.fates import FATES, Fate, Refusal
from simulator.ledger import Ledger, digest_of
from simulator.options import APPROVED_SENDERS, Options
from simulator.provider import Series
from simulator.segments import count_segments
from simulator.wire import Answer


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted message."""

    key: str  # 32 hexadecimal digits; each provider makes its id of them
    ref: str
    phone: int
    sender: str
    segments: int
    due: float
    fate: Fate


@dataclass(frozen=True, slots=True)
class Progress:
    """The status of a message: its word (of `fates`), and since when."""

    status_word: str
    at: float

    def moment(self) -> datetime:
        """Since when, aware."""
        return datetime.fromtimestamp(self.at, UTC)


Tell = Callable[[Message, Progress], Call | None]


class Desk:
    """The one account of all providers."""

    def __init__(self, options: Options, ledger: Ledger, series: Series, callbacks: Callbacks) -> None:
        self.options = options
        self.callbacks = callbacks
        self.money = options.balance
        self._ledger = ledger
        self._series = series
        self._messages: dict[str, Message] = {}
        self._keys: dict[str, str] = {}  # by reference

    def refusal(self, phone: int, text: str, sender: str) -> Refusal | None:
        """Why a message is refused; None: it is taken."""
        if sender not in (*APPROVED_SENDERS, *self.options.senders):
            return "no_sender"
        if self.cost(count_segments(text)) > self.money:
            return "no_money"
        return FATES.of(phone).refusal

    def cost(self, segments: int) -> Decimal:
        """The price of that many segments."""
        return self.options.price * segments

    def take(self, phone: int, text: str, sender: str, ref: str = "", tell: Tell | None = None) -> Message:
        """Accept a message; its words are told by `tell`."""
        segments = count_segments(text)
        sequence = self._ledger.accept([phone], None, digest_of(text), segments)
        key = self._series.id_of(sequence)
        message = Message(key, ref, phone, sender, segments, self._ledger.clock(), FATES.of(phone))
        self._messages[key] = message
        if ref:
            self._keys[ref] = key
        self.money -= self.cost(segments)
        if tell is not None and message.fate.is_known:
            for after, status_word in FATES.changes(message.fate, self.options.delivery_seconds):
                progress = Progress(status_word, message.due + after)
                self.callbacks.after(after, partial(self._told, message, progress, tell))
        return message

    def _told(self, message: Message, progress: Progress, tell: Tell) -> Call | None:
        return None if self.find(message.key) is None else tell(message, progress)

    def find(self, key: str) -> Message | None:
        """The message of a key; None where there is none (any more)."""
        sequence = self._series.sequence_of(key)
        if sequence is None or self._ledger.find(sequence) is None:
            return None
        return self._messages.get(key)

    def find_ref(self, ref: str) -> Message | None:
        """The message with a reference of the customer's."""
        key = self._keys.get(ref)
        return None if key is None else self.find(key)

    def progress(self, message: Message, drawn: Drawn) -> Progress | None:
        """The status of a message now; None where nothing is known of it."""
        if not message.fate.is_known or drawn.get(MissingIdsFault):
            return None
        if unknown := drawn.get(UnknownWordFault):
            return Progress(unknown.status_word, message.due)
        age = self._ledger.clock() - message.due
        after, status_word = FATES.status_word_at(message.fate, age, self.options.delivery_seconds)
        return Progress(status_word or "accepted", message.due + after)


Work = Callable[[Desk, web.Request, bytes, Drawn], Answer]
"""What a path does with a request and its body."""

Path = tuple[str, str, Endpoint, Work]
"""Method, path, its endpoint in faults, and what it does."""
