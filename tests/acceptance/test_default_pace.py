"""All four providers at their default settings: pace, polls, deadlines. Few recipients, nothing hurried."""

import time

import pytest

from tests.acceptance.processes import Stack, csv_of, ledger_counts, post_fault
from tests.acceptance.test_four_providers import ask

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

# Where a request takes one message, as many as leave within about half a minute.
RECIPIENTS = {"lightsms": 300, "loyalty_lt": 25, "seven": 300, "namirial": 80}
IN_DOUBT = 20


@pytest.fixture
def unhurried(stack: Stack) -> Stack:
    """A stack with no setting but where its servers are."""
    stack.settings = {key: stack.settings[key] for key in ("DATABASE_URL", "REDIS_URL", "DATA_DIR")}
    return stack


def submit(stack: Stack, account: str, count: int) -> str:
    rows = [{"phone": f"+3706{n // 80:05d}{n % 80:02d}"} for n in range(count)]
    return str(
        stack.json("submit", "-", "--account", account, "--text", f"Hello {account}", stdin=csv_of(rows))[
            "id"
        ]
    )


def test_by_polling_alone_everything_is_known_in_the_time_the_pace_needs(unhurried: Stack) -> None:
    """Delivered within a second, asked after ten: a question or two a message are enough. And doubt, of every
    answer that was cut off after its message was taken, is settled by asking for each.
    """
    urls = {
        provider: unhurried.simulator(
            "--delivery-seconds", "1", provider=provider, account=f"of_{provider}", at_default_pace=True
        )
        for provider in RECIPIENTS
    }
    doubted = unhurried.simulator(
        "--delivery-seconds", "1", provider="namirial", account="doubted", at_default_pace=True
    )
    post_fault(doubted, {"endpoint": "send", "kind": "cut_after", "times": 1_000})
    unhurried.worker()
    unhurried.beat()
    begins = time.monotonic()
    campaigns = {provider: submit(unhurried, f"of_{provider}", n) for provider, n in RECIPIENTS.items()}
    in_doubt = submit(unhurried, "doubted", IN_DOUBT)

    for provider, campaign_id in campaigns.items():
        status = unhurried.finished(campaign_id, seconds=150)
        count = RECIPIENTS[provider]
        assert {state: n for state, n in status["totals"].items() if n} == {"delivered": count}, provider
        assert set(ledger_counts(urls[provider]).values()) == {1}, provider
        assert ask(f"{urls[provider]}/_ledger")["requests"]["status"] <= 2 * count, provider
    # 25 sends at one a second, or 80 sends and 80 questions at five; ten seconds before the first question.
    assert time.monotonic() - begins < 120

    status = unhurried.finished(in_doubt, seconds=240)
    assert {state: n for state, n in status["totals"].items() if n} == {"delivered": IN_DOUBT}
    assert set(ledger_counts(doubted).values()) == {1}
