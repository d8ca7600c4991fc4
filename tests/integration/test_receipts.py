"""What a provider says is merged, in whatever order it comes, to the end."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.provider import InDoubt, NotSent
from campaigns.domain.states import EVIDENCE, RANK, SETTLED, BatchState, CampaignState, MessageState, merge
from campaigns.store.holding import accounts
from campaigns.store.receipts import polling
from campaigns.store.receipts.polling import Evidence, PollingWork
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import POLICY, MakeDesk
from tests.integration.one_batch import SLOW, OneText, about, send_one, submit_texts
from tests.integration.polled import Answering, handed_over, poll_one, said
from tests.integration.rows import (
    batch_rows,
    bend,
    make_due,
    message_rows,
    pass_deadlines,
    query,
    states,
    wrong_tallies,
)
from tests.river import phones, submit
from tests.stub import Stub

A, U = MessageState.ACCEPTED, MessageState.UNKNOWN
SENT, BUFFERED, DELIVERED = MessageState.SENT, MessageState.BUFFERED, MessageState.DELIVERED
WORDS = sorted(EVIDENCE, key=RANK.__getitem__)


# --- merging ----------------------------------------------------------------------------------------


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[MessageState]]:
    """One bundle of evidence, arriving in five ways: reordered, and some of it several times."""
    bundle = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))
    repeats = st.lists(st.sampled_from(bundle), max_size=3)
    return [draw(st.permutations(bundle + draw(repeats))) for _ in range(5)]


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example clears what the one before left
@given(arrivals())
async def test_evidence_ends_the_same_in_every_order(
    database: Database, make_desk: MakeDesk, ways: list[list[MessageState]]
) -> None:
    """At the store, which would merge also what is settled; as the law of evidence has it."""
    await query(database, "DELETE FROM message")
    await query(database, "DELETE FROM campaign")
    await handed_over(database, make_desk(), len(ways))
    for nth in range(max(map(len, ways))):
        work = await hold_by_force(database)
        evidence = [Evidence(at, way[nth], way[nth].value) for at, way in enumerate(ways) if nth < len(way)]
        before = await states(database)
        await polling.merge_polled(database, work, evidence, Release(), worker="worker-1")
        after = await states(database)
        for each in evidence:
            assert after[each.position] is merge(before[each.position], MessageState(str(each.state)))
        assert await wrong_tallies(database) == []

    ends = set(await states(database))
    assert ends == {reduce(merge, ways[0], A)}
    words = {row["provider_state"] for row in await message_rows(database)}
    assert words == ({state.value for state in ends} if set(ways[0]) != {A} else {A.value})
    event(f"{len(set(ways[0]))} different words")


async def hold_by_force(database: Database) -> PollingWork:
    """A lease for polling, whatever state the batch is in."""
    (row,) = await bend(
        database,
        "UPDATE batch SET state = 'leased', lease = lease + 1, leased_for = 'polling',"
        " leased_by = 'worker-1', leased_until = now() + interval '1 minute'"
        " RETURNING id, lease, campaign_id, number, poll_count, now() AS now",
    )
    return PollingWork(
        row["id"],
        row["lease"],
        row["campaign_id"],
        row["number"],
        "main",
        row["poll_count"],
        row["now"],
        {},
        [],
    )


async def test_what_is_settled_is_never_asked_again(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering()
    desk = make_desk(provider)
    a, b, c = await handed_over(database, desk, 3)
    provider._answers = [said((a, DELIVERED), (b, SENT)), said((b, U), (c, SENT)), said((c, SENT)), said()]
    ends = []
    for _ in range(4):
        ends.append((await poll_one(database, desk)).state)
        await make_due(database)

    assert provider.asked == [[a, b, c], [b, c], [c], [c]]
    assert ends == [BatchState.TRACKING] * 4
    assert await states(database) == [DELIVERED, U, SENT]


async def test_a_batch_is_done_with_its_last_word(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering()
    desk = make_desk(provider)
    a, b = await handed_over(database, desk, 2)
    provider._answers = [said((a, DELIVERED), (b, MessageState.UNDELIVERED))]

    polled = await poll_one(database, desk)

    assert (polled.state, polled.asked_count, polled.answered_count) == (BatchState.DONE, 2, 2)
    (batch,) = await batch_rows(database)
    assert (batch["poll_at"], batch["leased_by"]) == (None, None)
    assert await batching.deal_polling(database, desk) == []


async def test_a_word_we_do_not_know_is_kept_and_changes_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    provider = Answering()
    desk = make_desk(provider)
    (a,) = await handed_over(database, desk)
    provider._answers = [said((a, SENT)), said((a, "teleported " * 10)), said((a, SENT))]
    seen = []
    for _ in range(3):
        await poll_one(database, desk)
        await make_due(database)
        (row,) = await message_rows(database)
        seen.append((row["state"], row["provider_state"]))

    assert seen == [("sent", "sent"), ("sent", ("teleported " * 10)[:64]), ("sent", "sent")]


async def test_a_late_lower_word_is_not_put_beside_a_higher_state(
    database: Database, make_desk: MakeDesk
) -> None:
    provider = Answering()
    desk = make_desk(provider)
    (a,) = await handed_over(database, desk)
    provider._answers = [said((a, BUFFERED)), said((a, SENT))]
    await poll_one(database, desk)
    await make_due(database)
    before = await message_rows(database)

    await poll_one(database, desk)

    assert await message_rows(database) == before
    assert (before[0]["state"], before[0]["provider_state"]) == ("buffered", "buffered")


@pytest.mark.parametrize("words", [[SENT, DELIVERED, "?"], ["?", DELIVERED, SENT], [DELIVERED, "?", SENT]])
async def test_of_several_words_in_one_answer_the_highest_counts(
    database: Database, make_desk: MakeDesk, words: list[MessageState | str]
) -> None:
    provider = Answering()
    desk = make_desk(provider)
    (a,) = await handed_over(database, desk)
    provider._answers = [said(*((a, word) for word in words))]

    assert (await poll_one(database, desk)).answered_count == 1
    (row,) = await message_rows(database)
    assert (row["state"], row["provider_state"]) == ("delivered", "delivered")


async def test_words_on_ids_nobody_asked_for_are_ignored(database: Database, make_desk: MakeDesk) -> None:
    """Not even when the id is one of ours, in another batch: each batch is written under its own lease."""
    provider = Answering()
    desk = make_desk(provider)
    await submit(database, phones(2), batch_size=1)
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
    a, b = [row["provider_message_id"] for row in await message_rows(database)]
    await query(database, "UPDATE batch SET poll_at = NULL WHERE id = (SELECT max(id) FROM batch)")
    provider._answers = [said(("stub-nobody", DELIVERED), (b, DELIVERED), (a, SENT))]

    polled = await poll_one(database, desk)

    assert (polled.asked_count, polled.answered_count) == (1, 1)
    assert await states(database) == [SENT, A]


async def test_messages_in_doubt_have_no_id_to_ask_for(database: Database, make_desk: MakeDesk) -> None:
    (doubted, _) = await submit_texts(database, "a", "b")
    provider = Answering()
    provider._outcomes[doubted] = deque([InDoubt("cut")])
    desk = make_desk(provider)
    await send_one(database, desk)
    (_, b) = await message_rows(database)
    provider._answers = [said((b["provider_message_id"], DELIVERED))]

    assert (await poll_one(database, desk)).state is BatchState.TRACKING
    assert provider.asked == [[b["provider_message_id"]]]
    assert await states(database) == [MessageState.IN_DOUBT, DELIVERED]
    assert (await batch_rows(database))[0]["poll_at"] is None


async def test_a_batch_that_still_has_something_to_send_goes_back_to_be_sent(
    database: Database, make_desk: MakeDesk
) -> None:
    (_, queued) = await submit_texts(database, "a", "b")
    stub = OneText("main", outcomes={queued: [NotSent("down")]})
    desk = make_desk(stub, policy=replace(SLOW, poll=POLICY.poll))
    await send_one(database, desk)

    assert (await poll_one(database, desk)).state is BatchState.READY
    (batch,) = await batch_rows(database)
    assert batch["send_in"] == about(500)
    assert await states(database) == [DELIVERED, MessageState.QUEUED]


# --- to its end -------------------------------------------------------------------------------------


async def pause(database: Database, campaign_id: Any) -> None:
    await aggregation.change_state(database, campaign_id, CampaignState.PAUSED)


async def cancel(database: Database, campaign_id: Any) -> None:
    await aggregation.change_state(database, campaign_id, CampaignState.CANCELLED)


async def hold(database: Database, campaign_id: Any) -> None:
    await accounts.hold(database, "main", NewHold("32", "no money", 30))


@pytest.mark.parametrize("stop", [pause, cancel, hold], ids=lambda stop: stop.__name__)
async def test_what_was_handed_over_is_polled_to_its_end(
    database: Database, make_desk: MakeDesk, stop: Callable[[Database, Any], Awaitable[None]]
) -> None:
    desk = make_desk()
    await handed_over(database, desk, 2)
    (batch,) = await batch_rows(database)
    await stop(database, batch["campaign_id"])

    assert (await poll_one(database, desk)).state is BatchState.DONE
    assert await states(database) == [DELIVERED, DELIVERED]
    assert await aggregation.finish(database) == [batch["campaign_id"]]


async def test_after_the_deadline_a_message_is_unknown_and_a_later_word_still_counts(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await handed_over(database, desk, 2)
    await pass_deadlines(database)
    assert (await rescue.rescue(database)).unknown_count == 2
    assert await batching.deal_polling(database, desk) == []
    assert {row["reason"] for row in await message_rows(database)} == {"no final word by the deadline"}

    work = await hold_by_force(database)
    evidence = [Evidence(0, DELIVERED, "delivered"), Evidence(1, SENT, "sent")]
    state = await polling.merge_polled(database, work, evidence, Release(), worker="worker-1")

    assert state is BatchState.DONE
    assert await states(database) == [DELIVERED, U]
    assert set(await states(database)) <= SETTLED


async def test_no_setting_makes_us_ask_again_too_soon(database: Database, make_desk: MakeDesk) -> None:
    touchy = Stub("main", states={phones(1)[0]["phone"]: ["sent"]})
    touchy.traits = replace(touchy.traits, least_pause_seconds=900.0)
    desk = make_desk(touchy)
    await handed_over(database, desk)
    await poll_one(database, desk)
    (batch,) = await batch_rows(database)
    assert batch["poll_in"] == about(900)
