"""Loyalty.lt's callbacks."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from simulator.loyalty_lt import endpoints
from tests.contract.simulator.client import DEADLINE_SECONDS
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.hooks import Hooks, callback_counts


def words_told(hooks: Hooks) -> list[tuple[str, str]]:
    """By the last part of the address: the word."""
    return [(each.url.rpartition("/")[2], json.loads(each.body)["status"]) for each in hooks.taken]


async def test_each_change_is_told_as_on_the_page(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.2)
    endings = ("00", "87", "90", "91")
    ids = {
        each: await account.take(f"+370600000{each}", **account.ask_for(hooks.url + each)) for each in endings
    }
    assert await callback_counts(account.simulator) == {"made": 8, "sent": 8, "taken": 8}
    assert {each.method for each in hooks.taken} == {"POST"}
    assert {each.headers["User-Agent"] for each in hooks.taken} == {"Loyalty-LT-SMPP-Gateway/1.0"}
    assert {each.headers["Content-Type"] for each in hooks.taken} == {"application/json"}

    documents: dict[str, list[dict[str, Any]]] = {ending: [] for ending in endings}
    for each in hooks.taken:
        documents[each.url.rpartition("/")[2]].append(json.loads(each.body))
    first, last = documents["90"]
    assert last.keys() == {"id", "externalId", "status", "recipient", "timestamp", "error"}
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", last["id"])
    assert first["id"] == last["id"] != documents["91"][0]["id"]
    assert (last["externalId"], last["recipient"]) == (None, "+37060000090")
    assert (first["error"], last["error"]) == (None, "Rejected by the operator")
    assert last["timestamp"].endswith("Z")
    assert datetime.fromisoformat(first["timestamp"]) < datetime.fromisoformat(last["timestamp"])
    assert [each["message_id"] for each in documents["87"]] == [ids["87"]] * 2
    assert documents["00"][1]["error"] is None


async def test_an_expiry_is_told(open_account: Open, hooks: Hooks) -> None:
    """Its validity was over before its life began: told once, at once, and nothing more."""
    began = datetime.now(UTC)
    account = await open_account(delivery_seconds=0.1)
    await account.take(validity="2024-01-15T10:33:00Z", **account.ask_for(hooks.url + "past"))
    await account.take(validityMinutes=1, **account.ask_for(hooks.url + "in-time"))
    assert (await callback_counts(account.simulator))["taken"] == 3
    moments = [datetime.fromisoformat(json.loads(each.body)["timestamp"]) for each in hooks.taken]
    assert all(abs((each - began).total_seconds()) < DEADLINE_SECONDS for each in moments)
    assert sorted(words_told(hooks)) == [
        ("in-time", "DELIVERED"),
        ("in-time", "SENT"),
        ("past", "UNDELIVERABLE"),
    ]


def test_the_pauses_are_those_of_the_page() -> None:
    assert endpoints.LoyaltyLt.retry_seconds == (30.0, 120.0, 600.0, 1800.0, 3600.0)
