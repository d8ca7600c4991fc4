"""The mappings of examples/providers at default settings, in real processes: tried, sent, doubted, known."""

import pytest

from campaigns.providers.http import EXAMPLES
from tests.acceptance.processes import Stack, csv_of, ledger_counts, post_fault
from tests.acceptance.test_default_pace import ask, submit, unhurried
from tests.acceptance.test_four_providers import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

__all__ = ["unhurried"]  # a fixture
ACCOUNT = "ACCOUNTS__MAIN__"
KEYS = {f"{ACCOUNT}API_KEY": "your_api_key", f"{ACCOUNT}API_SECRET": "your_api_secret"}


def opened(stack: Stack, example: str, *options: str) -> str:
    """A simulator, and an account that speaks to it as the example says; gives the simulator's URL."""
    url = stack.simulator("--delivery-seconds", "1", *options, provider="http", at_default_pace=True)
    stack.settings |= {f"{ACCOUNT}MAPPING": str(EXAMPLES / f"{example}.toml"), **KEYS}
    return url


def settle(stack: Stack, url: str, campaign_id: str, count: int) -> None:
    status = stack.finished(campaign_id, seconds=200)
    assert {state: n for state, n in status["totals"].items() if n} == {"delivered": count}
    ledger = ledger_counts(url)
    assert (len(ledger), set(ledger.values())) == (count, {1})


def test_many_recipients_a_request_and_doubt_settled_by_asking(unhurried: Stack) -> None:
    """Infobip: the second of two requests is cut off after all its messages were taken."""
    url = opened(unhurried, "infobip")
    post_fault(url, {"endpoint": "send", "kind": "cut_after", "times": 1, "skip": 1})
    unhurried.worker()
    unhurried.beat()
    settle(unhurried, url, submit(unhurried, "main", 112), 112)
    assert ask(f"{url}/_ledger")["requests"]["send"] == 2


@pytest.mark.parametrize("example", ["twilio", "vonage"])
def test_one_recipient_a_request_and_doubt_settled_by_callbacks(unhurried: Stack, example: str) -> None:
    """Twilio calls back at an address for each message, Vonage at one for all, with our reference."""
    port = free_port()
    unhurried.settings |= {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CALLBACK_SECRET": "a-secret-for-the-tests-alone",
    }
    url = opened(unhurried, example)
    if example == "vonage":
        address = unhurried.run("account", "main", "callback-url").stdout.decode().strip()
        unhurried.stop("simulator")
        unhurried.log("simulator").unlink()
        url = opened(unhurried, example, "--callback-url", address)
    post_fault(url, {"endpoint": "send", "kind": "cut_after", "times": 5})
    unhurried.start("web", "campaigns", "web", "--port", str(port))
    unhurried.worker()
    unhurried.beat()
    wait_until(lambda: "web listening" in unhurried.log("web").read_text(), "the web listens")
    settle(unhurried, url, submit(unhurried, "main", 60), 60)
    logs = "".join(unhurried.log(name).read_text() for name in ("web", "worker", "beat"))
    for hidden in ("your_password", "your_api_secret", "370600000", "Traceback"):
        assert hidden not in logs


def test_one_is_shown_and_sent_when_told_to(stack: Stack) -> None:
    url = opened(stack, "twilio")

    def tried(*more: str, ending: str = "00", code: int = 0) -> str:
        done = stack.run("account", "main", "try", "--phone", f"+370612345{ending}", *more, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout.decode()

    shown = tried("--text", "Labas ąžuole & co")
    assert shown.startswith(f"POST {url}/2010-04-01/Accounts/YourLogin/Messages.json\n")
    assert "Body = Labas ąžuole & co\n" in shown
    assert "Authorization: [hidden]\n" in shown
    assert "61234" not in shown
    assert ledger_counts(url) == {}

    assert "understood as: accepted: its id is SM" in tried("--send")
    assert "answered with HTTP 201" in tried("--send", ending="01")
    assert "understood as: rejected, never to be sent again: " in tried("--send", ending="94", code=1)
    post_fault(url, {"endpoint": "send", "kind": "status_after", "code": 500, "times": 1})
    assert "understood as: in doubt, for it may have been taken: HTTP 500" in tried(
        "--send", ending="02", code=1
    )
    stack.run("suppression", "add", "+37061234503")
    tried("--send", ending="03", code=1)
    assert ledger_counts(url) == {"37061234500": 1, "37061234501": 1, "37061234502": 1}


def test_a_mistake_in_a_mapping_is_said_at_start(alone: Stack) -> None:
    mapping = alone.directory / "mine.toml"
    mapping.write_text('name = "Mine"\n[send]\nurl = "/send"\nform = { To = "{phon}" }\n', encoding="utf-8")
    alone.settings |= {f"{ACCOUNT}PROVIDER": "http", f"{ACCOUNT}MAPPING": str(mapping)}
    alone.settings |= {f"{ACCOUNT}BASE_URL": "https://sms.test"}
    done = alone.run(
        "submit", "-", "--account", "main", "--text", "Hi", stdin=csv_of([{"phone": "1"}]), check=False
    )
    assert done.returncode == 2
    assert done.stderr.decode() == (
        f"Error: CAMPAIGNS_ACCOUNTS__MAIN__MAPPING leads to {mapping}, where send.answer is missing: "
        "where the id, the word and the cost are in the answer\n"
    )
