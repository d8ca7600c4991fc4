"""What is written down of a request: each message its own outcome, those alike together."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

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
from campaigns.domain.states import MessageState
from campaigns.store.sending.outcome_rows import rows_of

words = st.sampled_from(["a", "b"])
outcomes = st.one_of(
    st.builds(
        Accepted,
        st.text("0123456789", min_size=1, max_size=3),
        st.sampled_from([None, Decimal("0.045"), Decimal("1")]),
        st.sampled_from([None, 1, 2, 10**6]),
    ),
    st.builds(Rejected, words, words),
    st.builds(Failed, words, words),
    st.builds(Throttled, st.sampled_from([None, 1.0]), words),
    st.builds(NotSent, words),
    st.builds(InDoubt, words),
    st.builds(AccountTrouble, words, words),
    st.builds(CampaignTrouble, words, words, st.sampled_from(["sender", "text"])),
)

Told = tuple[MessageState, str | None, Decimal | None, int | None, str | None, str | None, bool]


def expected(outcome: Outcome) -> Told:
    match outcome:
        case Accepted(named, cost, count):
            believed = count if count in {1, 2} else None  # a column for small numbers
            return MessageState.ACCEPTED, named, cost, believed, None, None, True
        case Rejected(code, reason):
            return MessageState.REJECTED, None, None, None, code, reason, True
        case Failed(code, reason):
            return MessageState.FAILED, None, None, None, code, reason, True
        case Throttled(why=why) | NotSent(why=why):
            return MessageState.QUEUED, None, None, None, None, why, True
        case InDoubt(why):
            return MessageState.IN_DOUBT, None, None, None, None, why, True
        case AccountTrouble(code, reason) | CampaignTrouble(code, reason):
            return MessageState.QUEUED, None, None, None, code, reason, False


@given(st.lists(outcomes, max_size=100))
def test_each_message_gets_its_own_outcome(told: list[Outcome]) -> None:
    positions = [7 * i % 101 for i in range(len(told))]
    written: dict[int, Told] = {}
    for each in rows_of(positions, told):
        ids = each.provider_message_ids or [None] * len(each.positions)
        for position, named in zip(each.positions, ids, strict=True):
            assert position not in written
            written[position] = (
                each.state,
                named,
                each.cost,
                each.segment_count,
                each.provider_state,
                each.reason,
                each.spends_attempt,
            )
    assert written == dict(zip(positions, map(expected, told), strict=True))


def test_a_request_that_was_taken_is_one_row() -> None:
    taken: list[Outcome] = [Accepted(str(i), Decimal("0.045"), 1) for i in range(100)]
    (row,) = rows_of(range(100), taken, by_id=True)
    assert (row.positions, row.provider_message_ids) == (list(range(100)), [str(i) for i in range(100)])
    assert row.by_id
