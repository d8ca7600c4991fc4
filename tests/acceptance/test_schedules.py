"""A campaign that waits for its time, and one whose time is over: by the README's own commands."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.processes import Stack, csv_of, ledger_counts
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

ROWS = [{"phone": "+37060000001"}, {"phone": "+37060000002"}]


def test_a_campaign_waits_for_its_time_and_is_moved(stack: Stack) -> None:
    url = stack.simulator("--delivery-seconds", "0")
    stack.worker()
    stack.beat()
    submit = ("submit", "-", "--account", "main", "--text", "Hello")
    unclear = stack.run(*submit, "--at", "2099-06-01 09:30", stdin=csv_of(ROWS), check=False)
    assert unclear.returncode == 1
    assert "names no offset from UTC" in unclear.stderr.decode()

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    at = tomorrow.strftime("%Y-%m-%d %H:%M:%S")
    scheduled = stack.json(*submit, "--at", at, "--zone", "UTC", stdin=csv_of(ROWS))
    assert (scheduled["waits_for"], scheduled["send_at"][:19]) == ("send_at", at.replace(" ", "T"))
    # Another campaign goes by in the meantime: beat ticks, the worker works.
    passing = stack.json(*submit, "--name", "now", stdin=csv_of([{"phone": "+37060000003"}]))
    assert stack.finished(passing["id"])["totals"]["delivered"] == 1
    assert set(ledger_counts(url)) == {"37060000003"}
    assert "nothing is handed over before" in stack.run("status", scheduled["id"]).stdout.decode()

    moved = stack.run("reschedule", scheduled["id"], "--at", datetime.now(UTC).isoformat())
    assert moved.stdout.startswith(b"2 messages wait until")
    assert stack.finished(scheduled["id"])["totals"]["delivered"] == 2
    assert set(ledger_counts(url).values()) == {1}


def test_what_is_not_handed_over_in_time_expires(stack: Stack) -> None:
    url = stack.simulator("--delivery-seconds", "0")
    last = datetime.now(UTC) + timedelta(seconds=25)
    submitted = stack.json(
        *("submit", "-", "--account", "main", "--text", "Hello", "--not-after", last.isoformat()),
        stdin=csv_of(ROWS),
    )
    wait_until(lambda: datetime.now(UTC) > last, "its time is over", every=0.5)
    stack.worker()
    stack.beat()
    status = stack.finished(submitted["id"])
    assert (status["state"], status["totals"]["expired"]) == ("failed", 2)
    assert {line["reason"] for line in stack.export(submitted["id"])} == {
        "not handed over by the campaign's not_after"
    }
    assert not ledger_counts(url)
