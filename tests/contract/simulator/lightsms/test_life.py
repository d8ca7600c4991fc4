"""What becomes of a message at LightSMS: its fate, its life."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.lightsms.fates import FATES, Fate, word_at
from tests.contract.simulator.client import PHONE, Simulator
from tests.contract.simulator.conftest import Start


def test_the_table_of_fates() -> None:
    assert {
        "89": Fate(None, "delivered", object_form=True),
        "90": Fate(None, "not_deliver"),
        "91": Fate(None, "expired"),
        "92": Fate(None, "pending"),
        "93": Fate("13", None),
        "94": Fate("16", None),
        "95": Fate("34", None),
        "96": Fate("31", None),
        "97": Fate(None, "sent"),
        "98": Fate(None, None),
        "99": Fate("12", None),
    } == FATES.named
    for ending in range(100):
        assert FATES.of(37060000000 + ending) == FATES.named.get(f"{ending:02d}", Fate(None, "delivered"))


async def test_the_table_is_served_and_kept(simulator: Simulator) -> None:
    served = (await simulator.get("/_fates")).json()
    assert served["any_other"]["final"] == "delivered"
    assert len(served["fates"]) == len(FATES.named)
    phones = {f"{ending:02d}": f"370600000{ending:02d}" for ending in range(100)}
    answer = (await simulator.send(",".join(phones.values()))).json()
    codes = {ending: answer[phone]["error"] for ending, phone in phones.items()}
    ids = {ending: answer[phones[ending]]["id_sms"] for ending, code in codes.items() if code == "0"}
    statuses = (await simulator.ask("status", state=",".join(ids.values()))).json()
    for ending in phones:
        fate = served["fates"].get(ending, served["any_other"])
        assert codes[ending] == (fate["send_code"] or "0")
        status = statuses.get(ids.get(ending))
        if fate["object_form"]:
            assert status.keys() == {"status", "time"}
            assert status["status"] == "deliver"
        else:
            assert status == (None if codes[ending] != "0" else fate["final"])
    assert (await simulator.ask("status", state=ids["98"])).json() == {"error": "18"}


async def test_the_life_of_a_message(start: Start, moment: list[float]) -> None:
    simulator = await start(delivery_seconds=10)
    moment[0] = 1_700_000_000.0
    phones = ["37060000000", "37060000090", "37060000091", "37060000092", "37060000097", "37060000098"]
    ids = await simulator.accept(*phones)

    async def words() -> list[str | None]:
        answer = (await simulator.ask("status", state=",".join(ids))).json()
        return [answer.get(message_id) for message_id in ids]

    assert await words() == ["pending"] * 5 + [None]
    moment[0] += 4.9
    assert await words() == ["pending"] * 5 + [None]
    moment[0] += 0.2
    assert await words() == ["sent", "sent", "sent", "pending", "sent", None]
    moment[0] += 4.8
    assert await words() == ["sent", "sent", "sent", "pending", "sent", None]
    moment[0] += 0.2
    assert await words() == ["delivered", "not_deliver", "expired", "pending", "sent", None]
    moment[0] += 1e6
    assert await words() == ["delivered", "not_deliver", "expired", "pending", "sent", None]


async def test_a_scheduled_message_begins_its_life_then(start: Start, moment: list[float]) -> None:
    simulator = await start(delivery_seconds=0, timezone="UTC")
    moment[0] = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
    answers = [await simulator.send(sendingTime=at) for at in ("2023-11-14 22:14", "2023-11-14 22:14:00")]
    ids = [reply.json()[PHONE]["id_sms"] for reply in answers]
    past = (await simulator.send(sendingTime="2020-01-01 00:00")).json()[PHONE]["id_sms"]
    asked = ",".join([*ids, past])
    assert list((await simulator.ask("status", state=asked)).json().values()) == [
        "pending",
        "pending",
        "delivered",
    ]
    moment[0] += 41
    assert set((await simulator.ask("status", state=asked)).json().values()) == {"delivered"}
    for wrong in ("2023-11-14", "14:06", "2023-02-30 10:00", "2023-1-14 22:14", "2023-11-14T22:14"):
        assert (await simulator.send(sendingTime=wrong)).code == "30"


@pytest.mark.skipif("Europe/Vilnius" not in available_timezones(), reason="no database of time zones here")
async def test_the_account_has_a_time_zone(start: Start, moment: list[float]) -> None:
    simulator = await start(delivery_seconds=0, timezone="Europe/Vilnius")
    moment[0] = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC, two hours later there
    message_id = (await simulator.send(sendingTime="2023-11-15 00:14")).json()[PHONE]["id_sms"]
    assert (await simulator.ask("status", state=message_id)).json() == {message_id: "pending"}
    moment[0] += 41
    assert (await simulator.ask("status", state=message_id)).json() == {message_id: "delivered"}
    assert list((await simulator.ask("stat_by_month", month="2023-11")).json()) == ["2023-11-15"]


LIFE: list[str | None] = ["pending", "sent"]


@given(
    st.integers(0, 99).map(FATES.of),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 50),
)
def test_a_life_never_goes_back(fate: Fate, age: float, older: float, delivery: float) -> None:
    first, then = word_at(fate, age, delivery), word_at(fate, age + older, delivery)
    order = [*LIFE, fate.final] if fate.final not in LIFE else LIFE
    assert (first is None) == (then is None) == (fate.final is None)
    if first is not None and then is not None:
        assert order.index(first) <= order.index(then)
        assert word_at(fate, delivery, delivery) == fate.final


async def test_ids_nobody_knows_are_left_out(simulator: Simulator) -> None:
    (message_id,) = await simulator.accept(PHONE)
    other = str(int(message_id[:12]) + 1)
    wrong = [f"{message_id[:-1]}9", f"{other[:12]}{message_id[12:]}", "", "x" * 22]
    answer = (await simulator.ask("status", state=",".join([*wrong, message_id]))).json()
    assert answer == {message_id: "delivered"}
    assert (await simulator.ask("status", state=",".join(wrong[:2]))).json() == {"error": "18"}
