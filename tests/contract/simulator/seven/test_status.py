"""What becomes of a message at seven.io: status, journal, and faults in its own words."""

import json
import time

from tests.contract.simulator.accounts import SevenAccount as Account
from tests.contract.simulator.client import OTHER_PHONE, PHONE
from tests.contract.simulator.conftest import Open

# --- status -----------------------------------------------------------------------------------------


async def test_a_status_comes_in_its_documented_forms(account: Account) -> None:
    ids = await account.accept("37060000001", "37060000090", "37060000098")
    answered = (await account.status(*ids)).json()
    assert [(entry["id"], entry["status"]) for entry in answered] == [
        (ids[0], "DELIVERED"),
        (ids[1], "NOTDELIVERED"),
        (ids[2], None),
    ]
    assert time.strptime(answered[0]["status_time"], "%Y-%m-%d %H:%M:%S.%f")
    assert answered[2]["status_time"] is None
    assert [entry["status"] for entry in (await account.status(ids[0])).json()] == ["DELIVERED"]
    posted = await account.ask(
        "POST", "status", f"msg_id={ids[0]}".encode(), Content_Type="application/x-www-form-urlencoded"
    )
    assert posted.json()[0]["id"] == ids[0]

    text = await account.status(ids[0], Accept="")
    word, moment = text.body.split("\n")
    assert (text.content_type, word) == ("text/plain", "DELIVERED")
    assert time.strptime(moment, "%Y-%m-%d %H:%M:%S.%f")
    assert (await account.status(ids[2], Accept="")).body == ""
    (odd,) = await account.accept("37060000089")
    assert (await account.status(odd)).content_type == "text/plain"  # alone, even where JSON was asked for
    assert len((await account.status(*ids, Accept="")).json()) == 3  # several are always an array


async def test_an_id_nobody_knows_makes_it_901(account: Account) -> None:
    (message_id,) = await account.accept(PHONE)
    for wrong in (f"{message_id[:-1]}9", "", "x"):
        for asked in ((wrong,), (message_id, wrong)):
            assert (await account.status(*asked)).json() == "901"
            assert (await account.status(*asked, Accept="")).body == "901"


async def test_a_delayed_message_begins_its_life_then(open_account: Open, moment: list[float]) -> None:
    account = await open_account(delivery_seconds=0)
    moment[0] = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC, an hour later in Berlin
    ids = []
    for number, delay in enumerate(("2023-11-14 23:14:00", str(1_700_000_040), "2020-01-01 00:00:00")):
        ids += await account.accept(PHONE, text=f"Hello {number}", delay=delay)

    async def words() -> list[str | None]:
        return [entry["status"] for entry in (await account.status(*ids)).json()]

    assert await words() == [None, None, "DELIVERED"]
    assert (await account.status(ids[2])).json()[0]["status_time"] == "2023-11-14 23:13:20.000000"
    moment[0] += 41
    assert await words() == ["DELIVERED"] * 3


# --- journal ----------------------------------------------------------------------------------------


async def test_a_row_of_the_journal_is_as_documented(account: Account) -> None:
    (message_id,) = await account.accept(PHONE, foreign_id="abc-1", label="spring")
    (row,) = await account.journal()
    for name in ("timestamp", "dlr_timestamp"):
        assert time.strptime(row.pop(name), "%Y-%m-%d %H:%M:%S.%f")
    assert row == {
        "id": message_id,
        "to": PHONE,
        "from": "Demo",
        "text": "Hello",
        "price": "0.0144",
        "dlr": "DELIVERED",
        "mccmnc": "24601",
        "latency": "0.0000",
        "type": "direct",
        "channel": "SMS",
        "connection": "http",
        "label": "spring",
        "foreign_id": "abc-1",
    }
    await account.accept("37060000098")
    newest = (await account.journal(limit="1"))[0]
    assert [newest[name] for name in ("dlr", "dlr_timestamp", "latency", "label", "foreign_id")] == [None] * 5


async def test_the_journal_is_paged_newest_first(account: Account) -> None:
    phones = [str(37_060_000_000 + at * 100) for at in range(130)]
    ids = await account.accept(*phones[:100]) + await account.accept(*phones[100:])
    newest = ids[::-1]

    async def asked(**fields: str) -> list[str]:
        return [row["id"] for row in await account.journal(**fields)]

    assert await asked() == newest[:100]
    assert await asked(limit="100", offset="100") == newest[100:]
    assert await asked(limit="7", offset="28") == newest[28:35]
    assert await asked(offset="130") == []
    assert await asked(id=ids[17]) == [ids[17]]
    for number in (phones[3], f"+{phones[3]}", f"00{phones[3]}"):
        assert await asked(to=number) == [ids[3]]
    assert await asked(to="friends") == []
    assert await asked(state="EXPIRED") == []
    assert len(await asked(state="DELIVERED", limit="5")) == 5
    for wrong in (
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"offset": "-1"},
        {"date_from": "20240213"},
        {"date_from": "2024-02-30"},
        {"date_to": "today"},
        {"colour": "red"},
    ):
        assert await account.journal(**wrong) == "308", wrong


async def test_the_journal_is_cut_by_days_of_berlin(open_account: Open, moment: list[float]) -> None:
    account = await open_account()
    moment[0] = 1_700_002_799.0  # 2023-11-14 23:59:59 in Berlin
    (first,) = await account.accept(PHONE)
    moment[0] += 2
    (second,) = await account.accept(OTHER_PHONE)

    async def asked(**fields: str) -> list[str]:
        return [row["id"] for row in await account.journal(**fields)]

    assert await asked(date_from="2023-11-14", date_to="2023-11-14") == [first]
    assert await asked(date_from="2023-11-15") == [second]
    assert await asked(date_to="2023-11-15") == [second, first]
    assert await asked(date_from="2023-11-10", date_to="2023-11-13") == []
    moment[0] += 30 * 86_400
    assert await asked() == [second]
    moment[0] += 86_400
    assert await asked() == []
    assert await asked(date_from="2023-01-01") == [second, first]


# --- faults -----------------------------------------------------------------------------------------


async def test_faults_in_the_words_of_seven(account: Account) -> None:
    simulator = account.simulator
    phones = ["37060000001", "37060000002", "37060000003"]
    await simulator.fault("send", "phone_code", code=600, count=1, times=1)
    document = (await account.send(",".join(phones))).json()
    assert [entry["error"] for entry in document["messages"]] == ["600", None, None]
    await simulator.fault("send", "omit", count=2, times=1)
    await simulator.fault("send", "extra_keys", times=1)
    (only,) = (await account.send(",".join(phones), text="2")).json()["messages"]
    assert (only["recipient"], only["network"]) == (phones[0], "Simulated")
    assert await simulator.accepted() == 5
    await simulator.fault("send", "int_codes", times=1)
    document = (await account.send(",".join(phones), text="3")).json()
    assert document["success"] == 100
    ids = [str(entry["id"]) for entry in document["messages"]]
    assert isinstance(document["messages"][0]["id"], int)

    await simulator.fault("status", "code18", times=1)
    assert (await account.status(*ids[:1])).json()[0]["status"] == "DELIVERED"
    assert (await account.status(*ids)).json() == "901"
    await simulator.fault("status", "code18", poison=ids[1], times=2)
    assert (await account.status(ids[0], ids[2])).json()[0]["status"] == "DELIVERED"
    assert (await account.status(ids[1])).json() == "901"
    await simulator.delete("/_faults")
    await simulator.fault("status", "unknown_word", word="TELEPORTED", times=1)
    assert {entry["status"] for entry in (await account.status(*ids)).json()} == {"TELEPORTED"}
    await simulator.fault("status", "missing_ids", count=2, times=1)
    assert [entry["id"] for entry in (await account.status(*ids)).json()] == ids[2:]
    await simulator.fault("status", "object_form", times=1)
    assert (await account.status(ids[0])).json()["status"] == "DELIVERED"
    await simulator.fault("status", "int_codes", times=2)
    entry = (await account.status(ids[0])).json()[0]
    assert (entry["id"], entry["status_time"].isdigit()) == (int(ids[0]), True)
    _, moment = (await account.status(ids[0], Accept="")).body.split("\n")
    assert abs(int(moment) - time.time()) < 10


async def test_the_ledger_tells_all(account: Account) -> None:
    await account.accept(PHONE, OTHER_PHONE)
    await account.status("1")
    await account.journal()
    await account.ask("GET", "balance")
    ledger = await account.simulator.ledger()
    assert ledger["requests"] == {"send": 1, "status": 1, "journal": 1, "balance": 1}
    counts = (await account.simulator.get("/_ledger?counts=1")).body.splitlines()
    assert {json.loads(line)["phone"] for line in counts} == {PHONE, OTHER_PHONE}
    assert len((await account.simulator.get("/_ledger?full=1")).body.splitlines()) == 2
