"""What becomes of a message at LightSMS: its fate, its life."""

from zoneinfo import available_timezones

import pytest

from tests.contract.simulator.client import PHONE, Simulator
from tests.contract.simulator.conftest import Start


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


async def test_ids_nobody_knows_are_left_out(simulator: Simulator) -> None:
    message_id, never_known = await simulator.accept(PHONE, "37060000098")
    answer = (await simulator.ask("status", state=f"{message_id},,x,{message_id[:-1]}9,{never_known}")).json()
    assert answer == {message_id: "delivered"}
    for unknown in ("x,", never_known):
        assert (await simulator.ask("status", state=unknown)).json() == {"error": "18"}
