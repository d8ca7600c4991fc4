"""Commands over the API: the same words, the same JSON, the same exit codes as by the database."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance.processes import Stack
from tests.waiting import wait_until
from worker.cli import app

pytestmark = pytest.mark.acceptance

FILE = """\
phone,name,note
+37060000001,Ona,"=1+1, ""a""
b"
12,Nobody,
+37060000002,Jonas,ą
+370 600 00001,Again,
""".encode()
SAME = ("--account", "main", "--text", "Hello {name}")
Done = CompletedProcess[bytes]


def command(settings: Mapping[str, str], *arguments: str, stdin: bytes | None = None) -> Done:
    """A command to its end, in this process, with these settings alone."""
    out, err, given = BytesIO(), BytesIO(), TextIOWrapper(BytesIO(stdin or b""))
    code: object = None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"CAMPAIGNS_{name}", value)
        patch.setattr(sys, "argv", ["campaigns", *arguments])
        patch.setattr(sys, "stdin", given)
        patch.setattr(sys, "stdout", TextIOWrapper(out, encoding="utf-8", write_through=True))
        patch.setattr(sys, "stderr", TextIOWrapper(err, encoding="utf-8", write_through=True))
        try:
            app.run()
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        return CompletedProcess(arguments, int(str(code or 0)), out.getvalue(), err.getvalue())


class Both:
    """A stack by its database, and an operator elsewhere who has the API alone. The API is a process;
    commands run in this one, for each takes seconds to start.
    """

    def __init__(self, here: Stack, elsewhere: Path) -> None:
        here.simulator()
        made = here.run(
            *("key", "create", "--owner", "shop", "--all"),
            *("--scope", "submit,read,read:recipients,operate,suppress,admin"),
        )
        here.start("web", "campaigns", "web", "--serve", "api", "--port", "0")

        def listening() -> str | None:
            found = re.search(r"listening on (http://\S+)", here.log("web").read_text())
            return found[1] if found else None

        url = wait_until(listening, "the API listens")
        self.here = here.settings
        self.there = {"API_URL": url, "API_KEY": made.stdout.decode().strip(), "DATA_DIR": str(elsewhere)}

    def run(self, *arguments: str, stdin: bytes | None = None) -> tuple[Done, Done]:
        """A command both ways."""
        return command(self.here, *arguments, stdin=stdin), command(self.there, *arguments, stdin=stdin)

    def by_api(self, *arguments: str) -> Done:
        """A command over the API."""
        return command(self.there, *arguments)

    def same(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """What both print on standard output, to the byte, with the same exit code."""
        here, there = self.run(*arguments, stdin=stdin)
        assert there.returncode == here.returncode, (arguments, here.stderr, there.stderr)
        assert there.stdout == here.stdout, arguments
        return there.stdout

    def same_refusal(self, *arguments: str, stdin: bytes | None = None) -> str:
        """The last line of what both complain, which is the same; with the same exit code, which is none."""
        here, there = self.run(*arguments, stdin=stdin)
        assert there.returncode == here.returncode != 0, arguments
        assert there.stderr.splitlines()[-1] == here.stderr.splitlines()[-1], arguments
        return there.stderr.decode().splitlines()[-1]


@pytest.fixture
def both(stack: Stack, tmp_path: Path) -> Both:
    """The same campaigns, reached both ways."""
    return Both(stack, tmp_path / "elsewhere")


def test_the_same_commands_say_the_same(both: Both, tmp_path: Path) -> None:
    recipients = tmp_path / "customers.csv"
    recipients.write_bytes(FILE)
    checked = json.loads(both.same("check", str(recipients), *SAME, "--json"))
    assert [each["rows"] for each in checked["refused"]] == [[5], [3]]
    both.same("check", "-", *SAME, "--refused", stdin=FILE)

    here, there = both.run("submit", str(recipients), *SAME, "--json")
    first, second = (_without_its_own(json.loads(done.stdout)) for done in (here, there))
    assert first == second
    assert first["name"] == "customers"
    id_ = json.loads(there.stdout)["id"]
    again = both.by_api("submit", str(recipients), *SAME)
    assert f"campaign {id_} was taken in before".encode() in again.stderr

    both.same("list", "--json")
    both.same("status", id_, "--json")
    both.same("status", id_)
    for how in (("--format", "jsonl"), ("--excel",), ("--refused",), ("--refused", "--format", "jsonl")):
        assert both.same("export", id_, *how), how
    found = json.loads(both.same("message", "--phone", "+37060000002", "--json"))
    assert len(found["messages"]) == 2
    both.same("account", "main", "balance", "--json")
    assert b"1 under way" in both.same("top", "--once")
    both.same("account", "main", "reconcile", "--month", f"{datetime.now(UTC):%Y-%m}", "--json")

    assert both.by_api("pause", id_).stdout == b"paused\n"
    assert both.same("pause", id_).startswith(b"it was paused already")
    assert both.by_api("cancel", id_).stdout == b"cancelled\n"
    made = json.loads(both.by_api("follow-up", id_, "--states", "cancelled", "--json").stdout)
    assert made["follow_up_of"] == id_
    both.same("follow-up", id_, "--states", "cancelled", "--json")
    assert both.by_api("suppression", "add", "+37060000009").stdout == b"1 added\n"
    both.same("suppression", "list")


def _without_its_own(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in {"id", "created_at"}}


def test_what_is_refused_is_refused_with_the_same_sentence(both: Both) -> None:
    nobody = "0de42725-799e-4b48-8047-b343181269fe"
    assert "there is no campaign" in both.same_refusal("status", nobody)
    both.same_refusal("export", nobody)
    both.same_refusal("follow-up", nobody, "--states", "failed")
    torn = b'phone,name\n+37060000001,Ona\n+37060000002,"x'
    assert "row 3" in both.same_refusal("submit", "-", *SAME, stdin=torn)
    assert "{town}" in both.same_refusal("submit", "-", "--account", "main", "--text", "{town}", stdin=FILE)
    assert "not one of" in both.same_refusal("submit", "-", *SAME, stdin=b"phone,name\n12,Nobody\n")
    # Refused while most of it is still on its way.
    large = b"phone,name\n" + b"".join(b"+3706%07d,Ona\n" % n for n in range(60_000))
    assert "{town}" in both.same_refusal("submit", "-", "--account", "main", "--text", "{town}", stdin=large)
    assert json.loads(command(both.here, "list", "--json").stdout) == []

    for local in (("migrate",), ("doctor",), ("aside", "list"), ("reschedule", nobody, "--at", "x")):
        done = both.by_api(*local)
        assert done.returncode == 1
    assert b"cannot be done over the API" in both.by_api("migrate").stderr
    both.there["API_KEY"] = "cmp_none_none"
    done = both.by_api("list")
    assert (done.returncode, b"the API refuses CAMPAIGNS_API_KEY" in done.stderr) == (1, True)
    both.there["API_URL"] = "http://127.0.0.1:1"
    done = both.by_api("list")
    assert (done.returncode, b"cannot be reached" in done.stderr) == (1, True)
