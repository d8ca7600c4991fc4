"""The laws of state: evidence merges the same in every order, commands move only where they may."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.states import (
    BATCH_MOVES,
    CAMPAIGN_MOVES,
    EVIDENCE,
    MOVES,
    OPEN,
    POLLABLE,
    RANK,
    SETTLED,
    UNLEASED,
    UNREACHED,
    UNSETTLED,
    BatchState,
    CampaignState,
    MessageState,
    is_move,
    is_settled,
    merge,
    takes_evidence,
)
from campaigns.store.law import in_list, quoted, sum_of

BY_RANK = [
    *("queued", "sending", "in_doubt", "accepted", "sent", "buffered"),
    *("unknown", "expired", "undelivered", "failed", "rejected", "delivered", "read"),
]
"""As the law is written, lowest first."""

states = st.sampled_from(MessageState)
evidence = st.sampled_from(sorted(EVIDENCE, key=RANK.__getitem__))
bundles = st.lists(evidence, max_size=8)


def merge_all(state: MessageState, bundle: list[MessageState]) -> MessageState:
    for word in bundle:
        state = merge(state, word)
    return state


def test_the_ranks_are_those_of_the_law() -> None:
    ranked = sorted((MessageState(word) for word in BY_RANK), key=RANK.__getitem__)
    assert ranked == BY_RANK
    assert set(RANK) == set(MessageState)
    assert len(set(RANK.values())) == len(RANK)


def test_what_never_was_handed_over_ranks_below_everything() -> None:
    """So that a word about it, should one ever come, is believed."""
    assert set(MessageState) - set(BY_RANK) == {MessageState.SUPPRESSED, MessageState.CANCELLED}
    for state in (MessageState.SUPPRESSED, MessageState.CANCELLED):
        assert RANK[state] < RANK[MessageState.QUEUED]


def test_evidence_is_what_comes_after_handing_over() -> None:
    assert BY_RANK[BY_RANK.index("accepted") :] == sorted(EVIDENCE, key=RANK.__getitem__)


def test_settled_are_the_ends_of_a_message() -> None:
    words = "suppressed cancelled unknown expired undelivered failed rejected delivered read"
    assert set(words.split()) == SETTLED
    for state in MessageState:
        assert is_settled(state) == (state in words.split())


@given(states, bundles, st.data())
def test_evidence_ends_the_same_in_any_order_and_repetition(
    state: MessageState, bundle: list[MessageState], data: st.DataObject
) -> None:
    repeated = bundle + data.draw(st.lists(st.sampled_from(bundle), max_size=8)) if bundle else bundle
    shuffled = data.draw(st.permutations(repeated))
    assert merge_all(state, shuffled) == merge_all(state, bundle)


def test_merge_is_commutative_and_associative_over_all_evidence() -> None:
    for a, b, c in product(EVIDENCE, repeat=3):
        assert merge(a, b) == merge(b, a)
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(states, evidence)
def test_merge_is_idempotent_and_gives_one_of_the_two(state: MessageState, word: MessageState) -> None:
    once = merge(state, word)
    assert once in (state, word)
    assert merge(once, word) == once
    if state in EVIDENCE:
        assert merge(state, state) == state


@given(states, bundles)
def test_evidence_only_ever_raises(state: MessageState, bundle: list[MessageState]) -> None:
    end = merge_all(state, bundle)
    assert RANK[end] == max(RANK[word] for word in [state, *bundle])
    if is_settled(state) and end != state:
        assert RANK[end] > RANK[state]


@given(
    st.sampled_from([state for state in MessageState if RANK[state] >= RANK[MessageState.UNKNOWN]]), bundles
)
def test_once_a_provider_has_said_how_it_ended_it_stays_ended(
    state: MessageState, bundle: list[MessageState]
) -> None:
    assert is_settled(merge_all(state, bundle))


def test_what_is_no_evidence_is_refused() -> None:
    for state, word in product(MessageState, set(MessageState) - EVIDENCE):
        with pytest.raises(ValueError, match="not evidence"):
            merge(state, word)


def test_no_command_leaves_a_settled_state() -> None:
    for before, after in product(SETTLED, MessageState):
        assert not is_move(before, after)


def test_each_command_decides_something() -> None:
    """None stands in the table that evidence allows anyway: without any one of them something is refused."""
    for before, after in product(MessageState, repeat=2):
        if is_move(before, after):
            by_evidence = takes_evidence(before, 0) and after in EVIDENCE and RANK[after] > RANK[before]
            assert not by_evidence, (before, after)


def test_every_state_is_reached_and_every_message_can_settle() -> None:
    def reach(start: MessageState) -> set[MessageState]:
        reached, waiting = {start}, [start]
        while waiting:
            state = waiting.pop()
            after = set(MOVES.get(state, frozenset()))
            if state not in {MessageState.QUEUED, *SETTLED}:
                after |= {merge(state, word) for word in EVIDENCE}
            waiting += after - reached
            reached |= after
        return reached

    assert reach(MessageState.QUEUED) == set(MessageState)
    for state in MessageState:
        assert reach(state) & SETTLED


def test_a_message_handed_over_is_never_cancelled() -> None:
    for state in MessageState:
        if state != MessageState.QUEUED:
            assert not is_move(state, MessageState.CANCELLED)


def test_an_ended_campaign_stays_ended() -> None:
    ended = {CampaignState.FINISHED, CampaignState.CANCELLED, CampaignState.FAILED}
    assert set(CAMPAIGN_MOVES) == set(CampaignState) - ended
    for state, after in CAMPAIGN_MOVES.items():
        assert state not in after
        assert ended <= after
        assert CampaignState.ACCEPTED not in after


def test_every_message_is_settled_or_still_to_be_settled_and_not_both() -> None:
    assert set(MessageState) - SETTLED == UNSETTLED
    assert POLLABLE < OPEN < UNSETTLED
    assert POLLABLE < EVIDENCE
    assert UNREACHED < SETTLED


def test_a_batch_that_is_done_stays_done_and_every_other_can_be_done() -> None:
    assert set(BATCH_MOVES) == set(BatchState) - {BatchState.DONE}
    for state, after in BATCH_MOVES.items():
        assert BatchState.DONE in after
        assert state not in after
    assert {state for state, after in BATCH_MOVES.items() if BatchState.LEASED in after} == UNLEASED


def test_states_are_rendered_in_the_order_of_their_law() -> None:
    assert quoted(BatchState.LEASED) == "'leased'"
    assert in_list(POLLABLE) == "('accepted', 'sent', 'buffered')"
    assert in_list({CampaignState.RUNNING, CampaignState.ACCEPTED}) == "('accepted', 'running')"
    assert sum_of(POLLABLE, "b") == "(b.accepted_count + b.sent_count + b.buffered_count)"
    assert sum_of([MessageState.READ, MessageState.FAILED]) == "(failed_count + read_count)"
