"""What providers say beside their word ends the same in every order, and is lost nowhere."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import receipts
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, InDoubt, Receipt
from campaigns.domain.said import details_of
from campaigns.domain.states import MessageState
from campaigns.store.receipts import polling
from campaigns.store.receipts.polling import Evidence
from campaigns.store.session import Database
from campaigns.store.tally import Release
from tests.conftest import MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import make_due, message_rows, query, wrong_tallies
from tests.integration.test_callbacks import merge_all, refs
from tests.integration.test_receipts import hold_by_force
from tests.river import phones, submit
from tests.stub import Stub

A, SENT, DELIVERED = MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED
UNDELIVERED = MessageState.UNDELIVERED
NOW = datetime.now(UTC)
TOLD = (
    *("state", "provider_reason", "provider_changed_at", "cost", "currency", "channel"),
    *("segment_count", "is_counted_by_provider"),
)

details = st.builds(
    Receipt,
    provider_message_id=st.none(),
    evidence=st.sampled_from([A, SENT, UNDELIVERED, DELIVERED, None]),
    provider_state=st.just("WORD"),
    code=st.none() | st.sampled_from("12"),
    reason=st.none() | st.sampled_from(["no route", "blocked"]),
    changed_at=st.none() | st.sampled_from([NOW, NOW - timedelta(hours=1), datetime(1970, 1, 1, tzinfo=UTC)]),
    cost=st.none() | st.sampled_from([Decimal("0.01"), Decimal("0.02")]),
    currency=st.none() | st.sampled_from(["EUR", "USD"]),
    segment_count=st.none() | st.integers(1, 3),
    channel=st.none() | st.sampled_from(["SMS", "RCS"]),
)


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[tuple[Receipt, bool]]]:
    """One bundle, arriving in four ways: reordered, some of it twice, each by a poll or by a callback."""
    bundle = draw(st.lists(details, min_size=1, max_size=4))
    again = st.lists(st.sampled_from(bundle), max_size=2)
    return [
        [(each, draw(st.booleans())) for each in draw(st.permutations(bundle + draw(again)))]
        for _ in range(4)
    ]


async def by_callback(database: Database, desk: Desk, said: list[tuple[str, Receipt]]) -> None:
    await receipts.take_in_many(database, said)
    await merge_all(database, desk)


async def by_poll(database: Database, evidence: list[Evidence]) -> None:
    work = await hold_by_force(database)
    await polling.merge_polled(database, work, evidence, Release(), worker="worker-1")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals())
async def test_what_is_said_beside_the_word_ends_the_same_in_every_order(
    database: Database, make_desk: MakeDesk, ways: list[list[tuple[Receipt, bool]]]
) -> None:
    for table in ("message", "message_by_provider_id", "waiting_receipt", "campaign"):
        await query(database, f"DELETE FROM {table}")  # noqa: S608  our own tables
    desk = make_desk(Stub("main", outcomes={row["phone"]: [Accepted("x")] for row in phones(4)}))
    await submit(database, phones(4), currency="EUR")
    await send_one(database, desk)
    await make_due(database)
    named = await refs(database)
    for nth in range(max(map(len, ways))):
        step = [(at, *way[nth]) for at, way in enumerate(ways) if nth < len(way)]
        polled = [
            Evidence(at, each.evidence, each.provider_state, details=details_of(each, NOW))
            for at, each, is_polled in step
            if is_polled
        ]
        called = [
            ("main", Receipt(**{**_fields(each), "message_ref": named[at]}))
            for at, each, is_polled in step
            if not is_polled
        ]
        if polled:
            await by_poll(database, polled)
        if called:
            await by_callback(database, desk, called)
        assert await wrong_tallies(database) == []
    ends = [tuple(row[name] for name in TOLD) for row in await message_rows(database)]
    assert ends == [ends[0]] * 4


def _fields(receipt: Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in Receipt.__slots__}  # type: ignore[attr-defined]  # slots


async def test_a_bundle_merges_as_its_receipts_one_by_one(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main"))
    await submit(database, phones(2))
    await send_one(database, desk)
    first, second = await refs(database)
    told_of = [
        Receipt(None, SENT, "SENT", reason="early", changed_at=NOW - timedelta(hours=1), segment_count=2),
        Receipt(None, UNDELIVERED, "UNDELIVERED", code="7", cost=Decimal("0.5"), currency="USD"),
        Receipt(None, UNDELIVERED, "UNDELIVERED", changed_at=NOW, channel="RCS"),
        Receipt(None, None, "TELEPORTED", reason="of no word we know"),
    ]
    await by_callback(
        database, desk, [("main", Receipt(**{**_fields(r), "message_ref": first})) for r in told_of]
    )
    for each in told_of:
        await by_callback(database, desk, [("main", Receipt(**{**_fields(each), "message_ref": second}))])
    one, other = await message_rows(database)
    assert [one[name] for name in TOLD] == [other[name] for name in TOLD]
    assert [one[name] for name in TOLD] == [
        *("undelivered", "code 7", NOW, Decimal("0.5"), "USD", "RCS"),
        *(2, True),
    ]


async def test_an_own_reason_stays_beside_the_providers(database: Database, make_desk: MakeDesk) -> None:
    (row,) = rows = phones(1)
    desk = make_desk(Stub("main", outcomes={row["phone"]: [InDoubt("no whole answer")]}))
    await submit(database, rows)
    await send_one(database, desk)
    (ref,) = await refs(database)
    await by_callback(database, desk, [("main", Receipt(None, SENT, "SENT", message_ref=ref))])
    (found,) = await message_rows(database)
    assert (found["reason"], found["provider_reason"]) == ("no whole answer", None)
    why = Receipt(None, UNDELIVERED, "UNDELIVERED", message_ref=ref, code="1", reason="to +37061234567")
    await by_callback(database, desk, [("main", why)])
    (found,) = await message_rows(database)
    assert (found["reason"], found["provider_reason"]) == ("no whole answer", "code 1: to +#")
