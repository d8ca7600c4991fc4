"""A receiver hears of a campaign, in order and each event once at least, also of what a worker was delivering
when it was killed. It is the one of docs/webhooks.md.
"""

import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.processes import Stack, csv_of
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"


@pytest.mark.timeout(240)
def test_a_receiver_hears_all_in_order_though_a_worker_is_killed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings |= {"WEBHOOK_ALLOW": "127.0.0.0/8", "ALLOW_PLAIN_HTTP": "yes"}
    stack.simulator("--delivery-seconds", "1")
    with socket.socket() as hanging:  # takes a connection, and never answers
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        hanging.settimeout(30)
        port = hanging.getsockname()[1]
        made = stack.json("webhook", "create", f"http://127.0.0.1:{port}/hook")
        killed = stack.worker("first")
        stack.beat()
        rows = [{"phone": f"+3706000{n:04d}"} for n in range(250)]
        # Later, so that the worker holds nothing but the delivery when it is killed.
        at = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
        submitted = stack.json(
            "submit", "-", "--account", "main", "--text", "Hi", "--at", at, stdin=csv_of(rows)
        )
        connection, _ = hanging.accept()
        with connection:
            assert connection.recv(4) == b"POST"
            killed.kill()
            killed.wait()

    (code,) = re.findall(r"```python\n# receiver\.py.*?\n```", DOCUMENT.read_text(), flags=re.DOTALL)
    (stack.directory / "receiver.py").write_text("\n".join(code.splitlines()[1:-1]))
    monkeypatch.setenv("WEBHOOK_SECRET", made["secret"])
    monkeypatch.setenv("PORT", str(port))
    stack.start("receiver", "python", "receiver.py")
    stack.worker("second")
    stack.finished(submitted["id"])

    def heard() -> list[tuple[str, str]]:
        told = re.findall(r"^([0-9a-f-]{36}) (\S+) ", stack.log("receiver").read_text(), flags=re.MULTILINE)
        return told if told and told[-1][1] == "campaign.finished" else []

    told = wait_until(heard, "the receiver hears of the end", seconds=90)
    assert list(dict.fromkeys(told)) == told, "one that was answered is not sent again"
    assert [kind for _, kind in told] == ["campaign.accepted", "campaign.started", "campaign.finished"]
    shown = stack.json("webhook", "show", made["id"])
    assert [each["state"] for each in shown["deliveries"]] == ["succeeded"] * 3
    assert shown["deliveries"][-1]["attempt"] == 2, "the killed worker's, once more"
    assert shown["waiting_count"] == 0
    logs = "".join(stack.log(name).read_text() for name in ("first", "second", "beat"))
    assert made["secret"] not in logs
    assert "Traceback" not in logs
