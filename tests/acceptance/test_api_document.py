"""The API's document is held: schemathesis asks a real process what it allows, and what it does not."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest

from campaigns.domain.access import Scope
from tests.acceptance.processes import BIN, Stack, environment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

HERE = Path(__file__).parent
KEYS = 40


def web(stack: Stack) -> str:
    """Start the API. Gives its address."""
    stack.start("web", "campaigns", "web", "--port", "0", "--serve", "api")

    def listening() -> str | None:
        found = re.search(r"web listening on (http://\S+)", stack.log("web").read_text())
        return found[1] if found else None

    return wait_until(listening, "the web listens")


def make_key(url: str, key: str) -> str:
    """Another key with the same scopes, over HTTP."""
    request = urllib.request.Request(
        f"{url}/v1/keys",
        json.dumps({"scopes": [*Scope]}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        made: str = json.load(answer)["key"]
    return made


@pytest.mark.timeout(400)
def test_schemathesis_finds_nothing(stack: Stack) -> None:
    """No 5xx, no status, media type or form of an answer that is not documented, nothing taken that it
    forbids or without a key, nothing gone that was just made: also along the links.
    """
    stack.simulator()
    stack.settings["TRUSTED_PROXIES"] = "127.0.0.1"
    made = stack.json("key", "create", "--owner", "shop", "--scope", ",".join(Scope))
    url = web(stack)
    keys = [made["key"]]
    while len(keys) < KEYS:
        keys += [make_key(url, key) for key in keys]
    done = subprocess.run(
        [
            *(str(BIN / "st"), "--no-color", "--config-file", str(HERE / "schemathesis.toml"), "run"),
            *(f"{url}/openapi.json", "--max-examples", "2", "--no-shrink", "--continue-on-failure"),
            *("--exclude-operation-id", "watchCampaign"),  # of a campaign that goes on it does not end
            *("--phases", "examples,coverage,fuzzing,stateful", "--warnings", "off"),
        ],
        env=environment({})
        | {
            "SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks",
            "PYTHONPATH": str(HERE.parents[1]),
            "KEYS": ",".join(keys[:KEYS]),
        },
        cwd=stack.directory,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    log = stack.log("web").read_text()
    assert '"level": "error"' not in log
    assert "Traceback" not in log
    assert stack.json("list"), "campaigns were submitted"
