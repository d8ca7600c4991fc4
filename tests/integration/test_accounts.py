"""Accounts on hold: by trouble, by a provider that is down; lifted by a probe or by a person."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest

from campaigns import holding, reading
from campaigns.domain.circuit import NewHold
from campaigns.domain.errors import DatabaseUnavailable, ProviderRefused
from campaigns.domain.holds import DOWN
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, Failed, InDoubt, Money, NotSent, Outcome, Rejected, Throttled
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.holding import accounts
from campaigns.store.session import Database
from tests.conftest import MakeDesk, open_database
from tests.integration.one_batch import SLOW, OneText, send_one, sent, submit_texts
from tests.integration.proxy import link
from tests.integration.rows import query, states
from tests.river import phones, submit
from tests.stub import Stub


async def hold(database: Database, account: str = "main", code: str = "32") -> bool:
    return await accounts.hold(database, account, NewHold(code, f"reason {code}", 30))


async def probes(database: Database) -> dict[str, tuple[int, float]]:
    """Of each account on hold: how often it was probed, and in how many seconds it is next."""
    rows = await query(
        database,
        "SELECT account, probe_count, extract(epoch FROM probe_at - clock_timestamp())::float8 AS probe_in"
        " FROM account_hold",
    )
    return {row["account"]: (row["probe_count"], row["probe_in"]) for row in rows}


async def make_due(database: Database) -> None:
    await query(database, "UPDATE account_hold SET probe_at = now()")


def about(seconds: float) -> Any:
    """A wait that was so long a moment ago."""
    return pytest.approx(seconds - 5, abs=5.5)


def with_balance(amount: str) -> Stub:
    return Stub("main", balance=Money(Decimal(amount), "EUR"))


async def test_an_account_is_held_once_and_its_first_reason_stays(database: Database) -> None:
    assert await hold(database, "two", "7")
    assert await hold(database, "one", "32")
    assert not await hold(database, "one", "1")

    found = await holding.holds(database)
    assert [(each.account, each.code, each.reason) for each in found] == [
        ("one", "32", "reason 32"),
        ("two", "7", "reason 7"),
    ]
    assert all(each.since.utcoffset() is not None for each in found)
    assert await probes(database) == {"one": (0, about(30)), "two": (0, about(30))}


async def test_a_person_lifts_a_hold(database: Database) -> None:
    await hold(database)

    assert await holding.resume_account(database, "main")
    assert not await holding.resume_account(database, "main")
    assert await holding.holds(database) == []


async def test_a_campaign_shows_when_its_account_was_on_hold(database: Database) -> None:
    """While it was under way; not of another account, of before or of after it, nor of a moment."""

    async def was_on_hold(account: str, began_ago: str) -> None:
        await hold(database, account)
        since = "UPDATE account_hold SET since = now() - $2::text::interval WHERE account = $1"
        await query(database, since, account, began_ago)

    taken = await submit(database, phones(1))
    await query(database, "UPDATE campaign SET created_at = now() - interval '1 h'")
    await was_on_hold("main", "1 s")
    await holding.resume_account(database, "main")
    await was_on_hold("another", "20 min")
    await holding.resume_account(database, "another")
    assert await reading.stops(database, taken.id) == []
    await was_on_hold("main", "20 min")
    assert await holding.resume_all_accounts(database) == ["main"]
    await was_on_hold("main", "2 h")
    campaign = await reading.status(database, taken.id)
    still, over = await reading.stops(database, taken.id)
    assert (still.kind, still.begins_at, still.ends_at) == ("held", campaign.created_at, None)
    assert over.ends_at is not None
    assert (over.ends_at - over.begins_at).total_seconds() == pytest.approx(1200, abs=60)
    await query(database, "UPDATE account_stop SET lifted_at = now() - interval '91 days'")
    await query(database, "UPDATE campaign SET state = 'cancelled', finished_at = now()")
    await holding.resume_account(database, "main")
    (kept,) = await query(
        database, "SELECT extract(epoch FROM lifted_at - held_at)::int AS s FROM account_stop"
    )
    assert kept["s"] == pytest.approx(7200, abs=60), "what is long ago is forgotten"
    await query(database, "UPDATE campaign SET finished_at = now() - interval '3 h'")
    assert await reading.stops(database, taken.id) == []


async def test_a_hold_is_known_to_every_process_and_after_a_restart(
    database: Database, database_url: str
) -> None:
    await hold(database)
    another = open_database(database_url)

    assert [each.account for each in await holding.holds(another)] == ["main"]
    await another.close()


async def test_each_due_probe_is_given_to_one_caller(database: Database) -> None:
    names = [f"account-{n}" for n in range(20)]
    for name in names:
        await hold(database, name)
    assert await holding.deal_probes(database) == []
    await make_due(database)
    await query(
        database, "UPDATE account_hold SET probe_at = now() + interval '9 s' WHERE account = $1", names[0]
    )

    dealt = await asyncio.gather(*(holding.deal_probes(database) for _ in range(6)))

    assert sorted(name for each in dealt for name in each) == sorted(names[1:])
    assert {count for count, _ in (await probes(database)).values()} == {0, 1}
    assert await holding.deal_probes(database) == []


@pytest.mark.parametrize(
    ("code", "first", "longest"), [("32", 30.0, 900.0), (DOWN, 2.0, 60.0)], ids=["trouble", "down"]
)
async def test_probes_come_ever_more_rarely_up_to_a_cap(
    database: Database, code: str, first: float, longest: float
) -> None:
    await accounts.hold(database, "main", NewHold(code, "why", first))
    waits = []
    for _ in range(12):
        await make_due(database)
        assert await holding.deal_probes(database) == ["main"]
        waits.append((await probes(database))["main"])

    assert waits == [(n, about(min(first * 2**n, longest))) for n in range(1, 13)]
    await query(database, "UPDATE account_hold SET probe_count = 1000, probe_at = now()")
    assert await holding.deal_probes(database) == ["main"]
    assert await probes(database) == {"main": (1000, about(longest))}


async def test_a_hold_after_a_hold_begins_anew(database: Database) -> None:
    await hold(database)
    for _ in range(5):
        await make_due(database)
        await holding.deal_probes(database)
    await holding.resume_account(database, "main")

    assert await hold(database)
    assert await probes(database) == {"main": (0, about(30))}


class Refusing(Stub):
    async def probe(self) -> Money:
        raise ProviderRefused("invalid login")


@pytest.mark.parametrize(
    ("stub", "code", "lifts"),
    [
        (with_balance("0.01"), "32", True),
        (with_balance("0"), "32", False),
        (with_balance("-5"), "32", False),
        (Refusing("main"), "32", False),
        (with_balance("0"), DOWN, True),
        (Refusing("main"), DOWN, False),
    ],
    ids=["money", "none", "debt", "no answer", "down: it answers", "down: no answer"],
)
async def test_a_probe_lifts_a_hold_when_its_cause_is_gone(
    database: Database, make_desk: MakeDesk, stub: Stub, code: str, lifts: bool
) -> None:
    await hold(database, code=code)
    await hold(database, "other", code)

    assert await holding.probe_account(database, make_desk(stub), "main") is lifts

    left = {each.account for each in await holding.holds(database)}
    assert left == ({"other"} if lifts else {"main", "other"})


async def test_only_known_accounts_on_hold_are_probed(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(with_balance("5"))
    await hold(database, "other")

    assert not await holding.probe_account(database, desk, "main")
    assert not await holding.probe_account(database, desk, "other")
    assert [each.account for each in await holding.holds(database)] == ["other"]


# --- a provider that is down ---

REFUSED = NotSent("connection refused")
DOUBT = InDoubt("no answer within 20 s")


async def send_all(database: Database, desk: Desk, *outcomes: Outcome) -> OneText:
    """A campaign of a text, and so a request, for each outcome; sent in one batch."""
    stub = desk.accounts["main"].provider
    assert isinstance(stub, OneText)
    await query(database, "DELETE FROM message")
    await query(database, "DELETE FROM campaign")
    stub.ledger.clear()
    numbers = await submit_texts(database, *map(str, range(len(outcomes))))
    stub._outcomes = {number: deque([outcome]) for number, outcome in zip(numbers, outcomes, strict=True)}
    await send_one(database, desk)
    return stub


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """One account whose provider is told by `send_all` what to answer."""
    return make_desk(OneText("main"), policy=SLOW)


@pytest.mark.parametrize(
    ("outcome", "why", "probe_in"),
    [
        (REFUSED, "connection refused", 2),
        (Throttled(None, "HTTP 503"), "HTTP 503", 2),
        (Throttled(700, "HTTP 503"), "HTTP 503", 700),
        (DOUBT, "no answer within 20 s", 2),
    ],
    ids=["refused", "closed", "closed for long", "in doubt"],
)
async def test_after_five_requests_in_vain_the_account_is_held(
    database: Database, desk: Desk, outcome: Outcome, why: str, probe_in: float
) -> None:
    for _ in range(4):
        await send_all(database, desk, outcome)
        assert await holding.holds(database) == []
    await send_all(database, desk, outcome)

    (held,) = await holding.holds(database)
    assert (held.code, held.reason) == (DOWN, f"the provider takes nothing: {why}")
    assert await probes(database) == {"main": (0, about(probe_in))}


async def test_a_provider_that_hangs_does_not_put_a_whole_batch_in_doubt(
    database: Database, desk: Desk
) -> None:
    """Each request would wait its time out, and each of its messages be in doubt for days."""
    numbers = await submit_texts(database, *"abcdefgh")
    stub = desk.accounts["main"].provider
    assert isinstance(stub, OneText)
    stub._outcomes = {number: deque([DOUBT]) for number in numbers}

    verdict = await send_one(database, desk)

    assert sent(stub) == list("abcde")
    assert await states(database) == [MessageState.IN_DOUBT] * 5 + [MessageState.QUEUED] * 3
    assert (verdict.state, verdict.held_account, verdict.handed_over_count) == (BatchState.READY, "main", 5)
    assert verdict.trouble == "account on hold"


@pytest.mark.parametrize(
    "life",
    [
        Accepted("id"),
        Rejected("13", "blacklist"),
        Failed("12", "error"),
        NotSent("clock", retry_at_once=True),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
async def test_a_sign_of_life_counts_from_the_beginning(
    database: Database, desk: Desk, life: Outcome
) -> None:
    for _ in range(4):
        await send_all(database, desk, REFUSED)
    await send_all(database, desk, life)
    for _ in range(4):
        await send_all(database, desk, REFUSED)
    assert await holding.holds(database) == []

    await send_all(database, desk, REFUSED)
    assert len(await holding.holds(database)) == 1


async def test_a_provider_that_takes_some_of_each_batch_is_not_down(database: Database, desk: Desk) -> None:
    for _ in range(6):
        await send_all(database, desk, Accepted("id"), Throttled(None, "HTTP 429"))

    assert await holding.holds(database) == []


async def test_after_a_probe_a_single_failure_is_enough_until_something_gets_through(
    database: Database, desk: Desk
) -> None:
    for _ in range(5):
        await send_all(database, desk, REFUSED)
    assert await holding.probe_account(database, desk, "main")
    await send_all(database, desk, REFUSED)
    assert len(await holding.holds(database)) == 1

    assert await holding.probe_account(database, desk, "main")
    await send_all(database, desk, Accepted("id"))
    await send_all(database, desk, REFUSED)
    assert await holding.holds(database) == []


@pytest.mark.parametrize(
    "ask",
    [hold, holding.holds, holding.deal_probes, lambda database: holding.resume_account(database, "main")],
    ids=["hold", "holds", "deal_probes", "resume_account"],
)
async def test_without_a_database_one_error_says_so(
    database_url: str, ask: Callable[[Database], Coroutine[Any, Any, object]]
) -> None:
    async with link(database_url) as between:
        database = open_database(between.url)
        await ask(database)
        between.cut()
        with pytest.raises(DatabaseUnavailable):
            await ask(database)
        between.mend()
        await ask(database)
        await database.close()
