"""A client that openapi-python-client makes of the API's document is used against real processes.

`make clients` installs the generator (`.ci/run` tries to); without it this is skipped.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from campaigns.domain.access import Scope
from tests.acceptance.processes import BIN, Stack, environment
from tests.acceptance.test_api_document import web
from worker.web.api.document import document
from worker.web.api.table import OPERATIONS

GENERATOR = Path(__file__).parents[2] / ".venv" / "clients" / "generator"
USER = Path(__file__).with_name("client_user.py")

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        not (GENERATOR / "openapi_python_client").is_dir(),
        reason="openapi-python-client is not installed here: make clients",
    ),
]


def run(*command: str, cwd: Path, more: Mapping[str, str]) -> str:
    """What a program wrote; it must end well. No proxy stands between it and us."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment({}) | {"NO_PROXY": "*"} | more,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_generated_client_submits_watches_and_exports(stack: Stack, tmp_path: Path) -> None:
    stack.simulator("--delivery-seconds", "0.1")
    key = stack.json("key", "create", "--owner", "shop", "--scope", ",".join(Scope))
    stack.worker()
    stack.beat()
    url = web(stack)
    (tmp_path / "openapi.json").write_text(json.dumps(document(OPERATIONS)))
    with_generator = {"PYTHONPATH": str(GENERATOR), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"),
        *("--meta", "none", "--output-path", "client"),
        cwd=tmp_path,
        more=with_generator,
    )
    (tmp_path / "httpx").symlink_to(GENERATOR / "httpx")  # mypy wants to see what the client is made of
    run(
        *(sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", str(USER)),
        cwd=tmp_path,
        more={"MYPYPATH": str(tmp_path)},
    )
    used = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(GENERATOR)])}
    said = json.loads(run(sys.executable, str(USER), url, key["key"], cwd=tmp_path, more=used))

    phones = [f"+3706000000{number}" for number in range(3)]
    assert said == {
        "state": "finished",
        "delivered": 3,
        "phones": phones,
        "exported": phones,
        "refused": "/problems/no-such-key",
    }
