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


async def test_a_callback_is_as_documented(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0.2)
    message_id = await account.take("+37060000090", **account.ask_for(hooks.url))
    await callback_counts(account.simulator)
    first, last = documents(hooks)
    assert first["id"] != last["id"]
    assert last.keys() == {"id", "webhookConfigurationId", "type", "createdAt", "message"}
    assert last["type"] == "STATUS_UPDATE"
    assert datetime.fromisoformat(last["createdAt"]).tzinfo is not None
    assert UUID.fullmatch(last["webhookConfigurationId"])
    assert last["message"] == (await account.ask(message_id)).json()["message"]
    assert {(each.method, each.headers["Content-Type"]) for each in hooks.taken} == {
        ("POST", "application/json")
    }


async def test_at_once_there_is_one_word_to_tell(account: Account, hooks: Hooks) -> None:
    await account.take("+37060000088", **account.ask_for(hooks.url))
    await callback_counts(account.simulator)
    assert [each["message"]["status"] for each in documents(hooks)] == ["READ"]
