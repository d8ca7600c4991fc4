"""Final words by callback alone: simulator, web, worker and beat as real processes, and no question asked."""

import re
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

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
    ports = {"web": _free_port(), "worker": _free_port(), "beat": _free_port()}
    stack.settings["METRICS_PORT"] = str(ports["web"])
    stack.start("web", "campaigns", "web", "--port", str(port))
    stack.settings["METRICS_PORT"] = str(ports["worker"])
    stack.worker()
    stack.settings["METRICS_PORT"] = str(ports["beat"])
    stack.beat()
    del stack.settings["METRICS_PORT"]
    wait_until(lambda: "web listening" in stack.log("web").read_text(), "the web listens")

    rows = [{"phone": f"+3706000{n:02d}{ending:02d}"} for n in range(2) for ending in range(80)]
    campaign_id = stack.json("submit", "-", "--account", "main", "--text", "Hi", stdin=csv_of(rows))["id"]
    status = stack.finished(campaign_id)

    assert status["totals"]["delivered"] + status["totals"]["read"] == 160
    _tells_machines(ports, port, provider)
    assert ledger_counts(simulator) == {row["phone"][1:]: 1 for row in rows}
    with urllib.request.urlopen(f"{simulator}/_callbacks", timeout=30) as answer:
        assert b'"taken"' in answer.read()
    assert stack.stop("web") == 0
    logs = "".join(stack.log(name).read_text() for name in ("web", "worker", "beat"))
    for word in ("37060000", "a-secret-of-our-own", SIGNING_KEY, "Traceback"):
        assert word not in logs
    assert not re.search(r"/callbacks/main/[^\[]", logs)


def _tells_machines(ports: dict[str, int], public_port: int, provider: str) -> None:
    """Each process on its own port, and none at the public one: the sums add up, and no number is told."""
    said = {
        name: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        for name, port in ports.items()
    }
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{public_port}/metrics")

    def total(process: str, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(said[process])
            for sample in family.samples
            if sample.name == f"campaigns_{name}" and labels.items() <= sample.labels.items()
        )

    of_account = {"account": "main", "provider": provider}
    assert total("worker", "sending_messages_total", **of_account, outcome="accepted") == 160
    assert total("worker", "sending_messages_total") == 160
    assert total("worker", "sending_request_seconds_count", provider=provider) > 0
    assert total("worker", "wire_requests_total", kind="hand_over", result="2xx") > 0
    assert total("worker", "batches_dealt_total", work="sending") >= 2
    assert total("web", "receipts_total", source="callback") >= 160
    assert total("web", "callbacks_total", account="main", status="200") > 0
    assert total("web", "callbacks_write_seconds_count") > 0
    assert total("beat", "beat_ticks_total", outcome="published") > 0
    assert (total("web", "workers"), total("web", "database_up"), total("web", "redis_up")) == (1, 1, 1)
    assert 0 <= total("web", "tick_age_seconds") < 30
    assert total("web", "recipients_last_hour", account="main") == 160
    assert total("web", "messages") == total("web", "account_held") == 0  # all is over
    for process, text in said.items():
        assert f'process="{process}"' in text
        assert not re.search(r"3706000|[0-9a-f]{8}-[0-9a-f]{4}-", text), "a number or an id"
        assert len(text.splitlines()) < 600
