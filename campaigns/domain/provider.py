"""The contract between us and any provider of SMS.

An adapter turns our messages into one provider's wire, and its answers into these values.
It keeps no state of messages, writes nothing down and never repeats a paid request: what happens
next is decided by the stage that called it. Every adapter passes `tests/contract/providers`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from campaigns.domain.prices import Quote
from campaigns.domain.states import MessageState
from campaigns.domain.traits import Traits
from campaigns.domain.values import value


@value
class OutboundMessage:
    """One text to one number, as an adapter sees it."""

    message_ref: str  # our id, the same on every attempt, unique over all installations
    phone: str = field(repr=False)  # E.164 with +; a whole number is nobody's business in a log
    text: str = field(repr=False)  # never shown: a text may hold a name, a code, a debt
    # Where the provider may tell us what became of it; holds a token nobody can guess. None: poll alone.
    callback_url: str | None = field(default=None, repr=False)
    # After it the text is of no use, aware; passed on where the provider has a validity. None: as it likes.
    valid_until: datetime | None = field(default=None, repr=False)


@value
class Accepted:
    """The provider took it."""

    provider_message_id: str
    cost: Decimal | None = None  # None where the answer does not say
    segment_count: int | None = None
    currency: str | None = None  # of `cost`, ISO 4217; None: the account's


@value
class Rejected:
    """The provider refused this message for good. Not to be tried again."""

    code: str
    reason: str
    opted_out: bool = False  # its number wants nothing any more, says the provider: not from any campaign
    is_unclear: bool = (
        False  # it does not say what for: where the campaign is held, it is sent again with that
    )


@value
class Failed:
    """The provider took it and could not send it, or says no more exactly what became of it. Final."""

    code: str
    reason: str


@value
class Throttled:
    """Too fast, or briefly closed: nothing was taken; come back after `retry_after_seconds`."""

    retry_after_seconds: float | None  # None: the provider did not say
    why: str


@value
class NotSent:
    """Certain that nothing was taken: refused connection, DNS, TLS, or an answer that says so."""

    why: str
    retry_at_once: bool = False  # the adapter mended the cause (clock, batch size): no need to wait
    spends_attempt: bool = True  # False: it does not count, the same attempt is made again


@value
class InDoubt:
    """The request left and the answer was not seen, or cannot be read. Never to be re-sent blindly."""

    why: str


@value
class AccountTrouble:
    """The account, not the message, is at fault: bad credentials, no money. Nothing was taken."""

    code: str
    reason: str


@value
class CampaignTrouble:
    """The campaign's sender or its text is refused, whatever the number: each of its messages would be. To be
    mended by a person. Nothing was taken.
    """

    code: str
    reason: str
    about: Literal["sender", "text"]


Outcome = Accepted | Rejected | Failed | Throttled | NotSent | InDoubt | AccountTrouble | CampaignTrouble
"""What became of one message at hand-over. Match it exhaustively."""


@value
class Receipt:
    """What a provider says of one message (DLR), from a callback or a poll.

    It names the message by the provider's id, or by our reference where the provider repeats that, or both.
    What comes after `is_coarse` is told where the provider says it; `campaigns.domain.said` makes each of
    them fit to be kept.
    """

    provider_message_id: str | None
    evidence: MessageState | None  # None: a status word we do not know, which changes nothing
    provider_state: str  # the status word itself, kept beside ours
    message_ref: str | None = None
    is_coarse: bool = False  # the provider knows it more exactly: worth one question
    code: str | None = None  # why, as the provider counts its reasons
    reason: str | None = None  # why, in a short sentence of theirs
    changed_at: datetime | None = None  # when it changed at the provider; aware
    cost: Decimal | None = None
    currency: str | None = None  # of `cost`, ISO 4217; None: the account's
    segment_count: int | None = None
    channel: str | None = None  # what it went by, as they call it: SMS, RCS


@value
class Answers:
    """What came of asking for statuses. Ids the provider said nothing of are simply absent.

    `unasked`: ids that are to be asked yet, because our own pace or time ended the series before them, or
    because of trouble that is not their own. An id the provider does not know, or whose answer nobody can
    read, was asked.
    """

    receipts: Sequence[Receipt]
    trouble: str | None = None  # why some or all could not be asked; None when that was our own pace alone
    retry_after_seconds: float | None = None
    unasked: Sequence[str] = field(default=(), compare=False)  # no part of what was said


@value
class Doubtful:
    """A message that was handed over and whose answer was not seen."""

    message_ref: str
    phone: str = field(repr=False)
    handed_over_after: datetime  # its request left between these two
    handed_over_before: datetime


@value
class Sighting:
    """One message as the provider has it now, found by asking."""

    provider_message_id: str
    evidence: MessageState | None  # at least `accepted` where the status word is known
    provider_state: str
    message_ref: str | None = None
    phone: str | None = field(default=None, repr=False)
    segment_count: int | None = None
    cost: Decimal | None = None
    accepted_at: datetime | None = None
    changed_at: datetime | None = None
    code: str | None = None  # this and the next three: as in Receipt
    reason: str | None = None
    currency: str | None = None
    channel: str | None = None
    service: str | None = None  # our own words for what it was sent for, as the provider repeats them
    action: str | None = None


def receipt_from(seen: Sighting) -> Receipt:
    """What was found by asking, as a receipt: the same words, without phone, service and action."""
    return Receipt(
        seen.provider_message_id,
        seen.evidence,
        seen.provider_state,
        seen.message_ref,
        code=seen.code,
        reason=seen.reason,
        changed_at=seen.changed_at,
        cost=seen.cost,
        currency=seen.currency,
        segment_count=seen.segment_count,
        channel=seen.channel,
    )


@value
class Sightings:
    """What came of looking messages in doubt up.

    `absent`: the references the provider said, whole and clearly, that it does not have. References in
    neither list could not be asked, or the answer did not tell; `unasked` are those to be asked yet, as in
    `Answers`.
    """

    seen: Sequence[Sighting] = ()
    absent: Sequence[str] = ()
    trouble: str | None = None
    retry_after_seconds: float | None = None
    unasked: Sequence[str] = field(default=(), compare=False)  # no part of what was said


@value
class Question:
    """What a person asks the provider: by its id, by number (E.164 with +) or by our reference."""

    by: Literal["id", "phone", "reference"]
    value: str = field(repr=False)
    count: int | None = None  # at most so many; None: as the provider has it
    sent_before: datetime | None = None


@value
class Callback:
    """One request of a provider to us, as it came. Nothing in it is to be trusted yet."""

    method: str  # GET or POST
    url: str = field(repr=False)  # the public one, with its query: what the provider signed
    headers: Mapping[str, str] = field(repr=False)  # names match in any case
    query: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime


class CallbackRefused(Exception):
    """A callback that is not taken: `status` (4xx) is the answer, the sentence holds nothing of it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@value
class Money:
    """An amount and its currency (ISO 4217), None where the provider does not name one."""

    amount: Decimal
    currency: str | None


@value
class DayStatistics:
    """One line of a provider's own monthly statistics."""

    date: str  # YYYY-MM-DD
    provider_state: str  # the provider's status word
    cost: Decimal
    segment_count: int


@value
class StopListEntry:
    """That a provider will send nothing to a number, as it says so itself."""

    since: str | None  # the moment in its own words; None where it does not say
    reason: str | None


class WaitForPace(Protocol):
    """Waits until the account's pace allows one more request. An adapter awaits it before each question.

    Raises `PaceUsedUp` when the wait would be too long: the adapter then ends its series and says what was
    not asked.
    """

    async def __call__(self) -> None: ...


class PaceUsedUp(Exception):
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
    def traits(self) -> Traits:
        """What the stages must know of it before they hand over or ask. Stays as it is."""
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

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        """Ask what became of messages the provider accepted. Costs nothing, may be repeated."""
        ...

    async def look_up(self, doubtful: Sequence[Doubtful], wait_for_pace: WaitForPace) -> Sightings:
        """Ask whether the provider has messages in doubt, by our reference. Costs nothing, may be repeated.

        Raises nothing by design; a provider that cannot be asked gives `trouble`.
        """
        ...

    async def find(self, question: Question, wait_for_pace: WaitForPace) -> list[Sighting]:
        """What the provider says now of a message, newest first; empty when it has none.

        Raises ProviderRefused, also for a kind of question it does not take, and PaceUsedUp.
        """
        ...

    def read_callback(self, callback: Callback) -> list[Receipt]:
        """The receipts in a callback. Pure. Raises CallbackRefused: unreadable, or its signature is wrong.

        A callback that is genuine and says nothing we can use is an empty list.
        """
        ...

    async def probe(self) -> Money | None:
        """Find out, at no cost, whether the account may be used again.

        Gives what is left on it, None where access is well and the balance cannot be asked. Raises
        ProviderRefused while the provider is not reached or refuses the account.
        """
        ...

    async def callbacks_registered(self, url: str) -> bool | None:
        """Whether the provider knows `url` as where to call this account back, as it said at most ten minutes
        ago. None: it is told so with each message, or calls nobody. Raises ProviderRefused.
        """
        ...

    async def register_callbacks(self, url: str) -> bool:
        """Have the provider call this account back at `url`; gives whether that is new. Idempotent; changes
        nothing else there. Raises ProviderRefused, also where there is nothing to register.
        """
        ...

    async def find_on_stop_list(self, phone: str) -> StopListEntry | None:
        """What the provider's own blacklist says of a number (E.164 with +); None: it is not on it.

        Costs nothing. Raises ProviderRefused, also where there is no list to be asked.
        """
        ...

    async def balance(self) -> Money:
        """What is left on the account. Raises ProviderRefused, also where the provider does not tell."""
        ...

    async def quote(self, countries: Collection[str]) -> Quote | None:
        """What a segment to each of `countries` (+ and the country code) costs by the provider's price list;
        None: it has none that can be asked. Costs nothing. Raises ProviderRefused.
        """
        ...

    async def statistics(self, month: str) -> list[DayStatistics]:
        """The provider's own statistics of `month` (YYYY-MM), by day. Raises NotOffered where it has
        none, ProviderRefused.
        """
        ...
