"""Clients of seven.io that nobody here wrote, in processes of their own, against the simulator on loopback.

`make clients` installs them (`.ci/run` tries to); without them these tests are skipped.
"""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Start
from .hooks import Hooks

KEY = "your_api_key"
SIGNING_KEY = "test_signing_secret"
CLIENTS = Path(__file__).parents[3] / ".venv" / "clients"
PYTHON = CLIENTS / "python"
PACKAGE = CLIENTS / "node" / "node_modules" / "@seven.io" / "client"

needs_sms77api = pytest.mark.skipif(
    not (PYTHON / "sms77api").is_dir(), reason="sms77api is not installed here: make clients"
)
needs_seven_client = pytest.mark.skipif(
    not PACKAGE.is_dir() or shutil.which("node") is None,
    reason="@seven.io/client or node is not installed here: make clients",
)


async def run(*command: str, given: str = "", **environment: str) -> str:
    """What the program wrote; it must end well. No proxy stands between it and the simulator."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **environment},
    )
    try:
        async with asyncio.timeout(60):
            wrote, said = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return wrote.decode()


async def seven_client(task: str, *arguments: str, given: str = "") -> Any:
    program = Path(__file__).with_name("seven_client.mjs")
    return json.loads(await run("node", str(program), task, str(PACKAGE), *arguments, given=given))


@needs_seven_client
@pytest.mark.parametrize("signing_key", ["", SIGNING_KEY], ids=["unsigned", "signed"])
async def test_the_javascript_client(start: Start, signing_key: str) -> None:
    simulator = await start(provider="seven", delivery_seconds=0, signing_key=signing_key)
    said = await seven_client("use", simulator.url, KEY, signing_key)
    (sent,), (later,) = said["sent"]["messages"], said["later"]["messages"]
    assert (said["sent"]["success"], sent["success"], sent["text"]) == ("100", True, "Ačiū & co 😀")
    assert (sent["encoding"], sent["recipient"], sent["sender"]) == ("ucs2", "4917612121212", "Demo")
    assert [status["status"] for status in said["status"]] == ["DELIVERED"]
    assert {entry["id"] for entry in said["outbound"]} == {sent["id"], later["id"]}
    assert [entry["to"] for entry in said["narrowed"]] == ["4917612121213"]
    assert said["others"] == [[], []]
    assert said["deleted"] == {"deleted": [later["id"]], "success": True}
    assert said["added"]["success"] is True
    assert [
        (hook["event_type"], hook["request_method"], hook["target_url"]) for hook in said["listed"]["hooks"]
    ] == [("dlr", "JSON", "https://x.test/a?b=c")]
    assert said["removed"] == {"success": True}
    assert said["left"]["hooks"] == []
    assert said["before"]["currency"] == "EUR"
    assert said["before"]["amount"] - said["after"]["amount"] == pytest.approx(sent["price"])


@needs_seven_client
@pytest.mark.parametrize("method", ["GET", "POST", "JSON"])
async def test_the_javascript_client_knows_our_signed_callbacks(
    start: Start, hooks: Hooks, method: str
) -> None:
    simulator = await start(
        provider="seven",
        delivery_seconds=0.2,
        callback_url=hooks.url + "?tenant=7&x=%2F",
        callback_method=method,
        signing_key=SIGNING_KEY,
    )
    body = {"to": "37060000001", "text": "Hi", "from": "Demo"}
    async with simulator.session.post(
        f"{simulator.url}/api/sms", json=body, headers={"X-Api-Key": KEY, "Accept": "application/json"}
    ) as response:
        assert (await response.json())["success"] == "100"
    await hooks.came(3)
    calls = [
        {"method": call.method, "url": call.url, "body": call.body.decode()}
        | {"headers": {name.lower(): value for name, value in call.headers.items()}}
        for call in hooks.taken
    ]
    changed = [
        {**calls[0], **change}
        for change in (
            {"body": calls[0]["body"] + " "},
            {"url": calls[0]["url"] + "&a=1"},
            {"method": "DELETE"},
            {"headers": {**calls[0]["headers"], "x-nonce": "another"}},
            {"headers": {**calls[0]["headers"], "x-timestamp": "1732809600"}},
            {"headers": {}},
        )
    ]
    answers = await seven_client("verify", SIGNING_KEY, given=json.dumps(calls + changed))
    assert [answer["valid"] for answer in answers] == [True] * 3 + [False] * len(changed)
    answers = await seven_client("verify", "another_secret", given=json.dumps(calls))
    assert [answer["valid"] for answer in answers] == [False] * 3


@needs_sms77api
async def test_the_python_client(start: Start) -> None:
    simulator = await start(provider="seven", delivery_seconds=0)
    program = (
        "import json, sys; from sms77api.Sms77api import Sms77api\n"
        "from sms77api.classes.Journal import JournalType\n"
        "from sms77api.classes.Hooks import HooksAction\n"
        "Sms77api.baseUrl = sys.argv[1] + '/api'; c = Sms77api(sys.argv[2])\n"
        "before = c.balance()\n"
        "text = c.sms('4917612121216', 'Hello', {'from': 'Demo'})\n"
        "sent = c.sms('4917612121217', 'Hello', {'from': 'Demo', 'json': True})\n"
        "status = c.status(int(sent['messages'][0]['id']))\n"
        "journal = c.journal(JournalType.OUTBOUND)\n"
        "c.hooks(HooksAction.SUBSCRIBE, {'target_url': 'https://x.test/a', 'event_type': 'dlr'})\n"
        "hooks = c.hooks(HooksAction.READ)\n"
        "print(json.dumps([before, text, sent, status, journal, hooks, c.balance()]))\n"
    )
    wrote = await run(
        sys.executable, "-W", "ignore", "-c", program, simulator.url, KEY, PYTHONPATH=str(PYTHON)
    )
    before, text, sent, status, journal, hooks, after = json.loads(wrote)
    assert (text, sent["success"]) == ("100", "100")
    assert "DELIVERED" in str(status)
    assert [entry["to"] for entry in journal] == ["4917612121217", "4917612121216"]
    assert [hook["target_url"] for hook in hooks["hooks"]] == ["https://x.test/a"]
    assert before - after == pytest.approx(2 * sent["total_price"])
