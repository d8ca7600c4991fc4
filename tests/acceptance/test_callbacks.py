"""Final words by callback alone: simulator, web, worker and beat as real processes, and no question asked."""

import re
import socket
import urllib.request

import pytest

from simulator import server
from tests.acceptance.processes import Stack, csv_of, ledger_counts
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

SIGNING_KEY = "signing-key-of-the-test"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("provider", ["loyalty_lt", "seven", "namirial"])
def test_a_campaign_ends_by_callbacks_long_before_its_first_question(stack: Stack, provider: str) -> None:
    """Of delivered numbers; the first question would come after the test's own patience has ended."""
    if provider not in server._PROVIDERS:
        pytest.skip(f"there is no simulator of {provider}")
    port = _free_port()
    stack.settings |= {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CALLBACK_SECRET": "a-secret-of-our-own",
        "POLL__AFTER_CALLBACK_SECONDS": "900",
        "POLL__GIVE_UP_SECONDS": "1000",
    }
    options: list[str] = []
    if provider == "seven":  # requests are signed, as callbacks are
        options = ["--signing-key", SIGNING_KEY]
        stack.settings["ACCOUNTS__MAIN__SIGNING_KEY"] = SIGNING_KEY
    simulator = stack.simulator("--delivery-seconds", "1", *options, provider=provider)
    if provider == "seven":  # it is told once, by its hooks
        missing = stack.run("account", "main", "callback-url", "--check", check=False)
        assert missing.returncode == 1
        assert b"campaigns account main callback-url --register" in missing.stderr
        assert b"has no hook for us" in stack.run("doctor", check=False).stdout
        assert stack.run("account", "main", "callback-url", "--register").stdout == b"registered\n"
        assert b"already" in stack.run("account", "main", "callback-url", "--register").stdout
        assert b"has no hook for us" not in stack.run("doctor", check=False).stdout
    known = stack.run("account", "main", "callback-url", "--check").stdout
    assert known in (b"registered\n", b"its provider is told with each message where to call\n")
    stack.start("web", "campaigns", "web", "--port", str(port))
    stack.worker()
    stack.beat()
    wait_until(lambda: "web listening" in stack.log("web").read_text(), "the web listens")

    rows = [{"phone": f"+3706000{n:02d}{ending:02d}"} for n in range(2) for ending in range(80)]
    campaign_id = stack.json("submit", "-", "--account", "main", "--text", "Hi", stdin=csv_of(rows))["id"]
    status = stack.finished(campaign_id)

    assert status["totals"]["delivered"] + status["totals"]["read"] == 160
    assert ledger_counts(simulator) == {row["phone"][1:]: 1 for row in rows}
    with urllib.request.urlopen(f"{simulator}/_callbacks", timeout=30) as answer:
        assert b'"taken"' in answer.read()
    assert stack.stop("web") == 0
    logs = "".join(stack.log(name).read_text() for name in ("web", "worker", "beat"))
    for word in ("37060000", "a-secret-of-our-own", SIGNING_KEY, "Traceback"):
        assert word not in logs
    assert not re.search(r"/callbacks/main/[^\[]", logs)
