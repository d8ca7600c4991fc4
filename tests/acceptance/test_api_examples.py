"""The examples of docs/api.md do what the page says: curl, Python, and JavaScript where node is there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.processes import Stack, environment
from tests.acceptance.test_api_document import web

pytestmark = pytest.mark.acceptance

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
ROWS = "phone,name\n+37060000011,Ona\n+37060000012,Jonas\n"


def blocks(language: str) -> list[str]:
    """The code of a language in the document, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_every_example_is_taken(stack: Stack) -> None:
    stack.simulator()
    key = stack.json("key", "create", "--owner", "shop", "--scope", "submit")
    url = web(stack)
    (stack.directory / "customers.csv").write_text(ROWS)
    has_node = shutil.which("node") is not None
    commands = [
        *(["sh", "-c", code] for code in blocks("sh") if code.startswith("curl --fail-with-body")),
        *([sys.executable, "-c", code] for code in blocks("python") if "_API_URL" in code),
        *(["node", "--input-type=module", "-e", code] for code in blocks("javascript") if has_node),
    ]
    assert len(commands) >= 5 + has_node
    said = []
    for command in commands:
        done = subprocess.run(
            command,
            env=environment({})
            | {"CAMPAIGNS_API_URL": url, "CAMPAIGNS_API_KEY": key["key"], "NO_PROXY": "*"},
            cwd=stack.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command[-1], done.stdout + done.stderr)
        said.append(done.stdout)
    created = [each for each in said if each.startswith("201 ") or '"settled_count"' in each]
    checked = [json.loads(each) for each in said if '"message_count"' in each]
    assert len(created) + len(checked) == len(commands)
    assert [each["message_count"] for each in checked] == [2]
    assert len(stack.json("list")) == len(created), "each is a campaign of its own"
