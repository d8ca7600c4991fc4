"""What a person can mend, and whom nothing is to be sent to any more, with real processes."""

import pytest

from tests.acceptance.processes import Stack, csv_of, ledger_counts
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


def rows(count: int) -> list[dict[str, str]]:
    """Numbers that are delivered to."""
    return [{"phone": f"+3706{n // 80:05d}{n % 80:02d}"} for n in range(count)]


@pytest.mark.parametrize("provider", ["lightsms", "loyalty_lt"])
def test_a_sender_that_is_not_approved_spends_nobody(stack: Stack, provider: str) -> None:
    """It burnt 5,000 recipients in two seconds, and no line said why."""
    url = stack.simulator("--delivery-seconds", "0", provider=provider)
    stack.settings["POLL__GIVE_UP_SECONDS"] = "600"
    stack.worker()
    stack.beat()
    submit = ("submit", "-", "--account", "main", "--text", "Hello", "--sender-id")
    held = stack.json(*submit, "NotMine", stdin=csv_of(rows(200)))["id"]
    hold = wait_until(lambda: stack.json("status", held)["campaign_held"], "it is held")

    other = stack.json(*submit, "Demo", stdin=csv_of(rows(3)))["id"]
    assert stack.finished(other)["totals"]["delivered"] == 3  # the account goes on

    assert hold["about"] == "sender"
    status = wait_until(
        lambda: (found := stack.json("status", held))["totals"]["queued"] == 200 and found, "all wait"
    )
    assert status["state"] == "running"
    said = stack.run("status", held).stdout.decode()
    assert f"(code {hold['code']})" in said
    assert f"campaigns resume {held}" in said
    assert "(on hold)" in stack.run("list").stdout.decode()
    lines = [line for line in stack.log("worker").read_text().splitlines() if "campaign on hold" in line]
    assert len(lines) == 1
    assert hold["reason"] in lines[0]

    assert held in stack.run("doctor", check=False).stdout.decode()

    too_long = stack.run("resume", held, "--sender-id", "A name of many words", check=False)
    assert (provider == "loyalty_lt") is (b"Loyalty.lt takes at most 11" in too_long.stderr)
    if provider == "lightsms":  # a name it may have approved of: refused once more
        wait_until(lambda: stack.json("status", held)["campaign_held"], "it is held again")
    stack.run("resume", held, "--sender-id", "Demo")
    finished = stack.finished(held)

    assert finished["totals"]["delivered"] == 200
    assert finished["campaign_held"] is None
    assert sum(ledger_counts(url).values()) == 203


def test_who_opts_out_while_a_campaign_is_paused_gets_nothing(stack: Stack) -> None:
    url = stack.simulator("--delivery-seconds", "0")
    stack.settings["POLL__GIVE_UP_SECONDS"] = "600"
    numbers = rows(300)
    out = numbers[250]["phone"]
    made = stack.json("submit", "-", "--account", "main", "--text", "Hello", stdin=csv_of(numbers))["id"]
    stack.run("pause", made)
    stack.worker()
    stack.beat()

    stack.run("suppression", "add", out)
    stack.run("resume", made)
    totals = stack.finished(made)["totals"]

    assert totals["suppressed"] == 1
    assert out[1:] not in ledger_counts(url)


def test_whom_the_provider_says_to_be_on_its_stop_list_is_suppressed(stack: Stack) -> None:
    stack.simulator("--delivery-seconds", "0")
    stack.worker()
    stack.beat()
    stopped = [{"phone": "+37060000093"}, {"phone": "+37060000095"}, {"phone": "+37060000094"}]
    submit = ("submit", "-", "--account", "main", "--text", "Hello")
    first = stack.json(*submit, stdin=csv_of([*stopped, *rows(2)]))["id"]
    assert stack.finished(first)["totals"]["rejected"] == 3  # 94: an invalid number opts nobody out

    totals = stack.json(*submit[:-1], "Hello again", stdin=csv_of([*stopped, *rows(2)]))["totals"]

    assert totals["suppressed"] == 2
    listed = stack.run("suppression", "list").stdout.decode()
    assert "code 13" in listed
    assert "code 34" in listed
