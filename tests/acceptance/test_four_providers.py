"""Four campaigns at once, one for each provider, polled alone and called back, with real processes."""

import json
import socket
import urllib.request
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.processes import Stack, csv_of, ledger_counts, post_fault
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

RECIPIENTS = 2_000
PROVIDERS = ("lightsms", "loyalty_lt", "seven", "namirial")

# Written from the documents of the simulators, not read from their code: what the last two digits mean.
_REFUSED = dict.fromkeys(("93", "94", "95", "96"), "rejected")
_FATES: dict[str, dict[str, str]] = {
    "lightsms": _REFUSED
    | dict.fromkeys(("92", "97", "98"), "unknown")
    | {"90": "undelivered", "91": "expired", "99": "failed"},
    "loyalty_lt": _REFUSED
    | dict.fromkeys(("92", "97", "98"), "unknown")
    | {"88": "failed", "90": "failed", "91": "expired", "99": "rejected"},
    "seven": _REFUSED
    | dict.fromkeys(("85", "92", "97", "98"), "unknown")
    | {"86": "rejected", "90": "undelivered", "91": "expired", "99": "failed"},
    "namirial": _REFUSED
    | dict.fromkeys(("92", "97", "98"), "unknown")
    | {"87": "rejected", "88": "read", "90": "undelivered", "91": "undelivered", "99": "failed"},
}
_NEVER_ACCEPTED = {
    "lightsms": {"93", "94", "95", "96", "99"},
    "loyalty_lt": {"93", "94", "95", "96", "99"},
    "seven": {"93", "94", "95", "96"},
    "namirial": {"93", "94", "95", "96", "99"},
}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def begin(stack: Stack, *options: str) -> dict[str, str]:
    """A simulator and an account for each provider; gives their URLs."""
    return {
        provider: stack.simulator(
            "--delivery-seconds", "2", *options, provider=provider, account=f"of_{provider}"
        )
        for provider in PROVIDERS
    }


def submit(stack: Stack) -> dict[str, str]:
    """A campaign on each account; gives their ids."""
    made = {}
    for place, provider in enumerate(PROVIDERS):
        # Each its own numbers: who is on the stop list of one provider gets nothing by another.
        rows = [{"phone": f"+3706{place:03d}{n:04d}"} for n in range(RECIPIENTS)]
        command = ("submit", "-", "--account", f"of_{provider}", "--text", f"Hello from {provider}")
        made[provider] = stack.json(*command, stdin=csv_of(rows))["id"]
    return made


def check(stack: Stack, urls: dict[str, str], campaigns: dict[str, str]) -> None:
    """Every message as its fate says, each phone once in each ledger."""
    for provider, campaign_id in campaigns.items():
        status = stack.finished(campaign_id, seconds=200)
        fates = _FATES[provider]
        lines = stack.export(campaign_id)
        wrong = Counter(
            (line["phone"][-2:], line["state"], fates.get(line["phone"][-2:], "delivered"))
            for line in lines
            # Delivered is settled: whether it was read as well is nobody's to ask for, only to be told.
            if line["state"].replace("read", "delivered")
            != fates.get(line["phone"][-2:], "delivered").replace("read", "delivered")
        )
        assert not wrong, (provider, wrong)
        assert len(lines) == RECIPIENTS
        expected = Counter(line["state"] for line in lines)
        assert {state: count for state, count in status["totals"].items() if count} == expected
        ledger = ledger_counts(urls[provider])
        taken = {line["phone"][1:] for line in lines if line["phone"][-2:] not in _NEVER_ACCEPTED[provider]}
        assert set(ledger) == taken, provider
        assert set(ledger.values()) == {1}, provider


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_four_campaigns_at_once_polled_alone(stack: Stack) -> None:
    urls = begin(stack)
    stack.settings |= {"POLL__FIRST_SECONDS": "1", "POLL__MAX_SECONDS": "3", "POLL__GIVE_UP_SECONDS": "45"}
    stack.worker()
    stack.beat()
    check(stack, urls, submit(stack))


def test_four_campaigns_at_once_called_back_and_repaired_by_polling(stack: Stack) -> None:
    """A fifth of the callbacks lost, a fifth doubled, all of them out of order."""
    port = free_port()
    stack.settings |= {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CALLBACK_SECRET": "a-secret-for-the-tests-alone",
        "POLL__FIRST_SECONDS": "1",
        "POLL__AFTER_CALLBACK_SECONDS": "12",
        "POLL__MAX_SECONDS": "10",
        "POLL__GIVE_UP_SECONDS": "60",
    }
    urls = begin(stack)
    address = stack.run("account", "of_seven", "callback-url").stdout.decode().strip()
    stack.stop("simulator-of_seven")
    stack.log("simulator-of_seven").unlink()
    urls["seven"] = stack.simulator(
        *("--delivery-seconds", "2", "--callback-url", address), provider="seven", account="of_seven"
    )
    for provider in PROVIDERS[1:]:
        for kind, more in (
            ("lost", {"probability": 0.2}),
            ("doubled", {"probability": 0.2}),
            ("delayed", {"seconds": 3.0}),
        ):
            post_fault(urls[provider], {"endpoint": "callback", "kind": kind, **more})
    stack.worker()
    stack.beat()
    stack.start("web", "campaigns", "web", "--port", str(port))
    wait_until(lambda: "listening on" in stack.log("web").read_text(), "the web listens")

    check(stack, urls, submit(stack))

    for provider in PROVIDERS[1:]:
        counts = wait_until(
            lambda url=urls[provider]: (c := ask(f"{url}/_callbacks"))["waiting"] == 0 and c,
            "every callback was made",
        )
        assert counts["lost"] > 50, provider
        assert counts["doubled"] > 50, provider
        assert counts["taken"] == counts["made"] - counts["lost"] + counts["doubled"], (provider, counts)
        asked = ask(f"{urls[provider]}/_ledger")["requests"].get("status", 0)
        assert asked < RECIPIENTS, f"{provider} was asked {asked} times although it calls back"
