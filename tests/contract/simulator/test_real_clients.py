"""What clients that nobody here wrote send, against the simulators over real HTTP.

Their requests are repeated byte for byte; those that can be installed run in test_installed_clients.py.
Sources: Symfony LightSmsTransport and Sms77Transport (Notifier/Bridge), seven-io/php-client,
@seven.io/client 5.6 (npm), sms77api 2.0 (PyPI).
"""

import hashlib
import json
import time
from urllib.parse import quote_plus, urlencode

import pytest

from .client import Reply, Simulator
from .conftest import Start

KEY = "your_api_key"
AS_JSON = {"Accept": "application/json", "Content-Type": "application/json", "X-Api-Key": KEY}


async def request(simulator: Simulator, method: str, path: str, body: object = None, **headers: str) -> Reply:
    data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with simulator.session.request(
        method, simulator.url + path, data=data, headers={**AS_JSON, **named}
    ) as response:
        return Reply(response.status, response.content_type, await response.text())


# --- LightSMS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("phone", ["+37061234567", "37061234568"])
@pytest.mark.parametrize("text", ["Hello", "Ačiū 😀"])
async def test_symfonys_lightsms_transport(start: Start, phone: str, text: str) -> None:
    """No `return`, + written as 00, signed by its own clock; it reads JSON by the number as it sent it."""
    simulator = await start()
    phone = phone.replace("+", "00")
    data = {"login": "YourLogin", "phone": phone, "text": text, "sender": "YourSender"}
    data["timestamp"] = str(int(time.time()))
    signed = "".join(data[name] for name in sorted(data)) + KEY
    data["signature"] = hashlib.md5(signed.encode()).hexdigest()  # noqa: S324  the provider's own scheme
    reply = await simulator.get(f"/external/get/send.php?{urlencode(data)}")
    entry = reply.json()[phone]
    assert (entry["error"], len(entry["id_sms"])) == ("0", 22)
    wrong = {**data, "signature": "x"}
    assert (await simulator.get(f"/external/get/send.php?{urlencode(wrong)}")).code == "6"


@pytest.mark.parametrize("sending_time", ["2050-05-30 14:06", "2050-05-30 14:06:00"])
async def test_both_forms_of_a_sending_time(start: Start, sending_time: str) -> None:
    simulator = await start()
    assert (await simulator.send(sendingTime=sending_time)).json()["37061234567"]["error"] == "0"


# --- seven.io ---------------------------------------------------------------------------------------


async def test_symfonys_sms77_transport(start: Start) -> None:
    simulator = await start(provider="seven")
    for sender in ("Demo", None):
        body = {"from": sender, "json": 1, "text": f"Hello {sender}", "to": "+4917612121212"}
        answered = (await request(simulator, "POST", "/api/sms", body, Accept="*/*")).json()
        assert int(answered["success"]) == 100
        assert int(answered["messages"][0]["id"]) > 0


@pytest.mark.parametrize(
    "delay",
    [2556057600000, 2556057600, "2050-12-31 12:00", "2050-12-31 12:00:00", "2050-12-31T12:00:00+00:00"],
    ids=["milliseconds (js)", "seconds", "Y-m-d H:i (php)", "as documented", "ISO 8601"],
)
async def test_every_form_of_a_delay_and_taking_it_back(start: Start, delay: object) -> None:
    simulator = await start(provider="seven", delivery_seconds=0)
    body = {"text": "Hi", "delay": delay, "to": "4917612121212"}
    (message,) = (await request(simulator, "POST", "/api/sms", body)).json()["messages"]
    before = (await request(simulator, "GET", "/api/balance")).json()["amount"]
    (status,) = (await request(simulator, "GET", f"/api/status?msg_id={message['id']}")).json()
    assert status["status"] is None
    deleted = (await request(simulator, "DELETE", "/api/sms", {"ids": message["id"]})).json()
    assert deleted == {"deleted": [message["id"]], "success": True}
    assert (await request(simulator, "GET", "/api/balance")).json()["amount"] > before
    again = (await request(simulator, "DELETE", f"/api/sms?ids[0]={message['id']}")).json()
    assert again == {"deleted": None, "success": False}


async def test_the_javascript_clients_journal(start: Start) -> None:
    simulator = await start(provider="seven", delivery_seconds=0)
    await request(simulator, "POST", "/api/sms", {"text": "Hi", "from": "Demo", "to": "4917612121212"})
    shown = time.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)", time.gmtime())
    for query in (
        "date_from=undefined&date_to=undefined",
        f"limit=5&to=4917612121212&date_from={quote_plus(shown)}",
        "",
        "id=&limit=&state=&to=",
    ):
        assert len((await request(simulator, "GET", f"/api/journal/outbound?{query}")).json()) == 1, query
    for kind, count in (("outbound", 1), ("inbound", 0), ("voice", 0)):
        for path in (f"journal?type={kind}", f"journal/{kind}"):
            assert len((await request(simulator, "GET", f"/api/{path}")).json()) == count


async def test_hooks_are_added_and_removed(start: Start) -> None:
    simulator = await start(provider="seven", callback_url="https://x.test/first")
    body = {"request_method": "JSON", "event_type": "dlr", "target_url": "https://x.test/a?b=c"}
    made = (await request(simulator, "POST", "/api/hooks", body)).json()
    assert made["success"] is True
    listed = (await request(simulator, "GET", "/api/hooks")).json()
    assert [hook["target_url"] for hook in listed["hooks"]] == [
        "https://x.test/first",
        "https://x.test/a?b=c",
    ]
    for wrong in ({"event_type": "x"}, {"target_url": "ftp://x.test"}, {"request_method": "PUT"}):
        refused = (await request(simulator, "POST", "/api/hooks", {**body, **wrong})).json()
        assert refused["success"] is False
    assert (await request(simulator, "DELETE", "/api/hooks", {"id": made["id"]})).json() == {"success": True}
    assert (await request(simulator, "DELETE", f"/api/hooks?id={made['id']}")).json() == {"success": False}
    old = (await request(simulator, "POST", "/api/hooks?action=read")).json()
    assert len(old["hooks"]) == 1


async def test_the_key_as_a_field_as_sms77_had_it(start: Start) -> None:
    simulator = await start(provider="seven")
    query = urlencode({"to": "4917612121216", "text": "Hello", "from": "Demo", "p": KEY})
    async with simulator.session.post(f"{simulator.url}/api/sms?{query}") as response:
        assert await response.text() == "100"
    async with simulator.session.post(f"{simulator.url}/api/sms?{query}&json=1&no_reload=1") as response:
        assert (await response.json())["success"] == "100"
    async with simulator.session.get(f"{simulator.url}/api/balance?p={KEY}") as response:
        assert float(await response.text()) > 900
