"""Opt-outs: a number that is put on the suppression list gets nothing that had not left by then."""

import asyncio
from uuid import UUID

from campaigns import aggregation, batching, reading, rescue, sending, suppression
from campaigns.domain.provider import InDoubt
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import message_rows, query, states, wrong_tallies
from tests.river import phones, submit
from tests.stub import Stub

Q, A, OUT = MessageState.QUEUED, MessageState.ACCEPTED, MessageState.SUPPRESSED


async def opt_out(database: Database, *nth: int) -> list[str]:
    """Put the nth numbers on the list. Gives them."""
    out = [phones(n + 1)[n]["phone"] for n in nth]
    await suppression.suppress(database, out, None, "said STOP")
    return out


def reached(*stubs: Stub) -> list[str]:
    """Whoever something was sent to."""
    return [line.message.phone for stub in stubs for line in stub.ledger]


async def test_who_opts_out_while_a_campaign_is_paused_gets_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    made = await submit(database, phones(3))
    await aggregation.change_state(database, made.id, CampaignState.PAUSED)
    (out,) = await opt_out(database, 1)
    await aggregation.change_state(database, made.id, CampaignState.RUNNING)

    await send_one(database, make_desk(stub))

    assert reached(stub) == [phones(3)[0]["phone"], phones(3)[2]["phone"]]
    assert await states(database) == [A, OUT, A]
    suppressed = (await message_rows(database))[1]
    assert (suppressed["phone"], suppressed["reason"], suppressed["attempt"]) == (out, "said STOP", 0)
    assert await wrong_tallies(database) == []


async def test_a_number_taken_off_the_list_again_is_sent_to(database: Database, make_desk: MakeDesk) -> None:
    stub = Stub("main")
    await submit(database, phones(1))
    out = await opt_out(database, 0)
    await suppression.unsuppress(database, out, None)

    await send_one(database, make_desk(stub))

    assert reached(stub) == out


async def test_who_opts_out_between_two_requests_of_a_batch_gets_nothing(
    database: Database, make_desk: MakeDesk
) -> None:
    async def say_stop() -> None:
        await opt_out(database, 2)

    stub = Stub("main", max_recipients_per_request=1, before_answer=say_stop)
    await submit(database, phones(4))

    await send_one(database, make_desk(stub))

    assert await states(database) == [A, A, OUT, A]
    assert len(stub.ledger) == 3
    assert await wrong_tallies(database) == []


async def test_a_batch_of_opted_out_numbers_ends_and_so_does_its_campaign(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    made = await submit(database, phones(2))
    await opt_out(database, 0, 1)

    verdict = await send_one(database, make_desk(stub))

    assert (verdict.state, verdict.trouble) == (BatchState.DONE, None)
    assert await aggregation.finish(database, made.id) == [made.id]
    assert (await reading.status(database, made.id)).state is CampaignState.FINISHED
    assert stub.ledger == []
    assert await wrong_tallies(database) == []


async def in_doubt(database: Database, make_desk: MakeDesk, on_doubt: str) -> UUID:
    """A campaign of two that were handed over without an answer, then one of the two opts out."""
    doubtful = {row["phone"]: [InDoubt("cut")] for row in phones(2)}
    made = await submit(database, phones(2), on_doubt=on_doubt)
    await send_one(database, make_desk(Stub("main", outcomes=doubtful)))
    await opt_out(database, 0)
    return made.id


async def test_what_an_operator_sends_again_leaves_out_who_opted_out(
    database: Database, make_desk: MakeDesk
) -> None:
    campaign_id = await in_doubt(database, make_desk, "hold")
    stub = Stub("main")
    await rescue.resolve(database, POLICY, campaign_id, "resend", raw_phone=None, region=None, operator="Ona")
    await send_one(database, make_desk(stub))

    assert reached(stub) == [phones(2)[1]["phone"]]
    assert await states(database) == [OUT, A]


async def test_what_a_campaign_sends_again_by_itself_leaves_out_who_opted_out(
    database: Database, make_desk: MakeDesk
) -> None:
    await in_doubt(database, make_desk, "resend")
    stub = Stub("main")
    await query(database, "UPDATE message SET updated_at = updated_at - interval '1 hour'")
    await rescue.resend(database, POLICY)
    await send_one(database, make_desk(stub))

    assert reached(stub) == [phones(2)[1]["phone"]]
    assert await states(database) == [OUT, A]


async def test_batches_of_one_intent_keep_their_tallies_apart(
    database: Database, make_desk: MakeDesk
) -> None:
    """Many batches share a statement: none is counted with another's opt-outs."""
    desk = make_desk(Stub("main"))
    await submit(database, phones(6), batch_size=2)
    await opt_out(database, 0, 1, 3)
    dealt = await batching.deal_sending(database, desk)

    await asyncio.gather(*(sending.send_batch(database, desk, each) for each in dealt))

    assert await states(database) == [OUT, OUT, A, OUT, A, A]
    assert await wrong_tallies(database) == []
