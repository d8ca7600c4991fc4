"""What campaigns cost: as far as it is known, and each currency for itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

from rich.console import Console

from campaigns import aggregation, batching, holding, reading, sending
from campaigns.domain.metrics import ACCOUNT_BALANCE, ACCOUNT_QUEUED_COST
from campaigns.domain.provider import Accepted, Money, Outcome
from campaigns.measuring import Measuring
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import put_day, query
from tests.river import phones, submit
from tests.stub import Stub
from worker import shapes
from worker.cli import display


async def test_costs_are_known_in_part_and_in_several_currencies(
    database: Database, make_desk: MakeDesk
) -> None:
    """Never in one sum; what is not known is no 0.00, and what did not leave costs nothing."""
    rows = phones(250)
    told = [Accepted("", Decimal("0.01")), Accepted("", Decimal(1), currency="USD"), Accepted("")]
    outcomes: dict[str, list[Outcome]] = {
        row["phone"]: [replace(told[n % 3], provider_message_id=f"id-{n}")] for n, row in enumerate(rows)
    }
    taken = await submit(database, rows, currency="EUR")
    desk = make_desk(Stub("main", outcomes=outcomes))
    for dealt in await batching.deal_sending(database, desk):
        await sending.send_batch(database, desk, dealt)

    async def money() -> list[object]:
        said = shapes.Campaign.of(await reading.status(database, taken.id)).public()
        return [said[name] for name in ("cost", "costs", "priced_count", "unpriced_count")]

    euros, dollars = {"amount": "0.84", "currency": "EUR"}, {"amount": "83.00", "currency": "USD"}
    assert await money() == [euros, [euros, dollars], 167, 83]
    await query(database, "UPDATE message SET state = 'delivered'")
    await query(
        database,
        "UPDATE batch SET delivered_count = message_count, accepted_count = 0, state = 'done',"
        " poll_at = NULL",
    )
    await aggregation.finish(database)
    await aggregation.sum_up(database)
    assert await query(database, "SELECT totals IS NOT NULL AS are_kept FROM campaign") == [
        {"are_kept": True}
    ]
    assert await money() == [euros, [euros, dollars], 167, 83]
    text = Console(width=200, file=StringIO())
    text.print(display.campaign(await reading.status(database, taken.id)))
    shown = text.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "cost 0.84 EUR + 83.00 USD of 167 of 250 messages" in shown


async def test_a_currency_is_learned_from_the_balance(database: Database, make_desk: MakeDesk) -> None:
    desk = make_desk(Stub("main", balance=Money(Decimal(5), "EUR")))
    taken = await submit(database, phones(1))
    assert await holding.deal_balances(database) == ["main"]
    assert await holding.deal_balances(database) == []  # not again for ten minutes
    assert not await holding.probe_account(database, desk, "main")
    later = await submit(database, phones(1))
    dollars = await submit(database, phones(1), currency="USD")
    said = [(await reading.status(database, each.id)).currency for each in (taken, later, dollars)]
    assert said == ["EUR", "EUR", "USD"]
    assert await holding.deal_balances(database) == []


async def test_a_balance_is_asked_for_again_and_told_while_it_is_new(
    database: Database, make_desk: MakeDesk
) -> None:
    """With what the queued messages cost at the price of the week; an old one is not told."""
    measuring = Measuring(database, None, ["main"])

    async def told() -> dict[str, float]:
        samples = await measuring.samples()
        return {
            each.metric.name: each.amount
            for each in samples
            if each.metric in {ACCOUNT_BALANCE, ACCOUNT_QUEUED_COST} and each.labels == ("main", "EUR")
        }

    await submit(database, phones(50), currency="EUR")
    await submit(database, phones(7), currency="USD")
    await put_day(database, "main", datetime.now(UTC).date(), 10)
    await put_day(database, "main", datetime.now(UTC).date() - timedelta(days=9), 10, cost=Decimal(90))
    assert await told() == {}
    assert await holding.deal_balances(database) == ["main"]
    assert not await holding.probe_account(
        database, make_desk(Stub("main", balance=Money(Decimal(5), "EUR"))), "main"
    )
    assert await told() == {"account_balance": 5, "account_queued_cost": 2}
    await query(database, "UPDATE account_currency SET balance_at = now() - interval '31 min'")
    assert await told() == {}
    await query(database, "UPDATE account_currency SET asked_at = now() - interval '11 min'")
    await query(
        database,
        "INSERT INTO account_hold (account, code, reason, probe_at) VALUES ('main', 'x', 'x', now())",
    )
    assert await holding.deal_balances(database) == [], "its hold is probed anyhow"
    await query(database, "DELETE FROM account_hold")
    assert await holding.deal_balances(database) == ["main"]
    await query(database, "UPDATE account_currency SET asked_at = now() - interval '11 min'")
    await query(database, "UPDATE campaign SET state = 'cancelled', finished_at = now()")
    assert await holding.deal_balances(database) == [], "nothing is under way"
