"""What other programs read is what it was, to the letter."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import DayStatistics, Money, StopListEntry
from campaigns.domain.provider import Sighting as SeenMessage
from campaigns.store.reading.export import EXPORT_COLUMNS
from campaigns.store.receipts.aside import AsideReceipt as KeptReceipt
from worker import shapes
from worker.cli.printable import json_of
from worker.shapes import Shape, amount_text

AT = datetime(2026, 11, 28, 12, 0, 0, 5, tzinfo=UTC)


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=None) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**12), 10**12),
    st.integers(-20, 20),
)


@given(amounts.filter(lambda amount: -60 < int(amount.as_tuple().exponent) < 60))
def test_amounts_are_written_whole_without_exponent_and_with_two_decimals(amount: Decimal) -> None:
    text = amount_text(amount)

    whole, _, decimals = text.partition(".")
    assert Decimal(text) == amount
    assert whole.removeprefix("-").isdecimal()
    assert decimals.isdecimal()
    assert len(decimals) >= 2
    assert len(decimals) == 2 or not decimals.endswith("0")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("0E-9", "0.00"),
        ("1E+3", "1000.00"),
        ("0.0144", "0.0144"),
        ("12.50000", "12.50"),
        ("7.1", "7.10"),
    ],
)
def test_amounts_people_know(amount: str, text: str) -> None:
    assert amount_text(Decimal(amount)) == text


def test_each_object_is_written_as_it_always_was() -> None:
    kept = KeptReceipt(7, "main", AT, AT, "no", "77", None, "delivered", "DELIVERED")
    written: list[tuple[Shape, str]] = [
        (
            shapes.Balance.of("main", Money(Decimal("12.5"), None)),
            '{"account": "main", "amount": "12.50", "currency": null}',
        ),
        (
            shapes.Day.like(DayStatistics("2026-11-28", "SENT", Decimal("1.500"), 3)),
            '{"date": "2026-11-28", "provider_state": "SENT", "cost": "1.500", "segment_count": 3}',
        ),
        (
            shapes.StopListing.of("main", "+37060000001", None),
            '{"account": "main", "phone": "+37060000001", "is_listed": false}',
        ),
        (
            shapes.StopListing.of("main", "+37060000001", StopListEntry(None, "STOP")),
            '{"account": "main", "phone": "+37060000001", "is_listed": true, "since": null,'
            ' "reason": "STOP"}',
        ),
        (
            shapes.AsideReceipt.of(kept),
            '{"id": "receipt:7", "set_aside_at": "2026-11-28T12:00:00.000005+00:00", "reason": "no",'
            ' "account": "main", "received_at": "2026-11-28T12:00:00.000005+00:00",'
            ' "provider_message_id": "77", "reference": null, "state": "delivered",'
            ' "provider_state": "DELIVERED"}',
        ),
        (
            shapes.Health(service="campaigns", status="ok", last_tick_seconds=3),
            '{"service": "campaigns", "status": "ok", "last_tick_seconds": 3}',
        ),
    ]
    for shape, text in written:
        assert json_of(shape.public()) == text


def test_what_a_provider_says_is_shown_also_where_it_is_half_a_character() -> None:
    seen = SeenMessage("7", None, "WHAT \ud83d", cost=Decimal("0.0144"), accepted_at=AT)
    shown = json_of(shapes.Sighting.of(seen).public())
    assert '"provider_state": "WHAT \\ud83d"' in shown
    assert '"state": null' in shown
    assert '"accepted_at": "2026-11-28T12:00:00.000005+00:00", "changed_at": null' in shown


def test_the_columns_of_an_export_are_those_that_are_described() -> None:
    assert tuple(shapes.ExportLine.model_fields) == EXPORT_COLUMNS


def _all(kind: type[Shape]) -> list[type[Shape]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_all(sub))]


@pytest.mark.parametrize("shape", _all(Shape), ids=lambda shape: shape.__name__)
def test_each_object_can_be_described_to_other_programs(shape: type[Shape]) -> None:
    described: dict[str, Any] = shape.model_json_schema(mode="serialization")
    assert described["description"], shape
    for name, field in described["properties"].items():
        said = field.get("anyOf", [field])
        assert any(each.keys() & {"type", "$ref", "enum", "const"} for each in said), (shape, name, field)
        if name.endswith("_at"):
            assert any(each.get("format") == "date-time" for each in said) or shape is shapes.ExportLine
