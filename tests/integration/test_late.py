"""Answers in hand when the lease is lost: kept, and written down where they still hold."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from campaigns import batching, receipts, rescue, sending
from campaigns.domain.late import LateAnswer
from campaigns.domain.provider import Accepted, Failed, InDoubt, NotSent, OutboundMessage, Outcome, Rejected
from campaigns.domain.states import BatchState, MessageState
from campaigns.late import LateAnswers
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import batch_rows, message_rows, query, run_out, states, wrong_tallies
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED


class Slow(Stub):
    """Answers when its lease is over, and whoever comes then (rescue, an operator) has been there."""

    def __init__(self, database: Database, outcomes: Sequence[Outcome], *meanwhile: str) -> None:
        super().__init__("main")
        self._database = database
        self._given = outcomes
        self._meanwhile = meanwhile

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        await run_out(self._database)
        for statement in self._meanwhile:
            if statement == "rescue":
                await rescue.rescue(self._database)
            else:
                await query(self._database, statement)
        return [*self._given]


async def answered_late(
    database: Database, make_desk: MakeDesk, outcomes: Sequence[Outcome], *meanwhile: str
) -> LateAnswers:
    """Hand one batch over whose lease is lost before its answer comes."""
    late = LateAnswers()
    await submit(database, phones(len(outcomes)))
    desk = replace(make_desk(Slow(database, outcomes, *meanwhile)), keep_late=late.keep)
    (dealt,) = await batching.deal_sending(database, desk)
    verdict = await sending.send_batch(database, desk, dealt)
    assert (verdict.state, verdict.trouble) == (None, "lease lost")
    return late


async def merge(database: Database, make_desk: MakeDesk, late: LateAnswers) -> None:
    await late.merge(database)
    await receipts.merge_waiting(database, make_desk())
    assert await wrong_tallies(database) == []


async def test_what_was_accepted_is_known_by_its_id_and_polled(
    database: Database, make_desk: MakeDesk
) -> None:
    late = await answered_late(
        database, make_desk, [Accepted("id-0", Decimal("0.05"), 2), InDoubt("cut")], "rescue"
    )
    assert await states(database) == [D, D]

    await merge(database, make_desk, late)

    assert await states(database) == [A, D]
    (known, _) = await message_rows(database)
    assert known["provider_message_id"] == "id-0"
    (batch,) = await batch_rows(database)
    assert (batch["state"], batch["poll_in"] <= 0) == (BatchState.TRACKING, True)
    assert not late


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Rejected("8", "not a number"), MessageState.REJECTED),
        (Failed("9", "broken"), MessageState.FAILED),
        (NotSent("refused"), Q),
    ],
)
async def test_what_was_not_taken_is_written_down_of_the_same_attempt(
    database: Database, make_desk: MakeDesk, outcome: Outcome, state: MessageState
) -> None:
    late = await answered_late(database, make_desk, [outcome], "rescue")

    await merge(database, make_desk, late)

    assert await states(database) == [state]
    (batch,) = await batch_rows(database)
    assert batch["state"] == (BatchState.READY if state is Q else BatchState.DONE)
    assert not late


@pytest.mark.parametrize("outcome", [Rejected("8", "not a number"), NotSent("refused")])
@pytest.mark.parametrize(
    "since",
    [
        "UPDATE message SET attempt = 2",  # sent again, and in doubt again
        "UPDATE message SET state = 'delivered'",
        "UPDATE message SET state = 'unknown'",
    ],
)
async def test_what_was_not_taken_counts_for_nothing_since_others_know_better(
    database: Database, make_desk: MakeDesk, outcome: Outcome, since: str
) -> None:
    late = await answered_late(database, make_desk, [outcome], "rescue", since)
    before = await states(database)

    await late.merge(database)

    assert await states(database) == before
    assert not late


async def test_what_was_accepted_is_not_sent_again_though_an_operator_wished_it(
    database: Database, make_desk: MakeDesk
) -> None:
    resent = "UPDATE message SET state = 'queued'"
    late = await answered_late(database, make_desk, [Accepted("id-0")], "rescue", resent)

    await merge(database, make_desk, late)

    assert await states(database) == [A]


async def test_a_later_attempt_keeps_its_own_id(database: Database, make_desk: MakeDesk) -> None:
    again = "UPDATE message SET state = 'delivered', attempt = 2, provider_message_id = 'id-of-2'"
    late = await answered_late(database, make_desk, [Accepted("id-of-1")], "rescue", again)

    await merge(database, make_desk, late)

    (row,) = await message_rows(database)
    assert (row["state"], row["provider_message_id"]) == ("delivered", "id-of-2")


async def test_what_rescue_has_not_seen_yet_is_kept_until_it_has(
    database: Database, make_desk: MakeDesk
) -> None:
    lost = "UPDATE batch SET lease = lease + 1"
    late = await answered_late(database, make_desk, [Rejected("8", "not a number")], lost)
    assert await states(database) == [S]

    assert await late.merge(database) == 0
    await rescue.rescue(database)
    assert await late.merge(database) == 1

    assert await states(database) == [MessageState.REJECTED]
    assert await wrong_tallies(database) == []


async def test_answers_that_are_still_on_their_way_are_waited_for(
    database: Database, make_desk: MakeDesk
) -> None:
    """Two requests at once: the lease is lost when the first is written down."""

    class Two(Slow):
        def requests(
            self, messages: Sequence[OutboundMessage], sender_id: str
        ) -> list[list[OutboundMessage]]:
            return [[message] for message in messages]

        async def hand_over(
            self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
        ) -> list[Outcome]:
            ref = request[0].message_ref
            if ref.endswith("-0"):
                await super().hand_over(request, sender_id, leave_by)
            else:
                await until_rescued(self._database)
            return [Accepted(f"id-{ref}")]

    late = LateAnswers()
    await submit(database, phones(2))
    two = Two(database, [], "rescue")
    two.traits = replace(two.traits, concurrency=2)
    desk = replace(make_desk(two), keep_late=late.keep)
    many = replace(desk.accounts["main"], several=always_two)
    desk = replace(desk, accounts={"main": many})
    (dealt,) = await batching.deal_sending(database, desk)
    await sending.send_batch(database, desk, dealt)

    assert len(late) == 2
    await merge(database, make_desk, late)
    assert await states(database) == [A, A]


async def always_two(most: int) -> list[float]:
    return [0.0] * min(most, 2)


async def until_rescued(database: Database) -> None:
    async def is_rescued() -> bool:
        return (await states(database)) == [D, D]

    await until(is_rescued, "rescue was here")


async def test_there_is_a_bound(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.late._MOST_KEPT", 2)
    on_disk: list[LateAnswer] = []

    async def write_ahead(answers: Sequence[LateAnswer]) -> None:
        assert answers, "nothing needs no file"
        on_disk.extend(answers)

    late = LateAnswers(write_ahead)
    answer = LateAnswer("main", f"{'0' * 32}-1-0", 1, A, "id")

    await late.keep([])
    await late.keep([answer] * 3)
    await late.keep([answer])

    assert (len(late), late.dropped_count, len(on_disk)) == (2, 2, 2)
