"""Commands over the API: the same words, the same JSON, the same exit codes as by the database."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import asyncpg
import pytest

from campaigns.domain.access import Scope
from tests.acceptance.processes import Stack
from tests.integration.test_aside_tasks import keep
from tests.waiting import wait_until
from worker.cli import app
from worker.cli.backend import client
from worker.stack.embedded.servers import ServerUrls
from worker.stack.interrupts import run_on_loop

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
NOBODY = "0de42725-799e-4b48-8047-b343181269fe"
HOOK = "https://93.184.216.34/hook"  # a number: nothing has to be looked up
ITS_OWN = {"id", "created_at", "key", "secret", "last_used_at"}
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
        made = command(here.settings, "key", "create", "--owner", "shop", "--all", "--scope", ",".join(Scope))
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

    def says(self, *arguments: str) -> bytes:
        """What a command over the API says, which is done."""
        done = self.by_api(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def made(self, *arguments: str) -> Any:
        """What a command that makes something says in JSON, which is the same but for what is its own. Gives
        what the API made.
        """
        said = [json.loads(done.stdout) for done in self.run(*arguments, "--json")]
        first, second = ({k: v for k, v in each.items() if k not in ITS_OWN} for each in said)
        assert first == second, arguments
        return said[1]

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
def both(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """The same campaigns, reached both ways. Lists come over the API an item a page."""
    monkeypatch.setattr(client, "_MOST_ITEMS", 1)
    return Both(stack, tmp_path / "elsewhere")


def test_the_same_commands_say_the_same(
    both: Both, tmp_path: Path, servers: ServerUrls, database_url: str
) -> None:
    """One test: to start the processes costs more than all the commands."""
    _refusals(both)
    id_ = _submissions(both, tmp_path / "customers.csv")
    _reading(both, id_)
    _acts(both, id_)
    _accounts(both, database_url)
    _keys(both)
    _webhooks(both)
    _set_aside(both, f"task:{keep(servers, 'a.task')}")
    _what_stays(both)


def _refusals(both: Both) -> None:
    """The same sentence, and nothing stored."""
    assert "there is no campaign" in both.same_refusal("status", NOBODY)
    both.same_refusal("export", NOBODY)
    both.same_refusal("follow-up", NOBODY, "--states", "failed")
    torn = b'phone,name\n+37060000001,Ona\n+37060000002,"x'
    assert "row 3" in both.same_refusal("submit", "-", *SAME, stdin=torn)
    assert "{town}" in both.same_refusal("submit", "-", "--account", "main", "--text", "{town}", stdin=FILE)
    assert "not one of" in both.same_refusal("submit", "-", *SAME, stdin=b"phone,name\n12,Nobody\n")
    # Refused while most of it is still on its way.
    large = b"phone,name\n" + b"".join(b"+3706%07d,Ona\n" % n for n in range(60_000))
    assert "{town}" in both.same_refusal("submit", "-", "--account", "main", "--text", "{town}", stdin=large)
    assert json.loads(command(both.here, "list", "--json").stdout) == []


def _submissions(both: Both, recipients: Path) -> str:
    recipients.write_bytes(FILE)
    checked = json.loads(both.same("check", str(recipients), *SAME, "--json"))
    assert [each["rows"] for each in checked["refused"]] == [[5], [3]]
    both.same("check", "-", *SAME, "--refused", stdin=FILE)
    made = both.made("submit", str(recipients), *SAME)
    assert made["name"] == "customers"
    again = both.by_api("submit", str(recipients), *SAME)
    assert f"campaign {made['id']} was taken in before".encode() in again.stderr
    dear = ("--account", "main", "--text", "Hello {name} – " + "x" * 60, "--again")
    here, there = (_nameless(done.stdout) for done in both.run("submit", str(recipients), *dear))
    assert there == here
    assert "segments more: –" in there
    return str(made["id"])


def _nameless(said: bytes) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", said.decode())


def _reading(both: Both, id_: str) -> None:
    both.same("list", "--json")
    both.same("status", id_, "--json")
    both.same("status", id_)
    for how in (("--format", "jsonl"), ("--excel",), ("--refused",), ("--refused", "--format", "jsonl")):
        assert both.same("export", id_, *how), how
    found = json.loads(both.same("message", "--phone", "+37060000002", "--json"))
    assert len(found["messages"]) == 4


def _acts(both: Both, id_: str) -> None:
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert both.same("reschedule", id_, "--at", at).startswith(b"2 messages wait until")
    assert "a year ahead" in both.same_refusal("reschedule", id_, "--at", "2999-01-01T00:00Z")
    assert both.says("pause", id_) == b"paused\n"
    assert both.same("pause", id_).startswith(b"it was paused already")
    assert both.says("cancel", id_) == b"cancelled\n"
    assert "cannot be rescheduled" in both.same_refusal("reschedule", id_, "--at", at)
    made = json.loads(both.says("follow-up", id_, "--states", "cancelled", "--json"))
    assert made["follow_up_of"] == id_
    both.same("follow-up", id_, "--states", "cancelled", "--json")
    assert both.says("suppression", "add", "+37060000009") == b"1 added\n"
    both.same("suppression", "list")


def _accounts(both: Both, database_url: str) -> None:
    both.same("account", "main", "balance", "--json")
    both.same("account", "main", "stats", "--month", "2026-01")
    both.same("account", "main", "reconcile", "--month", f"{datetime.now(UTC):%Y-%m}", "--json")
    assert b"under way" in both.same("top", "--once")

    async def hold() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "INSERT INTO account_hold (account, code, reason, probe_at) VALUES ('main', '9', 'x', now())"
        )
        await connection.close()

    run_on_loop(hold)
    assert both.says("resume", "--all-accounts") == b"these may send again: main\n"
    assert both.same("resume", "--all-accounts") == b"none was on hold\n"
    assert both.same("account", "main", "resume") == b"it was not on hold\n"


def _keys(both: Both) -> None:
    made = both.made("key", "create", "--owner", "clinic", "--scope", "read,submit", "--account", "main")
    assert made["key"].startswith(f"cmp_{made['id']}_")
    here, there = (json.loads(done.stdout) for done in both.run("key", "list", "--json"))
    assert len(there) == 3
    assert [each | {"last_used_at": 0} for each in there] == [each | {"last_used_at": 0} for each in here]
    assert both.says("key", "revoke", made["id"]) == b"revoked\n"
    assert both.same("key", "revoke", made["id"]) == b"it was revoked already\n"
    assert "there is no key" in both.same_refusal("key", "revoke", "nobody")
    assert "at least one scope" in both.same_refusal("key", "create", "--owner", "a", "--scope", "b")


def _webhooks(both: Both) -> None:
    assert b"there is no webhook" in both.same("webhook", "list")
    both.made("webhook", "create", HOOK, "--owner", "shop", "--event", "campaign.finished")
    id_ = both.made("webhook", "create", HOOK, "--with-numbers")["id"]
    event = json.loads(both.says("webhook", "test", id_, "--json"))["event_id"]
    both.same("webhook", "replay", id_, event, "--json")
    both.same("webhook", "recover", id_, "--since", "2026-01-01T00:00Z", "--json")
    rotated = json.loads(both.says("webhook", "rotate", id_, "--json"))
    assert set(rotated) == {"id", "secret", "previous_secret_until"}
    assert both.says("webhook", "disable", id_) == b"disabled\n"
    for how in ((), ("--json",)):
        assert both.same("webhook", "list", *how).count(HOOK.encode()) == 4
        assert event.encode() in both.same("webhook", "show", id_, *how)
    assert both.same("webhook", "enable", id_, "--json") == f'{{"id": "{id_}"}}\n'.encode()
    assert both.says("webhook", "delete", id_) == b"deleted\n"
    assert "there is no webhook" in both.same_refusal("webhook", "show", id_)
    assert "there is no webhook" in both.same_refusal("webhook", "replay", id_, event)


def _set_aside(both: Both, id_: str) -> None:
    assert id_.encode() in both.same("aside", "list")
    both.same("aside", "list", "--json")
    assert both.says("aside", "drop", id_) == b"1 dropped\n"
    assert "not set aside" in both.same_refusal("aside", "retry", id_, "--json")
    assert "names nothing" in both.same_refusal("aside", "retry", "batch:1")


def _what_stays(both: Both) -> None:
    """What cannot be done from afar says so; and what the API itself refuses."""
    one = ("--phone", "+37060000001")
    for local in (
        ("migrate",),
        ("doctor",),
        ("up",),
        ("account", "main", "callback-url"),
        ("account", "main", "blacklist", *one),
        ("account", "main", "try", *one),
        ("message", *one, "--live"),
    ):
        done = both.by_api(*local)
        assert (done.returncode, done.stdout) == (1, b""), local
        assert b"cannot be done over the API: " in done.stderr, local
    assert both.by_api("resume", NOBODY, "--operator", "ona").returncode == 1
    both.there["API_KEY"] = "cmp_none_none"
    done = both.by_api("list")
    assert (done.returncode, b"the API refuses CAMPAIGNS_API_KEY" in done.stderr) == (1, True)
    both.there["API_URL"] = "http://127.0.0.1:1"
    done = both.by_api("list")
    assert (done.returncode, b"cannot be reached" in done.stderr) == (1, True)
