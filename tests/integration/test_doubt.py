"""Doubt: an operator's word, a campaign's wish, poison batches, and a provider that takes nothing."""

from dataclasses import replace

import pytest

from campaigns import aggregation, batching, holding, reading, rescue, sending
from campaigns.domain.errors import NotAllowed, NotFound
from campaigns.domain.provider import InDoubt, NotSent
from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.rows import query
from tests.river import flow, lines, phones, submit
from tests.stub import Stub

NO_WORD = InDoubt("no answer within 20 s")


async def _doubtful(
    database: Database, make_desk: MakeDesk, count: int = 3, **more: str
) -> tuple[Stub, object]:
    """A campaign of `count` messages, all in doubt."""
    rows = phones(count)
    stub = Stub("main", outcomes={row["phone"]: [NO_WORD] for row in rows})
    taken = await submit(database, rows, **more)
    overview = await flow(database, make_desk(stub), taken.id, rounds=3)
    assert overview.totals[MessageState.IN_DOUBT] == count
    return stub, taken.id


async def test_resend_queues_again_and_is_recorded(database: Database, make_desk: MakeDesk) -> None:
    """By a person's word alone, with who and when; then it is sent like any other."""
    stub, campaign_id = await _doubtful(database, make_desk)

    moved = await rescue.resolve(
        database, POLICY, campaign_id, "resend", raw_phone=None, region=None, operator="ona"
    )

    assert moved == 3
    (row,) = await query(database, "SELECT operator, word, message_count FROM resolution")
    assert dict(row) == {"operator": "ona", "word": "resend", "message_count": 3}
    overview = await flow(database, make_desk(stub), campaign_id)
    assert overview.totals[MessageState.DELIVERED] == 3
    assert {line["attempt"] for line in await lines(database, campaign_id)} == {2}
    assert len(stub.ledger) == 6


async def test_assume_sent_settles_one_number(database: Database, make_desk: MakeDesk) -> None:
    """`--phone` moves one message; the others stay in doubt."""
    stub, campaign_id = await _doubtful(database, make_desk)
    phone = phones(3)[1]["phone"]

    moved = await rescue.resolve(
        database, POLICY, campaign_id, "assume_sent", raw_phone=phone, region=None, operator="ona"
    )

    assert moved == 1
    overview = await reading.status(database, campaign_id)
    assert (overview.totals[MessageState.UNKNOWN], overview.totals[MessageState.IN_DOUBT]) == (1, 2)
    (line,) = [line for line in await lines(database, campaign_id) if line["phone"] == phone]
    assert line["reason"] == "assumed sent, says ona"
    assert await aggregation.verify(database, campaign_id) == {}
    assert len(stub.ledger) == 3


async def test_the_last_doubt_resolved_finishes_the_campaign(database: Database, make_desk: MakeDesk) -> None:
    """Settled by a person's word is settled."""
    stub, campaign_id = await _doubtful(database, make_desk)
    await rescue.resolve(
        database, POLICY, campaign_id, "assume_sent", raw_phone=None, region=None, operator="ona"
    )

    assert (await flow(database, make_desk(stub), campaign_id)).state is CampaignState.FINISHED


async def test_a_word_on_nothing_moves_nothing(database: Database, make_desk: MakeDesk) -> None:
    """No doubt, no record; no campaign, an error; a cancelled one is never sent again."""
    taken = await submit(database, phones(2))
    word = {"raw_phone": None, "region": None, "operator": "ona"}

    assert await rescue.resolve(database, POLICY, taken.id, "resend", **word) == 0
    assert await query(database, "SELECT FROM resolution") == []
    await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    with pytest.raises(NotAllowed):
        await rescue.resolve(database, POLICY, taken.id, "resend", **word)
    from uuid import uuid4

    with pytest.raises(NotFound):
        await rescue.resolve(database, POLICY, uuid4(), "resend", **word)


async def test_a_batch_under_lease_keeps_its_lease(database: Database, make_desk: MakeDesk) -> None:
    """The operator's word does not take a batch out of a worker's hands."""
    _, campaign_id = await _doubtful(database, make_desk)
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE batch SET state = 'leased', leased_for = 'polling', leased_by = 'w', lease = lease + 1,"
            " leased_until = now() + interval '1 minute'"
        )

    await rescue.resolve(database, POLICY, campaign_id, "resend", raw_phone=None, region=None, operator="ona")

    async with database.connection() as connection:
        batch = await connection.fetchrow("SELECT state::text, leased_by, queued_count FROM batch")
    assert tuple(batch) == ("leased", "w", 3)


async def test_a_campaign_may_prefer_a_second_text_to_none(database: Database, make_desk: MakeDesk) -> None:
    """`on_doubt = resend`: after its wait it is sent again, at most five times in all."""
    phone = phones(1)[0]["phone"]
    stub = Stub("main", outcomes={phone: [NO_WORD] * 10})
    taken = await submit(database, phones(1), on_doubt="resend")
    desk = make_desk(stub)
    patient, eager = POLICY, replace(POLICY, lease_seconds=0)

    await flow(database, desk, taken.id, rounds=2)
    assert await rescue.resend(database, patient) == 0  # not before its time
    for _ in range(8):
        await rescue.resend(database, eager)
        await flow(database, desk, taken.id, rounds=2)

    assert len(stub.ledger) == 5
    assert (await reading.status(database, taken.id)).totals[MessageState.IN_DOUBT] == 1


@pytest.mark.parametrize(
    ("hindered", "mended"),
    [
        ("UPDATE campaign SET state = 'paused'", "UPDATE campaign SET state = 'running'"),
        (
            "INSERT INTO account_hold (account, probe_at, code, reason) VALUES ('main', now(), '32', '')",
            "DELETE FROM account_hold",
        ),
        (
            "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
            " SELECT id, 'text', '9', 'refused', sender_id FROM campaign",
            "UPDATE campaign_hold SET lifted_at = now(), lifted_by = 'Ona'",
        ),
        (
            "UPDATE campaign SET not_after = now()",
            "UPDATE campaign SET not_after = now() + interval '1 hour'",
        ),
    ],
    ids=["paused", "account on hold", "campaign on hold", "past not_after"],
)
async def test_what_may_not_be_sent_now_stays_in_doubt(
    database: Database, make_desk: MakeDesk, hindered: str, mended: str
) -> None:
    """The campaign's wish asks what dealing and the intent ask; once it may be sent, it is queued again."""
    stub = Stub("main", outcomes={phones(1)[0]["phone"]: [NO_WORD]})
    taken = await submit(database, phones(1), on_doubt="resend")
    await flow(database, make_desk(stub), taken.id, rounds=2)
    eager = replace(POLICY, lease_seconds=0)

    await query(database, hindered)
    assert await rescue.resend(database, eager) == 0
    await query(database, mended)
    assert await rescue.resend(database, eager) == 1


async def test_without_the_wish_nothing_is_sent_again(database: Database, make_desk: MakeDesk) -> None:
    """`hold` is the default."""
    stub, _ = await _doubtful(database, make_desk)

    assert await rescue.resend(database, replace(POLICY, lease_seconds=0)) == 0
    assert len(stub.ledger) == 3


async def test_a_batch_that_ends_its_workers_is_set_aside(database: Database, make_desk: MakeDesk) -> None:
    """Five workers in a row: what is queued in it fails with that reason; a healthy run forgets them."""
    taken = await submit(database, phones(2))
    desk = make_desk()

    async def crash() -> None:
        (dealt,) = await batching.deal_sending(database, desk)
        async with database.connection() as connection:
            await connection.execute(
                "UPDATE batch SET leased_by = 'dead', leased_until = now() - interval '1 second'"
                " WHERE id = $1",
                dealt.batch_id,
            )

    for _ in range(4):
        await crash()
        assert (await rescue.rescue(database)).set_aside_count == 0
    await crash()
    assert (await rescue.rescue(database)).set_aside_count == 1

    overview = await flow(database, desk, taken.id)
    assert overview.totals[MessageState.FAILED] == 2
    assert {line["reason"] for line in await lines(database, taken.id)} == {
        "set aside: 5 workers in a row ended while working on its batch"
    }


async def test_a_lost_task_is_no_crash(database: Database, make_desk: MakeDesk) -> None:
    """A lease nobody took up says nothing of the batch."""
    taken = await submit(database, phones(2))
    desk = make_desk()
    for _ in range(7):
        await batching.deal_sending(database, desk)
        async with database.connection() as connection:
            await connection.execute("UPDATE batch SET leased_until = now() - interval '1 second'")
        await rescue.rescue(database)

    assert (await flow(database, desk, taken.id)).totals[MessageState.DELIVERED] == 2


async def test_a_provider_that_takes_nothing_opens_the_circuit(
    database: Database, make_desk: MakeDesk
) -> None:
    """Five requests in a row of which nothing was taken: the account is held, batches wait, nothing fails;
    when the provider answers again, the probe lets it go on.
    """
    rows = phones(700)
    refused = NotSent("connection refused")
    stub = Stub("main", outcomes={row["phone"]: [refused] for row in rows[:500]})
    desk = make_desk(stub)
    taken = await submit(database, rows)

    verdicts = [
        await sending.send_batch(database, desk, dealt)
        for dealt in await batching.deal_sending(database, desk)
    ]

    assert [verdict.held_account for verdict in verdicts] == [None] * 4 + ["main"] + [None] * 2
    assert len(stub.ledger) == 500  # the sixth and seventh batch did not leave
    (hold,) = await holding.holds(database)
    assert "connection refused" in hold.reason
    assert await batching.deal_sending(database, desk) == []
    overview = await reading.status(database, taken.id)
    assert overview.totals[MessageState.QUEUED] == 700
    assert overview.held is not None

    assert await holding.probe_account(database, desk, "main")
    assert (await flow(database, desk, taken.id)).totals[MessageState.DELIVERED] == 700


async def test_a_request_that_gets_through_closes_the_circuit(
    database: Database, make_desk: MakeDesk
) -> None:
    """Four failures, a success, four failures: no hold."""
    rows = phones(900)
    refused = NotSent("connection refused")
    failing = [*rows[:400], *rows[500:]]
    stub = Stub("main", outcomes={row["phone"]: [refused] for row in failing})
    desk = make_desk(stub)
    await submit(database, rows)

    verdicts = [
        await sending.send_batch(database, desk, dealt)
        for dealt in await batching.deal_sending(database, desk)
    ]

    assert [verdict.state for verdict in verdicts].count(BatchState.TRACKING) == 1
    assert await holding.holds(database) == []
