"""`campaigns demo`: runs to its end, and Ctrl-C at any moment leaves no process behind."""

import re
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator import server
from tests.acceptance.processes import Stack, csv_of, processes_of
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def _campaign_of(log: str) -> str | None:
    found = re.search(r"campaign ([0-9a-f-]{36})", log)
    return found[1] if found else None


def test_ctrl_c_at_any_moment_then_a_whole_run(alone: Stack) -> None:
    """Interrupted while starting, submitting and running: nothing is left; then it runs to its end, and is
    kept for who looks at it.
    """
    # As seen in its log and, while it has said nothing yet, in what it has loaded: after Python's own start,
    # which answers Ctrl-C with a traceback.
    moments: list[tuple[str, Callable[[str, str], bool]]] = [
        ("while it loads", lambda log, loaded: "pydantic_core" in loaded),
        ("while the servers start", lambda log, _: "starting PostgreSQL" in log),
        ("while the processes start", lambda log, _: "submitting" in log),
        ("while it runs", lambda log, _: "sending=" in log or "accepted=" in log),
    ]
    for number, (name, is_reached) in enumerate(moments):
        process = alone.start(f"demo-{number}", "campaigns", "demo")
        log = alone.log(f"demo-{number}")
        loaded = Path(f"/proc/{process.pid}/maps")
        wait_until(
            lambda: process.poll() is not None or is_reached(log.read_text(), loaded.read_text()),  # noqa: B023  called at once
            name,
            seconds=60,
            every=0.02,
        )
        assert process.poll() is None, log.read_text()
        assert alone.stop(f"demo-{number}", signal.SIGINT) != 0, name
        assert "Traceback" not in log.read_text(), name
        assert processes_of(alone.directory) == [], name

    process = alone.start("demo", "campaigns", "demo", "--keep")
    log = alone.log("demo")
    wait_until(lambda: process.poll() is not None or "Ctrl-C ends" in log.read_text(), "its end", seconds=110)
    said = log.read_text()
    assert process.poll() is None, said
    _look_at_the_dashboard(said, alone.directory)
    assert alone.stop("demo", signal.SIGINT) == 0, log.read_text()
    assert "the totals agree with a recount" in said
    assert "finished" in said
    assert processes_of(alone.directory) == []
    campaign_id = _campaign_of(said)
    assert campaign_id is not None
    totals = alone.json("status", campaign_id)["totals"]
    ends = Counter((line["state"], line["reason"]) for line in alone.export(campaign_id))
    # Whom a run that was interrupted learned to be on the provider's stop list is not sent to again.
    refused = totals["rejected"] + totals["suppressed"]
    assert (totals["delivered"], refused, totals["unknown"]) == (875, 40, 3), ends


def _look_at_the_dashboard(said: str, folder: Path) -> None:
    """Each address that was printed signs one browser in, once, and no file holds it."""
    links = re.findall(r"(http://127\.0\.0\.1:\d+/sign-in/)(\w+)", said)
    assert len({secret for _, secret in links}) == 2, said
    for before, secret in links:
        shown, again = (_opened(before + secret) for _ in range(2))
        assert shown[0].endswith("/")
        assert "Spring sale" in shown[1]
        assert again[0].endswith("/sign-in?done=link-over")
        written = [path for path in (folder / ".campaigns" / "demo").iterdir() if secret in path.read_text()]
        assert written == []


def _opened(url: str) -> tuple[str, str]:
    """A page in a browser that has seen none before: where it is in the end, and what is on it."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(url, timeout=30) as answer:
        return answer.url, answer.read().decode()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("provider", ["loyalty_lt", "seven", "namirial"])
def test_it_runs_on_every_provider(alone: Stack, provider: str) -> None:
    """Numbers with an ending of each fate, at the provider's default pace: all settled, most delivered."""
    if provider not in server._PROVIDERS:
        pytest.skip(f"there is no simulator of {provider}")
    first = 60 if provider == "loyalty_lt" else 0  # it takes one message a second
    rows = [{"phone": f"+370600000{n:02d}", "city": "Kaunas"} for n in range(first, 100)]
    (alone.directory / "customers.csv").write_bytes(csv_of(rows))
    alone.start("demo", "campaigns", "demo", "customers.csv", "--provider", provider)
    assert alone._processes["demo"].wait(240) == 0, alone.log("demo").read_text()
    said = alone.log("demo").read_text()
    assert f"simulator of {provider} at http://127.0.0.1" in said
    assert "the totals agree with a recount" in said
    campaign_id = _campaign_of(said)
    assert campaign_id is not None
    status = alone.json("status", campaign_id)
    assert status["state"] == "finished"
    assert status["recipient_count"] == len(rows)
    assert status["totals"]["delivered"] + status["totals"]["read"] >= len(rows) - 15
    assert status["totals"]["in_doubt"] == 0
    assert processes_of(alone.directory) == []
