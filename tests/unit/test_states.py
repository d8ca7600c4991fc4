"""The laws of state: evidence merges the same in every order, commands move only where they may."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.states import (
    CAMPAIGN_MOVES,
    EVIDENCE,
    MOVES,
    RANK,
    SETTLED,
    CampaignState,
    MessageState,
    is_move,
    is_settled,
    merge,
)

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


def test_commands_move_as_the_law_says() -> None:
    moves = {
        ("queued", "suppressed"),
        ("queued", "cancelled"),
        ("queued", "sending"),
        ("queued", "expired"),
        ("queued", "failed"),
        ("sending", "accepted"),
        ("sending", "rejected"),
        ("sending", "failed"),
        ("sending", "in_doubt"),
        ("sending", "queued"),
        ("in_doubt", "queued"),
        ("in_doubt", "unknown"),
    }
    found = {(before, after) for before, after in product(MessageState, repeat=2) if is_move(before, after)}
    assert found == moves


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
