"""An answer of a provider that could not be written down in time. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from campaigns.domain.message_ref import key_of
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.domain.said import believed_code, believed_cost, reason_of
from campaigns.domain.segments import believed_segment_count
from campaigns.domain.states import MessageState
from campaigns.domain.unstorable import UNSTORABLE_CHARACTERS
from campaigns.domain.values import value


@value
class LateAnswer:
    """What a provider answered on one attempt (from 1) at one message.

    `state`: accepted (then it has an id), rejected, failed, or queued where certainly nothing was taken.
    Holds no number and no text: it may have to be kept on disk.
    """

    account: str
    message_ref: str
    attempt: int
    state: MessageState
    provider_message_id: str | None = None
    provider_state: str | None = None
    reason: str | None = None
    cost: Decimal | None = None
    segment_count: int | None = None


def late_answer(account: str, message_ref: str, attempt: int, outcome: Outcome) -> LateAnswer | None:
    """What is kept of an outcome; None where it says nothing: it stays in doubt."""
    said = LateAnswer(account, message_ref, attempt, MessageState.QUEUED)
    match outcome:
        case Accepted(provider_message_id, cost, segment_count):
            return replace(
                said,
                state=MessageState.ACCEPTED,
                provider_message_id=provider_message_id,
                cost=cost,
                segment_count=believed_segment_count(segment_count),
            )
        case (
            AccountTrouble(code, reason)
            | CampaignTrouble(code, reason)
            | Rejected(code, reason, is_unclear=True)
        ):  # whose fault it is will be judged when it is handed over again
            return replace(said, provider_state=believed_code(code), reason=reason_of(None, reason))
        case Rejected(code, reason) | Failed(code, reason):
            state = MessageState.REJECTED if isinstance(outcome, Rejected) else MessageState.FAILED
            return replace(
                said, state=state, provider_state=believed_code(code), reason=reason_of(None, reason)
            )
        case InDoubt():
            return None
        case Throttled(why=why) | NotSent(why=why):
            return replace(said, reason=reason_of(None, why))


def late_answers(account: str, told: Sequence[tuple[str, int, Outcome]]) -> list[LateAnswer]:
    """What is kept of outcomes, each with the message's reference and its attempt."""
    answers = [late_answer(account, ref, attempt, outcome) for ref, attempt, outcome in told]
    return [answer for answer in answers if answer is not None]


_MOST_ATTEMPTS = 1_000  # a larger attempt in a file of late answers is not ours
_MOST_CHARACTERS = 200  # of a text in a file of late answers
_STATES = (MessageState.ACCEPTED, MessageState.REJECTED, MessageState.FAILED, MessageState.QUEUED)


def as_line(answer: LateAnswer) -> dict[str, Any]:
    """An answer as JSON holds it."""
    return {
        "account": answer.account,
        "ref": answer.message_ref,
        "attempt": answer.attempt,
        "state": answer.state.value,
        "id": answer.provider_message_id,
        "provider_state": answer.provider_state,
        "reason": answer.reason,
        "cost": None if answer.cost is None else str(answer.cost),
        "segment_count": answer.segment_count,
    }


def of_line(line: object) -> LateAnswer | None:
    """An answer out of what `as_line` gave, read again; None for anything else."""
    if not isinstance(line, dict):
        return None
    texts = [line.get(name) for name in ("account", "ref", "state")]
    maybe = [line.get(name) for name in ("id", "provider_state", "reason", "cost")]
    attempt, segment_count = line.get("attempt"), line.get("segment_count")
    if (
        not all(isinstance(each, str) for each in texts)
        or not all(each is None or isinstance(each, str) for each in maybe)
        or not isinstance(attempt, int)
        or not 1 <= attempt <= _MOST_ATTEMPTS
        or not all(each is None or _is_storable(each) for each in maybe)
        or key_of(str(line["ref"])) is None
        or line["state"] not in _STATES
    ):
        return None
    try:
        cost = None if line.get("cost") is None else Decimal(line["cost"])
    except InvalidOperation:
        return None
    return LateAnswer(
        line["account"],
        line["ref"],
        attempt,
        MessageState(line["state"]),
        line.get("id"),
        line.get("provider_state"),
        line.get("reason"),
        believed_cost(cost),
        believed_segment_count(segment_count if isinstance(segment_count, int) else None),
    )


def _is_storable(text: str) -> bool:
    return 1 <= len(text) <= _MOST_CHARACTERS and not UNSTORABLE_CHARACTERS.search(text)
