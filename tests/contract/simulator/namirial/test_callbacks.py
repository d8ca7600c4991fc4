"""Namirial's callbacks."""

import json
from datetime import datetime
from typing import Any

from tests.contract.simulator.accounts import NamirialAccount as Account
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.hooks import Hooks, callback_counts
from tests.contract.simulator.namirial.paths import UUID


def documents(hooks: Hooks) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in hooks.taken]


async def test_each_later_word_is_told_and_the_first_is_not(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.2)
    ids = {
        ending: await account.take(f"+370600000{ending}", key=ending, **account.ask_for(hooks.url + ending))
        for ending in ("00", "87", "88", "90", "92", "97", "98")
    }
    await callback_counts(account.simulator)
    told: dict[str, list[str]] = {ending: [] for ending in ids}
    for each in documents(hooks):
        told[each["message"]["reference"]["key"]].append(each["message"]["status"])
    assert told == {
        "00": ["SENT", "DELIVERED"],
        "87": ["REJECTED"],
        "88": ["SENT", "DELIVERED", "READ"],
        "90": ["SENT", "UNDELIVERED"],
        "92": [],
        "97": ["SENT"],
        "98": [],
    }
    last = next(each for each in documents(hooks) if each["message"]["status"] == "UNDELIVERED")
    assert last.keys() == {"id", "webhookConfigurationId", "type", "createdAt", "message"}
    assert last["type"] == "STATUS_UPDATE"
    assert datetime.fromisoformat(last["createdAt"]).tzinfo is not None
    assert UUID.fullmatch(last["webhookConfigurationId"])
    assert last["message"] == (await account.ask(ids["90"])).json()["message"]
    assert len({each["id"] for each in documents(hooks)}) == len(documents(hooks)) == 9
    assert {(each.method, each.headers["Content-Type"]) for each in hooks.taken} == {
        ("POST", "application/json")
    }
    assert {each.url.rpartition("/")[2] for each in hooks.taken} == {"00", "87", "88", "90", "97"}


async def test_at_once_there_is_one_word_to_tell(account: Account, hooks: Hooks) -> None:
    await account.take("+37060000088", **account.ask_for(hooks.url))
    await callback_counts(account.simulator)
    assert [each["message"]["status"] for each in documents(hooks)] == ["READ"]
