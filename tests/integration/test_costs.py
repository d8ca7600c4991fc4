"""What campaigns cost: as far as it is known, and each currency for itself."""

from dataclasses import replace
from decimal import Decimal
from io import StringIO

from rich.console import Console

from campaigns import aggregation, batching, holding, reading, sending
from campaigns.domain.provider import Accepted, Money, Outcome
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
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
    assert await holding.deal_currencies(database) == ["main"]
    assert await holding.deal_currencies(database) == []  # not again for an hour
    assert not await holding.probe_account(database, desk, "main")
    later = await submit(database, phones(1))
    dollars = await submit(database, phones(1), currency="USD")
    said = [(await reading.status(database, each.id)).currency for each in (taken, later, dollars)]
    assert said == ["EUR", "EUR", "USD"]
    assert await holding.deal_currencies(database) == []
