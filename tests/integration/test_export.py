"""The export: its rows and columns, and that it holds up nobody."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from campaigns import reading
from campaigns.domain.provider import Accepted
from campaigns.store.reading.export import EXPORT_COLUMNS
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.integration.rows import query
from tests.integration.sent_and_polled import send_all
from tests.river import flow, lines, phones, submit
from tests.stub import Stub
from tests.waiting import until

ONE = "+37060000001"
TWO = "+37060000002"
THREE = "+37060000003"


async def test_the_export_is_in_order_of_row_with_our_columns_first(
    database: Database, make_desk: MakeDesk
) -> None:
    rows = [row | {"city": f"city {9 - n % 10}"} for n, row in enumerate(phones(250))]
    stub = Stub("main", outcomes={rows[0]["phone"]: [Accepted("id-0", Decimal("0.0100"), 1)]})
    taken = await submit(database, rows, text="Hello {city}")
    await flow(database, make_desk(stub), taken.id)

    columns, _ = await reading.export(database, taken.id)
    exported = await lines(database, taken.id)

    assert columns == [*EXPORT_COLUMNS, "city"]
    assert all(list(line) == columns for line in exported)
    assert [(line["row"], line["phone"], line["city"]) for line in exported] == [
        (number, row["phone"], row["city"]) for number, row in enumerate(rows, 2)
    ]
    first = exported[0]
    moment = datetime.fromisoformat(first.pop("updated_at"))
    assert moment.utcoffset() == timedelta(0)
    assert list(columns)[-4:-1] == ["provider_changed_at", "currency", "channel"]
    assert first == {
        "row": 2,
        "phone": rows[0]["phone"],
        "state": "delivered",
        "provider_state": "delivered",
        "provider_message_id": "id-0",
        "batch": 3,
        "attempt": 1,
        "segments": 1,
        "cost": "0.0100",
        "reason": None,
        "provider_changed_at": None,
        "currency": None,
        "channel": None,
        "city": "city 9",
    }
    json.dumps(exported)  # plain values only


async def test_a_column_called_like_one_of_ours_is_kept_under_another_name(database: Database) -> None:
    own = {
        "state": "Texas",
        "recipient_state": "tired",
        "row": "7",
        "recipient_phone": "not the number",
        "State": "Utah",
        "fields": "wheat",
    }
    taken = await submit(database, [{"Phone": ONE} | own, {"Phone": TWO}])

    columns, _ = await reading.export(database, taken.id)
    first, second = await lines(database, taken.id)

    renamed = {
        "recipient_recipient_state": "Texas",
        "recipient_state": "tired",
        "recipient_row": "7",
        "recipient_phone": "not the number",
        "State": "Utah",
        "fields": "wheat",
    }
    assert sorted(columns) == sorted([*EXPORT_COLUMNS, *renamed])
    assert {name: first[name] for name in renamed} == renamed
    assert (first["state"], first["row"], first["phone"]) == ("queued", 2, ONE)
    assert set(second) == set(EXPORT_COLUMNS)


async def test_rows_with_other_fields_than_others_are_exported_with_their_own(database: Database) -> None:
    rows = [
        {"phone": ONE, "name": "Ona"},
        {"phone": TWO},
        {"phone": THREE, "city": "Kaunas", "note": ""},
        {"phone": "12", "only of a refused one": "x"},
    ]
    taken = await submit(database, rows)

    columns, _ = await reading.export(database, taken.id)
    exported = await lines(database, taken.id)

    assert sorted(columns[len(EXPORT_COLUMNS) :]) == ["city", "name", "note"]
    assert [{k: v for k, v in line.items() if k not in EXPORT_COLUMNS} for line in exported] == [
        {"name": "Ona"},
        {},
        {"city": "Kaunas", "note": ""},
    ]


async def test_an_export_holds_up_nobody_however_slowly_it_is_read(
    database: Database, make_desk: MakeDesk
) -> None:
    """Behind a pager it may stand for an hour: no transaction is open meanwhile, and what it then goes on
    to tell is still of the moment it began at.
    """
    taken = await submit(database, phones(5000))
    _, rows = await reading.export(database, taken.id)
    exported = [await anext(rows)]

    assert await sessions(database, "idle in transaction%") == 0
    await send_all(database, make_desk())
    exported += [line async for line in rows]

    assert [line["row"] for line in exported] == list(range(2, 5002))
    assert {line["state"] for line in exported} == {"queued"}


async def test_an_export_that_is_not_read_to_its_end_gives_its_connection_back(database: Database) -> None:
    taken = await submit(database, phones(2500))
    await database.close()

    async def is_alone() -> bool:
        return await sessions(database, "%") == 1

    await until(is_alone, "the submission's session ends after its client")
    _, rows = await reading.export(database, taken.id)
    async with aclosing(cast("AsyncGenerator[dict[str, Any], None]", rows)):
        assert (await anext(rows))["row"] == 2
        assert await sessions(database, "%") == 2
    await until(is_alone, "the export's session ends after its client")


async def sessions(database: Database, state: str) -> int:
    """How many sessions of this database are in such a state."""
    (row,) = await query(
        database,
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE $1",
        state,
    )
    return int(row["n"])
