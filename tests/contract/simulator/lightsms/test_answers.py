"""LightSMS's answers: their forms, money, statistics, the stop list."""

import time
from decimal import Decimal

from tests.contract.simulator.client import PHONE, Simulator
from tests.contract.simulator.conftest import Start

# --- answers ----------------------------------------------------------------------------------------


async def test_a_send_is_answered_by_number_in_text(simulator: Simulator) -> None:
    reply = await simulator.send("37062345678,37061234567,37060000096")
    assert (reply.status, reply.content_type) == (200, "application/json")
    answer = reply.json()
    assert list(answer) == ["37062345678", "37061234567", "37060000096"]
    first, second, third = answer.values()
    for entry in (first, second):
        assert entry.keys() == {"error", "id_sms", "cost", "count_sms"}
        assert (entry["error"], entry["cost"], entry["count_sms"]) == ("0", "0.0144", "1")
        assert len(entry["id_sms"]) == 22
        assert entry["id_sms"].isdigit()
    assert int(second["id_sms"]) == int(first["id_sms"]) + 1
    assert third == {"error": "31"}


async def test_xml_and_text(simulator: Simulator) -> None:
    xml = (await simulator.send("37061234567,37060000096", **{"return": "xml"})).body
    message_id = xml.split('id_sms="')[1][:22]
    assert xml == (
        '<?xml version="1.0" encoding="utf-8"?>\n<response>\n<phones>\n'
        f'<phone phone="37061234567" error="0" id_sms="{message_id}" cost="0.0144" count_sms="1" />\n'
        '<phone phone="37060000096" error="31" />\n</phones>\n</response>\n'
    )
    assert (await simulator.ask("status", state=message_id, **{"return": "xml"})).body == (
        '<?xml version="1.0" encoding="utf-8"?>\n<response>\n<statuses>\n'
        f'<status id_sms="{message_id}" status="delivered" />\n</statuses>\n</response>\n'
    )
    assert "<error>9</error>" in (await simulator.send(sender="Other", **{"return": "xml"})).body
    for given_as in ("", "nothing at all"):
        query = simulator.signed(phone=PHONE, sender="Demo", text="Hello", **{"return": ""})
        if given_as:
            del query["return"]  # an empty value adds nothing to what is signed
        reply = await simulator.get(simulator.target("send", query))
        assert reply.json()[PHONE]["error"] == "0"
    assert (await simulator.send(sender="Other", **{"return": ""})).json() == {PHONE: {"error": "9"}}
    assert (
        await simulator.ask("status", state=message_id, **{"return": ""})
    ).body == f"{message_id};delivered\n"


async def test_the_timestamp_is_plain_text_that_wants_trimming(simulator: Simulator) -> None:
    before = int(time.time())
    reply = await simulator.get("/external/get/timestamp.php")
    assert reply.content_type == "text/plain"
    assert reply.body != reply.body.strip()
    assert before <= int(reply.body) <= int(time.time())


async def test_a_number_named_twice_is_sent_to_twice(simulator: Simulator) -> None:
    answer = (await simulator.send(f"{PHONE},37062345678,{PHONE}")).json()
    assert list(answer) == [PHONE, "37062345678"]
    assert int(answer[PHONE]["id_sms"]) == int(answer["37062345678"]["id_sms"]) + 1  # the last of the two
    ledger = await simulator.ledger()
    assert (ledger["accepted"], ledger["phones"], ledger["most_per_phone"]) == (3, 2, 2)
    assert ledger["repeated"] == [PHONE]


# --- money ------------------------------------------------------------------------------------------


async def test_every_acceptance_takes_from_the_balance(start: Start) -> None:
    simulator = await start(balance=Decimal("0.0864"), currency="PLN")
    assert (await simulator.ask("balance")).json() == {"money": "0.0864", "currency": "PLN"}
    await simulator.send("37060000001,37060000093,37060000002", text="a" * 161)  # one of them is refused
    assert (await simulator.ask("balance")).json() == {"money": "0.0288", "currency": "PLN"}
    assert (await simulator.send("37060000001,37060000002,37060000003")).code == "32"
    assert (await simulator.send("37060000001,37060000002")).code == "0"  # the last cent
    assert (await simulator.send("37060000001")).code == "32"
    assert (await simulator.ask("balance")).json()["money"] == "0.0000"
    assert await simulator.accepted() == 4


# --- statistics and the stop list -------------------------------------------------------------------


async def test_statistics_count_what_came_to_an_end(simulator: Simulator) -> None:
    await simulator.send("37060000001,37060000002,37060000089,37060000090,37060000092,37060000093")
    await simulator.send("37060000091,37060000090,37060000097,37060000098", text="a" * 161)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    expected = {
        "deliver": {"cost": "0.043", "parts": "3"},
        "not_deliver": {"cost": "0.043", "parts": "3"},
        "expired": {"cost": "0.029", "parts": "2"},
    }
    assert (await simulator.ask("stat_by_month", month=day[:7])).json() == {day: expected}
    listed = (await simulator.ask("stat_by_month", month=day[:7], **{"return": "array"})).json()
    assert listed == [{"date": day, "stats": [{"status": word, **entry} for word, entry in expected.items()]}]
    assert (await simulator.ask("stat_by_month", month=day[:7], **{"return": "xml"})).body == (
        '<?xml version="1.0" encoding="utf-8"?>\n<response>\n<statistics>\n'
        f'<date date="{day}" deliver_cost="0.043" deliver_parts="3" not_deliver_cost="0.043" '
        'not_deliver_parts="3" expired_cost="0.029" expired_parts="2" />\n</statistics>\n</response>\n'
    )
    assert (await simulator.ask("stat_by_month", month="2020-01")).code == "19"


async def test_statistics_of_unfinished_messages_are_empty(start: Start) -> None:
    simulator = await start(delivery_seconds=1000)
    await simulator.accept(PHONE)
    month = time.strftime("%Y-%m", time.gmtime())
    assert (await simulator.ask("stat_by_month", month=month)).code == "19"


async def test_the_stop_list(simulator: Simulator) -> None:
    for ending in ("93", "95"):
        found = (await simulator.ask("find_on_stop", phone=f"370600000{ending}")).json()
        assert found.keys() == {"time_in", "description"}
    assert (await simulator.ask("find_on_stop", phone=PHONE)).json() == {}
