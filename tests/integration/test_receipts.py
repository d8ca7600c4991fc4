"""Evidence: what a poll asks, how its answers are merged, when it asks again."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, receipts, rescue, sending
from campaigns.domain.circuit import NewHold
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Answers, InDoubt, NotSent, PaceUsedUp, Receipt, WaitForPace
from campaigns.domain.states import EVIDENCE, RANK, SETTLED, BatchState, CampaignState, MessageState, merge
from campaigns.store.holding import accounts
from campaigns.store.receipts import polling
from campaigns.store.receipts.polling import Evidence, PollingWork
from campaigns.store.sending import hand_over as batches
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import POLICY, MakeDesk
from tests.integration.hands import SLOW, Full, OneText, about, hurried, send_one, submit_texts
from tests.integration.rows import (
    batch_rows,
    bend,
    checked_out,
    cut_everywhere,
    make_due,
    message_rows,
    pass_deadlines,
    query,
    run_out,
    states,
    wrong_tallies,
)
from tests.river import phones, submit
from tests.stub import Stub

A, U = MessageState.ACCEPTED, MessageState.UNKNOWN
SENT, BUFFERED, DELIVERED = MessageState.SENT, MessageState.BUFFERED, MessageState.DELIVERED
WORDS = sorted(EVIDENCE, key=RANK.__getitem__)


class Answering(Stub):
    """A provider that answers each poll as told, and remembers what it was asked."""

    def __init__(self, *answers: Answers | Callable[[], Awaitable[Answers]]) -> None:
        super().__init__("main")
        self._answers = list(answers)
        self.asked: list[list[str]] = []

    async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
        self.asked.append(list(provider_message_ids))
        answer = self._answers.pop(0)
        return answer if isinstance(answer, Answers) else await answer()


async def handed_over(database: Database, desk: Desk, count: int = 1) -> list[str]:
    """A batch whose every message is accepted, due to be polled. Gives the provider's ids."""
    await submit(database, phones(count))
    await send_one(database, desk)
    await make_due(database)
    return [row["provider_message_id"] for row in await message_rows(database)]


async def poll_one(database: Database, desk: Desk) -> receipts.Polled:
    (dealt,) = await batching.deal_polling(database, desk)
    return await receipts.poll_batch(database, desk, dealt)


def said(*words: tuple[str, MessageState | str]) -> Answers:
    """An answer: (id, word) ..., where a word that is none of our states means nothing to us."""
    return Answers([Receipt(i, w if isinstance(w, MessageState) else None, str(w)) for i, w in words])


# --- merging ---


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[MessageState]]:
    """One bundle of evidence, arriving in five ways: reordered, and some of it several times."""
    bundle = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))
    repeats = st.lists(st.sampled_from(bundle), max_size=3)
    return [draw(st.permutations(bundle + draw(repeats))) for _ in range(5)]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


# --- when to ask again ---


async def test_questions_come_ever_more_rarely(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering(*[said()] * 2, Answers([], "HTTP 500"), said())
    desk = make_desk(provider, policy=SLOW)
    await submit(database, phones(1))
    await send_one(database, desk)
    waits = []
    for _ in range(4):
        (batch,) = await batch_rows(database)
        waits.append((batch["poll_count"], batch["poll_in"], batch["trouble"]))
        await make_due(database)
        await poll_one(database, desk)

    assert waits == [
        (0, about(1_000), None),
        (1, about(2_000), None),
        (2, about(4_000), None),
        (3, about(8_000), "HTTP 500"),
    ]


@pytest.mark.parametrize(
    ("trouble", "retry_after", "word", "wait", "poll_count"),
    [
        (None, 30, False, 30, 0),  # our own pace: as soon as it allows
        ("HTTP 503", 1_500, False, 1_500, 0),
        ("HTTP 503", 0, False, 1_000, 0),  # never sooner than the first question
        ("HTTP 503", 3_000, True, 3_000, 1),
        ("HTTP 503", 30, True, 2_000, 1),  # by backoff: it did say something
        (None, 30, True, 2_000, 1),
    ],
)
async def test_a_wish_to_be_asked_later_is_respected(
    database: Database,
    make_desk: MakeDesk,
    trouble: str | None,
    retry_after: float,
    word: bool,
    wait: float,
    poll_count: int,
) -> None:
    provider = Answering()
    desk = make_desk(provider, policy=SLOW)
    (a,) = await handed_over(database, desk)
    receipts_of = said(*([(a, SENT)] if word else [])).receipts
    provider._answers = [Answers(receipts_of, trouble, retry_after, [] if word else [a])]

    polled = await poll_one(database, desk)

    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"]) == (about(wait), poll_count)
    assert polled.trouble == batch["trouble"] == trouble


async def test_when_the_pace_is_used_up_the_poll_comes_back_when_it_allows(
    database: Database, make_desk: MakeDesk
) -> None:
    async def wait_for_pace() -> None:
        raise PaceUsedUp(700)

    stub = Stub("main")
    desk = make_desk(stub, policy=SLOW)
    await handed_over(database, desk)
    too_fast = replace(desk, accounts={"main": Account(stub, wait_for_pace, 1)})

    polled = await poll_one(database, too_fast)

    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], polled.trouble) == (about(700), 0, None)


async def raises() -> Answers:
    raise KeyError("status")


async def hangs() -> Answers:
    await asyncio.Event().wait()
    return Answers([])


async def gives_trouble() -> Answers:
    return Answers([], "an answer of no use")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (gives_trouble, "an answer of no use"),
        (raises, "the adapter broke down: KeyError at campaigns/adapter_calls.py:"),
        (hangs, "the adapter gave no answer in time"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_trouble_changes_no_message_and_is_asked_again(
    database: Database, make_desk: MakeDesk, answer: Callable[[], Awaitable[Answers]], why: str
) -> None:
    provider = Answering(answer)
    await handed_over(database, make_desk(), 2)
    before = await message_rows(database)

    polled = await poll_one(database, make_desk(provider, policy=replace(SLOW, lease_seconds=1)))

    assert (polled.state, polled.answered_count) == (BatchState.TRACKING, 0)
    assert str(polled.trouble).rstrip("0123456789") == why  # without the line
    assert await message_rows(database) == before
    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], batch["trouble"]) == (about(2_000), 1, polled.trouble)


async def test_a_place_with_the_provider_is_held_while_it_is_asked(
    database: Database, make_desk: MakeDesk
) -> None:
    way: list[str] = []

    class Seen:
        is_wanted = False

        async def advance(self) -> None:
            way.append("on")

    class Asked(Stub):
        async def ask(self, provider_message_ids: Sequence[str], wait_for_pace: WaitForPace) -> Answers:
            way.append("asked")
            return await super().ask(provider_message_ids, wait_for_pace)

    desk = make_desk(Asked("main"))
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)
    await receipts.poll_batch(database, desk, dealt, Seen())
    assert way == ["on", "asked", "on"]


async def test_who_waits_too_long_for_a_place_asks_nothing_and_is_dealt_again(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await handed_over(database, desk, 2)
    (dealt,) = await batching.deal_polling(database, desk)
    polled = await receipts.poll_batch(database, hurried(desk), dealt, Full())

    assert (polled.state, polled.answered_count, polled.trouble) == (BatchState.TRACKING, 0, None)
    (batch,) = await batch_rows(database)
    assert (batch["poll_in"], batch["poll_count"], batch["crash_count"]) == (about(0), 0, 0)
    assert (await poll_one(database, desk)).answered_count == 2


async def test_an_account_this_worker_does_not_know_is_left_to_others(
    database: Database, make_desk: MakeDesk
) -> None:
    desk = make_desk()
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)

    polled = await receipts.poll_batch(database, make_desk(accounts={"other": Stub("other")}), dealt)

    assert (polled.state, polled.trouble) == (
        BatchState.TRACKING,
        "this worker's settings know no account 'main'",
    )
    assert (await batch_rows(database))[0]["poll_in"] == about(60)


# --- who may write ---


async def test_only_the_first_to_take_the_lease_up_asks(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering(said(), said())
    desk = make_desk(provider)
    await handed_over(database, desk)
    (dealt,) = await batching.deal_polling(database, desk)

    assert (await receipts.poll_batch(database, desk, dealt)).state is BatchState.TRACKING
    again = await receipts.poll_batch(database, desk, dealt)
    as_sending = await batches.take_up_sending(database, dealt, worker="worker-1", lease_seconds=60)

    assert (again.state, again.asked_count, again.trouble, as_sending) == (None, 0, None, None)
    assert len(provider.asked) == 1


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["taken back", "taken over"])
async def test_an_answer_after_the_lease_was_lost_is_not_written(
    database: Database, make_desk: MakeDesk, is_taken_over: bool
) -> None:
    provider = Answering()
    desk = make_desk(provider)
    (a,) = await handed_over(database, desk)
    before: list[Any] = []

    async def late() -> Answers:
        await run_out(database)
        await rescue.rescue(database)
        if is_taken_over:
            (again,) = await batching.deal_polling(database, desk)
            assert await polling.take_up_polling(database, again, worker="worker-1", lease_seconds=60)
        before.extend([await message_rows(database), await query(database, "SELECT * FROM batch")])
        return said((a, DELIVERED))

    provider._answers = [late]
    polled = await poll_one(database, desk)

    assert (polled.state, polled.trouble) == (None, "lease lost")
    assert [await message_rows(database), await query(database, "SELECT * FROM batch")] == before
    assert await states(database) == [A]


async def test_no_session_is_held_while_a_provider_thinks(database: Database, make_desk: MakeDesk) -> None:
    seen = []

    async def look() -> Answers:
        seen.append(checked_out(database))
        return said()

    desk = make_desk(Answering(look))
    await handed_over(database, desk)
    await poll_one(database, desk)

    assert seen == [0]


async def test_a_poll_stopped_anywhere_leaves_all_or_nothing(database: Database, make_desk: MakeDesk) -> None:
    provider = Answering()
    desk = make_desk(provider)
    found = set()

    async def make() -> Coroutine[Any, Any, object]:
        await query(database, "DELETE FROM message")
        await query(database, "DELETE FROM campaign")
        ids = await handed_over(database, desk, 2)

        async def answer() -> Answers:
            await asyncio.sleep(0)
            return said(*((each, DELIVERED) for each in ids))

        provider._answers = [answer]
        (dealt,) = await batching.deal_polling(database, desk)
        return receipts.poll_batch(database, desk, dealt)

    async def after(was_cut: bool) -> None:
        assert checked_out(database) == 0
        assert await wrong_tallies(database) == []
        await run_out(database)
        await rescue.rescue(database)
        (batch,) = await batch_rows(database)
        found.add((*await states(database), batch["state"]))

    assert await cut_everywhere(make, after) == 3  # at taking up, at the answer, at merging
    assert found == {(A, A, "tracking"), (DELIVERED, DELIVERED, "done")}


# --- to its end ---


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
