"""What becomes of a message at Loyalty.lt: fates, statuses, expiry, and faults in its own words."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.loyalty_lt import endpoints
from simulator.loyalty_lt.fates import FATES, status_word_at, steps_of
from tests.contract.simulator.accounts import LoyaltyLtAccount as Account
from tests.contract.simulator.accounts import loyalty_lt_order as order
from tests.contract.simulator.conftest import Open

# --- fates and the life of a message ----------------------------------------------------------------


async def test_each_refusal_says_what_it_is(account: Account) -> None:
    await account.simulator.fault("*", "int_codes")
    said = {
        ending: (await account.post(order(f"+370600000{ending}"))).json() for ending in ("94", "95", "96")
    }
    assert {ending: answer["code"] for ending, answer in said.items()} == {"94": 2002, "95": 422, "96": 2001}
    assert [error["field"] for error in said["95"]["errors"]] == ["destination"]
    await account.simulator.delete("/_faults")
    answer = (await account.post(order("+37060000093"))).json()
    assert answer["code"] == "VALIDATION_ERROR"
    assert answer["errors"].keys() == {"destination"}
    assert "code" not in (await account.post(order("+37060000099"))).json()


async def test_a_status_is_answered_as_on_the_page(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10, price=Decimal("0.0556"))
    ids = [await account.take(f"+370600000{ending}") for ending in ("00", "90", "89")]
    moment[0] += 5
    halfway = (await account.ask(ids[1])).json()["data"]
    assert [halfway[name] for name in ("sent_at", "failed_at", "error_message")] == [
        "2025-01-15T10:30:05Z",
        None,
        None,
    ]
    moment[0] += 5
    replies = [await account.ask(message_id) for message_id in ids]
    assert {(reply.status, reply.content_type) for reply in replies} == {(200, "application/json")}
    assert replies[0].json() == {
        "success": True,
        "data": {
            "message_id": ids[0],
            "status": "delivered",
            "source": "Demo",
            "destination": "+37060000000",
            "sent_at": "2025-01-15T10:30:05Z",
            "delivered_at": "2025-01-15T10:30:10Z",
            "failed_at": None,
            "scheduled": None,
            "validity": "2025-01-16T10:30:00Z",
            "cost": {"amount": 0.0556, "currency": "EUR"},
            "error_message": None,
        },
    }
    failed = replies[1].json()
    assert failed["success"] is True
    assert (failed["data"]["delivered_at"], failed["data"]["failed_at"]) == (None, "2025-01-15T10:30:10Z")
    assert failed["data"]["error_message"] == "Rejected by the operator"
    assert replies[2].json()["data"] == {
        "message_id": ids[2],
        "status": "delivered",
        "reference": None,
        "sent_at": "2025-01-15T10:30:05Z",
    }


async def test_a_scheduled_message_begins_its_life_then(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=10)
    later = await account.take(scheduled="2025-01-15T12:31:00+02:00")
    past = await account.take(scheduled="2020-01-15T10:30:00Z")
    assert [await account.word(each) for each in (later, past)] == ["queued", "queued"]
    assert (await account.ask(later)).json()["data"]["scheduled"] == "2025-01-15T10:31:00Z"
    moment[0] += 10
    assert [await account.word(each) for each in (later, past)] == ["queued", "delivered"]
    moment[0] += 60
    assert await account.word(later) == "delivered"


async def test_what_is_not_delivered_in_time_expires(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=120)
    ids = [
        await account.take(validityMinutes=1),
        await account.take(validityMinutes=3),
        await account.take("+37060000092", validity="2025-01-15T10:33:00Z"),
        await account.take("+37060000097", validityMinutes=3),
        await account.take(validity="2024-01-15T10:33:00Z"),
    ]

    async def words() -> list[str | None]:
        return [await account.word(message_id) for message_id in ids]

    assert await words() == ["queued", "queued", "queued", "queued", "expired"]
    assert (await account.ask(ids[1])).json()["data"]["validity"] == "2025-01-15T10:33:00Z"
    moment[0] += 60
    assert await words() == ["expired", "sent", "queued", "sent", "expired"]
    moment[0] += 120
    assert await words() == ["expired", "delivered", "expired", "expired", "expired"]


@given(
    st.integers(0, 99),
    st.integers(0, 40),
    st.none() | st.integers(0, 60),
    st.lists(st.integers(-5, 100), max_size=12),
)
def test_a_life_never_goes_back(ending: int, delivery: int, expires_in: int | None, ages: list[int]) -> None:
    fate = FATES.of(ending)
    steps = steps_of(fate, delivery, expires_in)
    order_of = ["queued", *(step.status for step in steps)]
    assert len(set(order_of)) == len(order_of) <= 3
    assert [step.age_seconds for step in steps] == sorted(step.age_seconds for step in steps)
    places = [order_of.index(status_word_at(steps, age)) for age in sorted(ages)]
    assert places == sorted(places)
    assert status_word_at(steps, -1) == "queued"
    if expires_in is not None and fate.status is not None:
        is_in_time = fate.callback is not None and delivery < expires_in
        assert status_word_at(steps, 1000) == (fate.status if is_in_time else "expired")
        assert all(step.age_seconds <= expires_in for step in steps)


async def test_questions_that_come_too_soon_are_counted(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(endpoints.time, "monotonic", lambda: now[0])
    first, second = await account.take(), await account.take()
    for message_id, pause in ((first, 1.0), (second, 4.0), (first, 4.5), (first, 5.0), (first, 0.0)):
        await account.ask(message_id)
        now[0] += pause
    requests = (await account.simulator.ledger())["requests"]
    assert requests == {"send": 2, "status": 5, "too_soon": 1}


# --- faults -----------------------------------------------------------------------------------------


EVERY_CODE = {
    "1001": 401,
    "1004": 401,
    "1002": 402,
    "403": 403,
    "404": 404,
    "1003": 429,
    "2001": 422,
    "2002": 422,
    "422": 422,
    "9999": 422,
}


@pytest.mark.parametrize("code", EVERY_CODE)
async def test_every_code_on_request(account: Account, code: str) -> None:
    message_id = await account.take()
    await account.simulator.fault("*", "code", code=code, times=2)
    replies = [await account.post(order()), await account.ask(message_id)]
    await account.simulator.fault("send", "phone_code", code=int(code), times=1)
    replies.append(await account.post(order()))
    assert {reply.status for reply in replies} == {EVERY_CODE[code]}
    assert {reply.json()["success"] for reply in replies} == {False}
    said = [reply.json().get("code") for reply in replies]
    assert said == ([None] * 3 if code in {"403", "404"} else [int(code), code, None])
    assert await account.simulator.accepted() == 1


async def test_what_colours_an_answer(account: Account) -> None:
    await account.simulator.fault("send", "omit", times=1)
    assert (await account.post(order())).json()["data"] == {}
    await account.simulator.fault("send", "extra_keys", times=1)
    assert (await account.post(order())).json()["data"]["network"] == "Simulated"
    message_id = await account.take()
    await account.simulator.fault("status", "missing_ids", times=1)
    assert await account.word(message_id) is None
    await account.simulator.fault("status", "unknown_word", word="teleported", times=1)
    assert await account.word(message_id) == "teleported"
    await account.simulator.fault("status", "object_form", times=1)
    assert (await account.ask(message_id)).json()["data"].keys() == {
        "message_id",
        "status",
        "reference",
        "sent_at",
    }
    await account.simulator.fault("status", "code18")
    await account.simulator.fault("*", "clock", offset_seconds=3600)
    assert await account.word(message_id) == "delivered"
    assert [fault["hits"] for fault in await account.simulator.faults()][-2:] == [0, 1]
    assert await account.simulator.accepted() == 3
