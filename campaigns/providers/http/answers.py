"""Answers, read as a mapping says: where things are, and what the words mean. Pure; takes any bytes.

What the mapping does not tell for certain is in doubt: a word it does not know, taken without an id, an id
beside a word that says "not taken".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    Receipt,
    Rejected,
    Throttled,
)
from campaigns.domain.states import MessageState
from campaigns.providers.base import outcome_of_status
from campaigns.providers.documents import (
    Json,
    amount_of,
    code_of,
    count_of,
    is_message_id,
    name_of,
    sentence_of,
    shown,
    text_of,
)
from campaigns.providers.http.meanings import FINAL, Means
from campaigns.providers.http.pointers import Document, Spots, find
from campaigns.providers.http.sends import Send, SendAnswer
from campaigns.providers.http.tables import Answer
from campaigns.providers.wire import Answered, retry_after_seconds

_JSON = Json(parse_int=str, parse_float=str, parse_constant=str)  # as text, nothing is lost on the way
_LONGEST_NAME = 128  # characters; a longer id is not read
_MOST_SECONDS = 10**11  # of a moment in seconds since 1970; beyond it they are milliseconds
_WELL = frozenset(
    {
        MessageState.ACCEPTED,
        MessageState.SENT,
        MessageState.BUFFERED,
        MessageState.DELIVERED,
        MessageState.READ,
    }
)


@dataclass(frozen=True, slots=True)
class _Said:
    """What one entry of an answer says."""

    word: str | None
    reason: str | None
    message_id: str | None
    cost: Decimal | None
    currency: str | None
    segment_count: int | None


def load(body: bytes) -> Document:
    """An answer as both a document and a text; neither where it is neither."""
    try:
        text = text_of(body)
    except ValueError:
        return Document(None, None, "")
    try:
        root = _JSON.read(text)
    except (ValueError, RecursionError):
        return Document(None, None, text)
    return Document(root, root, text)


def entries_of(document: Document, where: Spots) -> list[Document] | None:
    """The entries of an answer about several messages; None where the list is not there."""
    listed = find(document, where)
    if not isinstance(listed, list):
        return None
    return [Document(document.root, entry, "") for entry in listed]


def _text(document: Document, where: Spots) -> str | None:
    value = find(document, where)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() or None if isinstance(value, str) else None


def _status_word(document: Document, where: Spots, is_known: Callable[[str], bool]) -> str | None:
    """The first word that is known, of several spots; where none is, the first."""
    said = [word for spot in where if (word := _text(document, (spot,))) is not None]
    return next((word for word in said if is_known(word)), said[0] if said else None)


def _count(value: str | None) -> int | None:
    return count_of(value) or None  # 0 where it is not counted yet


def _amount(value: str | None) -> Decimal | None:
    amount = amount_of(value)
    return None if amount is None else abs(amount)  # Twilio's are below zero: what the account lost


def _id(value: str | None) -> str | None:
    return value if value is not None and is_message_id(value) else None


# --- handing over -----------------------------------------------------------------------------------


def read_outcomes(
    send: Send, answer: Answered, request: Sequence[OutboundMessage], now: float
) -> list[Outcome]:
    """One outcome for each message of a request, in order, out of its answer. Never raises."""
    document = load(answer.body)
    where = send.answer
    entries = entries_of(document, where.messages) if where.messages else [document]
    if not entries:  # no list: an error that concerns the whole request, or nothing that can be read
        return [
            _only_if_not_taken(_judge(send, answer, document, message.message_ref, now))
            for message in request
        ]
    if send.recipients_per_request == 1:  # the entries are the parts of the one text
        return [_of_parts(send, answer, entries, message.message_ref, now) for message in request]
    by_key: dict[str, list[Document]] = {}
    for entry in entries:
        key = _text(entry, where.ref) if where.ref else _digits(_text(entry, where.phone))
        if key is not None:
            by_key.setdefault(key, []).append(entry)
    return [
        _of_parts(send, answer, by_key.get(_key(where, message), []), message.message_ref, now)
        for message in request
    ]


def _key(where: SendAnswer, message: OutboundMessage) -> str:
    return message.message_ref if where.ref else message.phone[1:]


def _digits(phone: str | None) -> str | None:
    return None if phone is None else "".join(filter(str.isdigit, phone))


def _only_if_not_taken(outcome: Outcome) -> Outcome:
    return (
        InDoubt("the answer's list of messages cannot be read") if isinstance(outcome, Accepted) else outcome
    )


def _of_parts(
    send: Send, answer: Answered, parts: Sequence[Document], message_ref: str, now: float
) -> Outcome:
    """What became of one message, of which an answer may speak more than once."""
    if not parts:
        return InDoubt("the answer leaves this message out")
    outcomes = [_judge(send, answer, part, message_ref, now) for part in parts]
    taken = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    if not taken:
        alike = len({type(outcome) for outcome in outcomes}) == 1
        return outcomes[0] if alike else InDoubt("the answer says several things of one message")
    first = taken[0]
    if len(parts) == 1:
        return first
    costs = [outcome.cost for outcome in taken]
    cost = None if None in costs else sum((each for each in costs if each is not None), Decimal(0))
    return Accepted(
        first.provider_message_id, cost, first.segment_count or len(parts), first.currency
    )  # once a part is taken, nothing is sent again


def _judge(send: Send, answer: Answered, entry: Document, message_ref: str, now: float) -> Outcome:
    """What became of a message, by what one entry says of it."""
    where = send.answer
    said = _Said(
        _status_word(entry, where.word, lambda word: send.words.get(word) is not None),
        sentence_of(_text(entry, where.reason)),
        _text(entry, where.id),
        _amount(_text(entry, where.cost)),
        _text(entry, where.currency),
        _count(_text(entry, where.segments)),
    )
    by_status = send.http.get(answer.status)
    means = send.words.get(said.word) or by_status
    if send.words.get(said.word) is None and by_status is Means.TAKEN and send.words.taken:
        return InDoubt("the answer holds no word that is known" + _quoted(said.word))
    if means is None:
        # 503 must be named: something in front may say it of what went through.
        return InDoubt("HTTP 503") if answer.status == 503 else outcome_of_status(answer, now)
    if means not in FINAL and said.message_id not in (None, message_ref):
        return InDoubt(f"the answer says {means} and yet gives an id")
    if means is Means.TAKEN:
        return _taken(said, answer.status, by_status)
    if means is Means.LATER:
        why = f"HTTP {answer.status}" if send.words.get(said.word) is None else _why(said, means)
        return Throttled(retry_after_seconds(answer, now), why)
    return _not_taken(means, said, code_of(said.word) or f"http_{answer.status}")


def _taken(said: _Said, status: int, by_status: Means | None) -> Accepted | InDoubt:
    if by_status is not Means.TAKEN:
        return InDoubt(f"HTTP {status} with a word for taken")
    message_id = _id(said.message_id)
    if message_id is None:
        return InDoubt("the answer says taken and gives no id that can be one")
    return Accepted(message_id, said.cost, said.segment_count, said.currency)


def _not_taken(means: Means, said: _Said, code: str) -> Outcome:  # noqa: PLR0911  one line for each meaning
    reason = said.reason or _REASONS[means]
    match means:
        case Means.REFUSED | Means.OPTED_OUT:
            return Rejected(code, reason, opted_out=means is Means.OPTED_OUT)
        case Means.FAILED:
            return Failed(code, reason)
        case Means.ACCOUNT:
            return AccountTrouble(code, reason)
        case Means.SENDER:
            return CampaignTrouble(code, reason, "sender")
        case Means.TEXT:
            return CampaignTrouble(code, reason, "text")
        case Means.NOT_SENT:
            return NotSent(_why(said, means))
        case _:
            return InDoubt(_why(said, means))


def _why(said: _Said, means: Means) -> str:
    return (said.reason or _REASONS[means]) + _quoted(said.word)


def _quoted(word: str | None) -> str:
    code = code_of(word)
    return "" if code is None else f" ({code})"


_REASONS = {
    Means.REFUSED: "refused",
    Means.OPTED_OUT: "the number wants nothing any more",
    Means.FAILED: "could not be sent",
    Means.LATER: "too fast, or closed for a while",
    Means.NOT_SENT: "not taken",
    Means.ACCOUNT: "the account is refused",
    Means.SENDER: "the sender is refused",
    Means.TEXT: "the text is refused",
    Means.IN_DOUBT: "nobody can say whether it was taken",
}


# --- what became of them ----------------------------------------------------------------------------


def read_receipts(
    where: Answer, words: Mapping[str, MessageState], document: Document
) -> list[Receipt] | None:
    """The receipts in an answer or a callback, in their order; None where none can be read."""
    entries = entries_of(document, where.messages) if where.messages else [document]
    if entries is None:
        return None
    read = [_receipt(where, words, entry) for entry in entries]
    receipts = [receipt for receipt in read if receipt is not None]
    return receipts if receipts or not entries else None


def _receipt(where: Answer, words: Mapping[str, MessageState], entry: Document) -> Receipt | None:
    told = _status_word(entry, where.word, lambda word: word.casefold() in words)
    word = shown(told) if told is not None else ""
    if not word.strip():
        return None
    evidence = words.get(word.casefold())
    ref = _text(entry, where.ref)
    cost, segment_count = _amount(_text(entry, where.cost)), _count(_text(entry, where.segments))
    if where.cost_is_per_segment and cost is not None:
        cost = None if segment_count is None else cost * segment_count
    is_well = evidence in _WELL  # of what went well a code says no more than the word does
    return Receipt(
        _id(_text(entry, where.id)),
        evidence,
        word,
        ref if ref is not None and len(ref) <= _LONGEST_NAME and ref.isprintable() else None,
        code=None if is_well else code_of(_text(entry, where.code)),
        reason=None if is_well else sentence_of(_text(entry, where.reason)),
        changed_at=_moment(_text(entry, where.changed_at)),
        cost=cost,
        currency=_text(entry, where.currency),
        segment_count=segment_count,
        channel=name_of(_text(entry, where.channel)),
    )


def _moment(value: str | None) -> datetime | None:
    """A moment of theirs: ISO 8601, RFC 5322 or seconds since 1970; None where it has no zone."""
    if value is None:
        return None
    try:
        if value.isascii() and value.isdigit():
            seconds = int(value[:16])
            return datetime.fromtimestamp(seconds if seconds < _MOST_SECONDS else seconds / 1000, UTC)
        said = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
        return None if said.utcoffset() is None else said.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_money(where_amount: Spots, where_currency: Spots, body: bytes) -> tuple[Decimal | None, str | None]:
    """What is left on an account, and in which currency."""
    document = load(body)
    return amount_of(_text(document, where_amount)), _text(document, where_currency)
