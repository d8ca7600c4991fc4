"""Providers of one recipient a request: several requests at once, small groups written together."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from campaigns import rescue, sending
from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import AccountTrouble, InDoubt, OutboundMessage, Outcome, PaceUsedUp, Throttled
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.sending import hand_over as batches
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.one_batch import SLOW, about, deal_one, send_one
from tests.integration.rows import batch_rows, message_rows, run_out, states, wrong_tallies
from tests.river import phones, submit
from tests.stub import Stub
from tests.waiting import until

Q, S, D, A = MessageState.QUEUED, MessageState.SENDING, MessageState.IN_DOUBT, MessageState.ACCEPTED


class Slow(Stub):
    """One recipient a request; each waits until it is let go."""

    def __init__(self, *, concurrency: int, **more: Any) -> None:
        super().__init__("main", max_recipients_per_request=1, concurrency=concurrency, **more)
        self.flying = 0
        self.most_flying = 0
        self.gate = asyncio.Event()

    async def hand_over(
        self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
    ) -> list[Outcome]:
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            await self.gate.wait()
            return await super().hand_over(request, sender_id, leave_by)
        finally:
            self.flying -= 1


async def test_so_many_requests_fly_at_once_and_no_more(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, phones(25))
    slow = Slow(concurrency=10)
    task = asyncio.create_task(send_one(database, make_desk(slow)))
    await until(lambda: slow.flying == 10)

    assert sorted(await states(database)) == sorted([Q] * 15 + [S] * 10)  # only these can be in doubt
    slow.gate.set()
    verdict = await task

    assert (verdict.state, verdict.handed_over_count, slow.most_flying) == (BatchState.TRACKING, 25, 10)
    assert await states(database) == [A] * 25
    assert len({line.message.phone for line in slow.ledger}) == len(slow.ledger) == 25
    assert await wrong_tallies(database) == []


async def test_what_came_back_is_written_while_others_still_fly(
    database: Database, make_desk: MakeDesk
) -> None:
    await submit(database, phones(6))
    stub = Slow(concurrency=3)
    stub.gate.set()
    late = asyncio.Event()

    async def the_last_one_waits() -> None:
        if len(stub.ledger) == 6:
            await late.wait()

    stub._before_answer = the_last_one_waits
    task = asyncio.create_task(send_one(database, make_desk(stub)))

    async with asyncio.timeout(20):
        while (await states(database)).count(A) < 5:
            continue
    assert sorted(await states(database)) == sorted([S] + [A] * 5)
    task.cancel()
    await asyncio.wait([task])
    await run_out(database)
    await rescue.rescue(database)
    assert sorted(await states(database)) == sorted([D] + [A] * 5)


async def test_outcomes_are_written_in_groups(
    database: Database, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred messages, ten at once: not a statement a message."""
    writes: list[int] = []
    write = batches.write_outcomes

    async def counted(*arguments: Any, **named: Any) -> bool:
        writes.append(len(arguments[2]))
        return await write(*arguments, **named)

    monkeypatch.setattr(batches, "write_outcomes", counted)
    await submit(database, phones(100))
    stub = Stub("main", max_recipients_per_request=1, concurrency=10)
    desk = _several(make_desk(stub), stub)

    assert (await send_one(database, desk)).handed_over_count == 100
    assert len(writes) <= 20


def _several(desk: Desk, stub: Stub) -> Desk:
    async def several(most: int) -> Sequence[float]:
        return [0.0] * most

    async def wait_for_pace() -> None:
        """A pace without limits."""

    return replace(desk, accounts={"main": Account(stub, wait_for_pace, 100, several=several)})


async def test_the_pace_says_when_each_may_leave(database: Database, make_desk: MakeDesk) -> None:
    left: list[float] = []

    class Watched(Stub):
        async def hand_over(
            self, request: Sequence[OutboundMessage], sender_id: str, leave_by: float
        ) -> list[Outcome]:
            left.append(asyncio.get_running_loop().time())
            return await super().hand_over(request, sender_id, leave_by)

    stub = Watched("main", max_recipients_per_request=1, concurrency=3)

    given_at = 0.0

    async def several(most: int) -> Sequence[float]:
        nonlocal given_at
        given_at = asyncio.get_running_loop().time()
        return [0.2 * nth for nth in range(most)]

    desk = replace(make_desk(stub), accounts={"main": Account(stub, _never, 100, several=several)})
    await submit(database, phones(3))
    await send_one(database, desk)
    waited = [later - given_at for later in left]
    assert all(0.2 * nth - 0.001 <= seconds for nth, seconds in enumerate(waited)), waited
    assert waited[0] < waited[1] < waited[2]


async def _never() -> None:
    raise AssertionError("several turns are asked for at once")


@pytest.mark.parametrize(
    ("trouble", "held"),
    [(Throttled(300, "HTTP 429"), False), (AccountTrouble("32", "no money"), True)],
    ids=["throttled", "no money"],
)
async def test_trouble_of_one_lets_no_other_begin(
    database: Database, make_desk: MakeDesk, trouble: Outcome, held: bool
) -> None:
    rows = phones(12)
    await submit(database, rows, policy=SLOW)
    stub = Stub(
        "main",
        max_recipients_per_request=1,
        concurrency=4,
        outcomes={rows[1]["phone"]: [trouble]},
    )

    verdict = await send_one(database, make_desk(stub, policy=SLOW))

    assert (verdict.state, verdict.handed_over_count) == (BatchState.READY, 3)
    assert verdict.held_account == ("main" if held else None)
    assert (await states(database))[:4] == [A, Q, A, A]
    assert (await states(database))[4:] == [Q] * 8
    (batch,) = await batch_rows(database)
    assert batch["send_in"] == about(0 if held else 500)
    assert [row["attempt"] for row in await message_rows(database)][:4] == [1, 0 if held else 1, 1, 1]


async def test_no_turn_gives_the_batch_back_after_what_flies(database: Database, make_desk: MakeDesk) -> None:
    await submit(database, phones(5), policy=SLOW)
    stub = Slow(concurrency=3)
    turns = 0

    async def wait_for_pace() -> None:
        nonlocal turns
        turns += 1
        if turns > 2:
            stub.gate.set()
            raise PaceUsedUp(700)

    desk = replace(make_desk(stub, policy=SLOW), accounts={"main": Account(stub, wait_for_pace, 100)})
    verdict = await send_one(database, desk)
    assert (verdict.state, verdict.handed_over_count, verdict.trouble) == (BatchState.READY, 2, None)
    assert await states(database) == [A, A, Q, Q, Q]
    (batch,) = await batch_rows(database)
    assert batch["send_in"] == about(700)


async def test_one_in_doubt_does_not_stop_the_others(database: Database, make_desk: MakeDesk) -> None:
    rows = phones(4)
    await submit(database, rows)
    doubt = {rows[0]["phone"]: [InDoubt("cut")]}
    stub = Stub("main", max_recipients_per_request=1, concurrency=2, outcomes=doubt)
    await send_one(database, make_desk(stub))
    assert await states(database) == [D, A, A, A]


async def test_every_message_carries_its_own_callback_address(
    database: Database, make_desk: MakeDesk
) -> None:
    await submit(database, phones(2), policy=SLOW)
    stub = Stub("main")
    urls = CallbackUrls("main", "https://sms.example.test", "0123456789abcdef")
    policy = replace(SLOW, poll_after_callback_seconds=5_000)
    desk = make_desk(stub, policy=policy)
    account = replace(desk.accounts["main"], callbacks=urls)
    dealt = await deal_one(database, desk)
    await sending.send_batch(database, replace(desk, accounts={"main": account}), dealt)

    for line in stub.ledger:
        token = str(line.message.callback_url).rpartition("/")[2]
        resolved = urls.resolve(token)
        assert resolved is not None
        assert resolved.message_ref == line.message.message_ref
    (batch,) = await batch_rows(database)
    assert batch["poll_in"] == about(5_000)  # late: the callback comes first
