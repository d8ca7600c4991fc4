"""seven.io's callbacks: methods, signatures, tries."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest

from campaigns.domain.provider import Callback
from simulator.callbacks import Call, Callbacks
from simulator.options import Options
from simulator.seven import endpoints
from simulator.seven.fates import FATES
from tests.contract.simulator.client import PHONE
from tests.contract.simulator.conftest import Open
from tests.contract.simulator.hooks import Hooks, callback_counts
from tests.contract.simulator.seven.signing import SIGNING_KEY, sign

PATH = "seven/a%2Fb"  # signed as it stands, with its percent signs


def fields_of(call: Callback) -> dict[str, str]:
    """Those of its query and of its form."""
    given = dict(call.query)
    if call.headers.get("Content-Type") == "application/x-www-form-urlencoded":
        given |= parse_qsl(call.body.decode(), strict_parsing=True)
    return given


@pytest.mark.parametrize("method", ["GET", "POST", "JSON"])
@pytest.mark.parametrize("query", ["", "?tenant=7&x=%2F"])
async def test_every_word_is_told_and_signed(
    open_account: Open, hooks: Hooks, method: str, query: str
) -> None:
    account = await open_account(
        delivery_seconds=0.2,
        callback_url=hooks.url + PATH + query,
        callback_method=method,
        signing_key=SIGNING_KEY,
    )
    ids = await account.accept("37060000001", "37060000092", "37060000098", "37060000093")
    await hooks.came(4)
    assert (await callback_counts(account.simulator))["taken"] == 4
    told = []
    assert len({call.headers["X-Nonce"] for call in hooks.taken}) == 4
    for call in hooks.taken:
        headers = call.headers
        timestamp, nonce = headers["X-Timestamp"], headers["X-Nonce"]
        assert abs(int(timestamp) - time.time()) < 20
        assert 1 <= len(nonce) <= 32
        assert headers["X-Signature"] == sign(timestamp, nonce, call.method, call.url, call.body)
        assert call.url.startswith(hooks.url + PATH + query)
        match method:
            case "GET":
                assert (call.method, call.body) == ("GET", b"")
                data, wanted = fields_of(call), "%Y-%m-%d %H:%M:%S.%f"
            case "POST":
                fields = fields_of(call)
                assert (call.method, fields["webhook_event"]) == ("POST", "dlr")
                data = {name: fields[f"data[{name}]"] for name in ("msg_id", "status", "timestamp")}
                wanted = "%Y-%m-%d %H:%M:%S.%f"
            case _:
                event = json.loads(call.body)
                assert event.keys() == {"data", "webhook_event", "webhook_timestamp"}
                assert event["data"].keys() == {"msg_id", "status", "timestamp"}
                data, wanted = event["data"], "%Y-%m-%d %H:%M:%S.%f"
        assert time.strptime(data["timestamp"], wanted)
        told.append((data["msg_id"], data["status"]))
    assert [word for message_id, word in told if message_id == ids[0]] == [
        "ACCEPTED",
        "TRANSMITTED",
        "DELIVERED",
    ]
    assert [word for message_id, word in told if message_id == ids[1]] == ["ACCEPTED"]
    assert len(told) == 4


async def test_each_word_is_told_in_its_time(
    open_account: Open, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    after = Callbacks.after

    def noted(callbacks: Callbacks, seconds: float, make: Callable[[], Call | None]) -> None:
        waits.append(seconds)
        after(callbacks, seconds, make)

    monkeypatch.setattr(Callbacks, "after", noted)
    account = await open_account(delivery_seconds=0.2, callback_url=hooks.url)
    await account.accept("37060000087")
    await hooks.came(4)
    assert waits == pytest.approx([0.05] * 4)
    assert [fields_of(call)["status"] for call in hooks.taken] == list(FATES.named["87"].status_words)


async def test_an_unsigned_account_signs_nothing(open_account: Open, hooks: Hooks) -> None:
    account = await open_account(delivery_seconds=0, callback_url=hooks.url)
    await account.accept(PHONE)
    await hooks.came(1)
    assert not {"X-Signature", "X-Nonce", "X-Timestamp"} & hooks.taken[0].headers.keys()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_callback_is_tried_again_as_it_was(open_account: Open, hooks: Hooks, status: int) -> None:
    hooks.statuses = [status, status, 302]
    account = await open_account(
        delivery_seconds=0,
        callback_url=hooks.url,
        callback_retry_seconds=(0.01, 0.02, 0.03),
        signing_key=SIGNING_KEY,
    )
    await account.accept(PHONE)
    await hooks.came(3)
    counts = await callback_counts(account.simulator)
    assert (counts["made"], counts["sent"], counts["taken"]) == (1, 3, 1)
    first, second, third = hooks.taken
    for name in ("X-Signature", "X-Timestamp", "X-Nonce"):
        assert first.headers[name] == second.headers[name] == third.headers[name]
    assert first.url == second.url == third.url


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_other_errors_are_final(open_account: Open, hooks: Hooks, status: int) -> None:
    hooks.statuses = [status]
    account = await open_account(
        delivery_seconds=0, callback_url=hooks.url, callback_retry_seconds=(0.01, 0.01)
    )
    await account.accept(PHONE)
    await hooks.came(1)
    counts = await callback_counts(account.simulator)
    assert (counts["sent"], counts["dropped"]) == (1, 1)


def test_fourteen_attempts_over_three_days_and_a_half() -> None:
    pauses = endpoints.Seven.retry_seconds
    assert pauses[:5] == (60, 300, 1800, 3600, 7200)
    assert len(pauses) == 13
    assert 3.3 < sum(pauses) / 86_400 < 3.7


@pytest.mark.parametrize("wrong", [{"callback_method": "PUT"}, {"reload_lock_seconds": -1}])
def test_wrong_options_are_refused_with_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(provider="seven", **wrong)
