"""A refused sender or text holds its campaign: no recipient is spent on what a person can mend."""

import asyncio
import io
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from campaigns import aggregation, batching, holding, reading, rescue, sending
from campaigns.domain.errors import NotAllowed
from campaigns.domain.outcomes import ENOUGH_REFUSALS
from campaigns.domain.provider import Accepted, CampaignTrouble, Failed, Outcome, Rejected
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store.reasons import Reason
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import OneText, send_one, sent, submit_texts
from tests.integration.rows import message_rows, pass_deadlines, query, states, wrong_tallies
from tests.river import flow, phones, submit
from tests.stub import Stub
from worker.cli import display

Q, A, R = MessageState.QUEUED, MessageState.ACCEPTED, MessageState.REJECTED
SENDER = CampaignTrouble("9", "sender name not registered", "sender")
TEXT = CampaignTrouble("11", "forbidden words in the text", "text")


def refusing(rows: Iterable[Mapping[str, str]], outcome: Outcome, times: int = 1) -> dict[str, list[Outcome]]:
    """So the provider answers each of these numbers, so often."""
    return {row["phone"]: [outcome] * times for row in rows}


async def resume(database: Database, campaign_id: UUID, **more: Any) -> None:
    await holding.resume_campaign(database, campaign_id, operator="Ona", **more)


async def test_a_refused_sender_holds_the_campaign_and_spends_nobody(
    database: Database, make_desk: MakeDesk
) -> None:
    count = ENOUGH_REFUSALS + 5
    stub = Stub("main", max_recipients_per_request=1, outcomes=refusing(phones(count), SENDER))
    made = await submit(database, phones(count), batch_size=count - 2)
    first, second = await batching.deal_sending(database, make_desk(stub))

    verdict = await sending.send_batch(database, make_desk(stub), first)
    other = await sending.send_batch(database, make_desk(stub), second)

    assert len(stub.ledger) == ENOUGH_REFUSALS  # the rest of the batch, and the other batch, stay at home
    assert (verdict.state, verdict.held_campaign) == (BatchState.READY, SENDER)
    assert (other.state, other.held_campaign) == (BatchState.READY, None)
    assert {(row["state"], row["attempt"]) for row in await message_rows(database)} == {("queued", 0)}
    assert await batching.deal_sending(database, make_desk(stub)) == []
    hold = (await reading.status(database, made.id)).hold
    assert hold is not None
    assert (hold.about, hold.code, hold.reason) == ("sender", "9", "sender name not registered")
    assert [each.campaign_id for each in await holding.campaign_holds(database)] == [made.id]
    assert await wrong_tallies(database) == []


async def test_a_few_refused_among_those_taken_are_refused_alone(
    database: Database, make_desk: MakeDesk
) -> None:
    """A sender may be approved for one country and not for another."""
    refused = {row["phone"]: [SENDER] for row in phones(30) if int(row["phone"]) % 10 < 4}
    stub = Stub("main", max_recipients_per_request=1, outcomes=refused)
    await submit(database, phones(30), batch_size=25)
    for dealt in await batching.deal_sending(database, make_desk(stub)):
        assert (await sending.send_batch(database, make_desk(stub), dealt)).held_campaign is None

    became = {row["phone"]: row["state"] for row in await message_rows(database)}
    assert became == {
        row["phone"]: "rejected" if row["phone"] in refused else "accepted" for row in phones(30)
    }
    assert await wrong_tallies(database) == []


async def test_a_sender_that_is_no_longer_approved_holds_what_is_left(
    database: Database, make_desk: MakeDesk
) -> None:
    rows = phones(40)
    stub = Stub("main", max_recipients_per_request=1, outcomes=refusing(rows[5:], SENDER))
    await submit(database, rows)

    verdict = await send_one(database, make_desk(stub))

    assert verdict.held_campaign == SENDER
    assert len(stub.ledger) == 5 + ENOUGH_REFUSALS
    assert await states(database) == [A] * 5 + [Q] * 35


async def test_other_campaigns_of_the_account_go_on(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes=refusing(phones(2), SENDER))
    await submit(database, phones(2), sender_id="NotMine")
    await send_one(database, make_desk(stub))
    await submit(database, phones(1, first=10))

    await send_one(database, make_desk(stub))

    assert await states(database) == [Q, Q, A]


async def test_once_mended_it_goes_on_and_is_held_again_if_it_is_not(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main", outcomes=refusing(phones(2), SENDER, times=2))
    made = await submit(database, phones(2))
    await send_one(database, make_desk(stub))

    await resume(database, made.id)
    again = await send_one(database, make_desk(stub))
    assert again.held_campaign == SENDER
    await resume(database, made.id)
    await send_one(database, make_desk(stub))

    assert await states(database) == [A, A]
    assert [row["attempt"] for row in await message_rows(database)] == [1, 1]


async def test_it_goes_on_with_another_sender_and_that_is_recorded(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main", outcomes=refusing(phones(1), SENDER))
    made = await submit(database, phones(1), sender_id="NotMine")
    await send_one(database, make_desk(stub))

    await resume(database, made.id, sender_id="Approved")
    await send_one(database, make_desk(stub))

    assert [line.sender_id for line in stub.ledger] == ["NotMine", "Approved"]
    (hold,) = await query(database, "SELECT * FROM campaign_hold")
    assert (hold["sender_id"], hold["new_sender_id"], hold["lifted_by"]) == ("NotMine", "Approved", "Ona")
    assert hold["lifted_at"] >= hold["held_at"]


async def test_a_sender_is_changed_only_where_it_was_refused(database: Database) -> None:
    made = await submit(database, phones(1))
    with pytest.raises(NotAllowed, match="is not on hold"):
        await resume(database, made.id, sender_id="Another")
    (row,) = await query(database, "SELECT state::text, sender_id FROM campaign")
    assert (row["state"], row["sender_id"]) == ("accepted", "Demo")


async def test_paused_and_on_hold_one_resume_lets_it_go_on(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes=refusing(phones(1), SENDER))
    made = await submit(database, phones(1))
    await send_one(database, make_desk(stub))
    await aggregation.change_state(database, made.id, CampaignState.PAUSED)

    await resume(database, made.id)
    await send_one(database, make_desk(stub))

    assert await states(database) == [A]


@pytest.mark.parametrize("sender_id", [None, "Approved"])
async def test_a_refusal_from_before_it_was_mended_holds_nothing(
    database: Database, make_desk: MakeDesk, sender_id: str | None
) -> None:
    """Another request of the campaign was still under way when a person had it go on."""
    mended, both_left = asyncio.Event(), asyncio.Barrier(2)

    async def answer() -> None:
        is_second = len(stub.ledger) == 2
        await both_left.wait()
        if is_second:
            await mended.wait()

    stub = Stub("main", outcomes=refusing(phones(2), SENDER), before_answer=answer)
    made = await submit(database, phones(2), batch_size=1)
    first, second = await batching.deal_sending(database, make_desk(stub))
    late = asyncio.create_task(sending.send_batch(database, make_desk(stub), second))
    early = asyncio.create_task(sending.send_batch(database, make_desk(stub), first))
    done, _ = await asyncio.wait({early, late}, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().held_campaign for task in done] == [SENDER]

    await resume(database, made.id, sender_id=sender_id)
    mended.set()

    held = {(await early).held_campaign is None, (await late).held_campaign is None}
    assert held == {True, False}
    assert (await reading.status(database, made.id)).hold is None
    assert await states(database) == [Q, Q]


async def test_cancelled_or_past_its_deadline_a_held_campaign_ends_with_the_reason(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main", max_recipients_per_request=1, outcomes=refusing(phones(3), SENDER))
    made = await submit(database, phones(3))
    await send_one(database, make_desk(stub))

    await pass_deadlines(database)
    await rescue.rescue(database)

    assert {row["reason"] for row in await message_rows(database)} == {
        "not handed over by the deadline: sender name not registered"
    }
    assert await aggregation.finish(database, made.id) == [made.id]
    assert (await reading.status(database, made.id)).hold is None
    assert await holding.campaign_holds(database) == []


async def test_where_something_of_the_request_was_taken_a_refusal_is_its_number_s_own(
    database: Database, make_desk: MakeDesk
) -> None:
    """A sender may be approved for one country and not for another."""
    stub = Stub("main", outcomes=refusing(phones(1), SENDER))
    await submit(database, phones(3))

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.held_campaign, await states(database)) == (None, [R, A, A])
    assert (await message_rows(database))[0]["reason"] == "sender name not registered"


async def test_a_refusal_that_does_not_say_what_for_goes_with_those_that_do(
    database: Database, make_desk: MakeDesk
) -> None:
    rows = phones(ENOUGH_REFUSALS)
    unclear = refusing(rows[::2], Rejected("http_422", "found invalid", is_unclear=True))
    stub = Stub("main", max_recipients_per_request=1, outcomes=refusing(rows, SENDER) | unclear)
    await submit(database, rows)

    assert (await send_one(database, make_desk(stub))).held_campaign == SENDER
    assert await states(database) == [Q] * len(rows)


@pytest.mark.parametrize("count", [1, ENOUGH_REFUSALS + 3])
async def test_by_itself_it_is_the_message_s_own(database: Database, make_desk: MakeDesk, count: int) -> None:
    unclear = Rejected("http_422", "found invalid", is_unclear=True)
    stub = Stub("main", max_recipients_per_request=1, outcomes=refusing(phones(count), unclear))
    await submit(database, phones(count))

    assert (await send_one(database, make_desk(stub))).held_campaign is None
    assert await states(database) == [R] * count


# --- texts ---


async def test_the_one_text_of_a_campaign_holds_it(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes=refusing(phones(3), TEXT, times=2))
    made = await submit(database, phones(3))

    for _ in range(2):  # also when somebody let it go on and nothing was mended
        verdict = await send_one(database, make_desk(stub))
        assert (verdict.held_campaign, await states(database)) == (TEXT, [Q, Q, Q])
        await resume(database, made.id)


async def test_one_refused_text_of_many_is_that_message_s_own(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = OneText("main", outcomes=refusing(phones(2), TEXT))
    await submit_texts(database, "a", "b", "c", "d")

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.held_campaign, await states(database)) == (None, [R, R, A, A])
    assert sent(stub) == ["a", "b", "c", "d"]
    assert await wrong_tallies(database) == []


async def test_a_whole_batch_of_refused_texts_is_the_template_s_fault(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = OneText("main", outcomes=refusing(phones(3), TEXT))
    await submit_texts(database, "a", "b", "c")

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.held_campaign, verdict.state) == (TEXT, BatchState.READY)
    assert [(row["state"], row["attempt"]) for row in await message_rows(database)] == [("queued", 0)] * 3


async def test_so_many_refused_texts_are_enough(database: Database, make_desk: MakeDesk) -> None:
    count = ENOUGH_REFUSALS + 5
    stub = OneText("main", outcomes=refusing(phones(count), TEXT))
    await submit_texts(database, *(f"text {n:02}" for n in range(count)))

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.held_campaign, len(stub.ledger)) == (TEXT, ENOUGH_REFUSALS)
    assert await states(database) == [Q] * count
    assert await wrong_tallies(database) == []


async def test_resumed_after_that_each_refused_text_is_its_own(
    database: Database, make_desk: MakeDesk
) -> None:
    """A person saw it and said go on: it must not be held again for ever."""
    stub = OneText("main", outcomes=refusing(phones(2), TEXT, times=2))
    await submit_texts(database, "a", "b")
    await send_one(database, make_desk(stub))
    (campaign,) = await query(database, "SELECT id FROM campaign")

    await resume(database, campaign["id"])
    verdict = await send_one(database, make_desk(stub))

    assert (verdict.state, await states(database)) == (BatchState.DONE, [R, R])


async def test_a_last_batch_of_refused_texts_does_not_hold_what_others_of_it_reached(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = OneText("main", outcomes=refusing(phones(4)[2:], TEXT))
    rows = [row | {"word": f"text {n}"} for n, row in enumerate(phones(4))]
    await submit(database, rows, text="{word}", batch_size=2)
    for dealt in await batching.deal_sending(database, make_desk(stub)):
        await sending.send_batch(database, make_desk(stub), dealt)

    assert await states(database) == [A, A, R, R]


# --- why not, by count ---


async def test_a_campaign_says_why_its_messages_reached_nobody(
    database: Database, make_desk: MakeDesk
) -> None:
    invalid, stopped = Rejected("16", "invalid phone number"), Rejected("13", "phone in the blacklist")
    rows = phones(7)
    outcomes = (
        refusing(rows[:4], invalid) | refusing(rows[4:6], stopped) | refusing(rows[6:], Failed("12", "no"))
    )
    made = await submit(database, rows, batch_size=2)
    desk = make_desk(Stub("main", outcomes=outcomes))
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)
    expected = [
        Reason("16", "invalid phone number", 4),
        Reason("13", "phone in the blacklist", 2),
        Reason("12", "no", 1),
    ]

    assert (await reading.status(database, made.id)).reasons == expected
    # The release before counts a batch without its reasons: then its messages are read.
    await query(database, "UPDATE batch SET reasons = NULL WHERE number IN (1, 3)")
    assert (await reading.status(database, made.id)).reasons == expected
    for reason in expected:
        found = await reading.message_page(database, made.id, limit=9, reason=reason.reason)
        assert len(found) == reason.count
    await query(database, "SELECT recount_batches(jsonb_agg(jsonb_build_object('id', id))) FROM batch")
    assert await query(database, "SELECT number FROM batch WHERE reasons IS NULL") == []
    await query(database, "UPDATE message SET reason = 'another'")  # what is counted is not read again
    assert (await reading.status(database, made.id)).reasons == expected
    await aggregation.finish(database)
    await aggregation.sum_up(database)
    await query(database, "UPDATE message SET reason = 'another'")  # what is over is not counted again

    (overview,) = await reading.newest(database)
    assert overview.reasons == expected
    assert reading.is_wholly_refused(overview)
    shown = Console(width=250, record=True, file=io.StringIO())
    shown.print(display.campaign(overview), display.campaigns([overview]))
    assert shown.export_text().count("4 invalid phone number (code 16)") == 2


async def test_a_campaign_that_reached_somebody_is_not_wholly_refused(
    database: Database, make_desk: MakeDesk
) -> None:
    made = await submit(database, phones(2))
    desk = make_desk(Stub("main", outcomes=refusing(phones(1), Rejected("16", "invalid phone number"))))
    overview = await flow(database, desk, made.id)
    assert [each.count for each in overview.reasons] == [1]
    assert not reading.is_wholly_refused(overview)


# --- opt-outs that the provider knows of ---


async def test_who_is_on_the_provider_s_stop_list_is_suppressed_from_then_on(
    database: Database, make_desk: MakeDesk
) -> None:
    stopped = Rejected("34", "phone in the global stop list", opted_out=True)
    stub = Stub("main", outcomes=refusing(phones(1), stopped) | refusing(phones(2)[1:], Rejected("16", "no")))
    await submit(database, phones(3))
    await send_one(database, make_desk(stub))
    await submit(database, phones(3))
    await submit(database, phones(3), account="other")

    listed = await query(database, "SELECT phone, reason FROM suppression")
    assert [(row["phone"], row["reason"]) for row in listed] == [
        (
            phones(1)[0]["phone"],
            "phone in the global stop list (code 34), says the provider of account main",
        )
    ]
    assert await states(database) == [R, R, A, *[MessageState.SUPPRESSED, Q, Q] * 2]


async def test_an_accepted_message_opts_nobody_out(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main", outcomes=refusing(phones(1), Accepted("id-1")))
    await submit(database, phones(1))
    await send_one(database, make_desk(stub))
    assert await query(database, "SELECT FROM suppression") == []
