"""`campaigns key …` and the API as real processes: a key is made, used, revoked; the audit has it all."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.acceptance.processes import Stack
from tests.acceptance.test_web import _web

pytestmark = pytest.mark.acceptance


def ask(url: str, key: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """A request with a key, and what was answered."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_key_is_made_used_and_revoked(stack: Stack) -> None:
    stack.simulator()
    stack.run("migrate")
    stack.run("aside", "drop", "receipt:1", check=False)
    made = stack.json(
        *("key", "create", "--owner", "shop", "--scope", "read,operate", "--scope", "admin", "--all"),
        *("--recipients-per-day", "1000", "--segments-per-month", "20000", "--approval-above", "500"),
    )
    assert [made[each] for each in ("recipients_per_day", "segments_per_month", "approval_above")] == [
        1000,
        20_000,
        500,
    ]
    assert made["scopes"] == ["read", "operate", "admin"]
    assert (made["owner"], made["all"], made["accounts"]) == ("shop", True, None)
    stack.run("submit", "-", "--account", "main", "--text", "Hello", stdin=b"phone\n+37060000001\n")
    (campaign,) = stack.json("list")

    url = _web(stack)
    status, listed = ask(f"{url}/v1/campaigns", made["key"])
    assert status == 200
    (found,) = listed["items"]
    assert {name: value for name, value in found.items() if name in campaign} == campaign, "the CLI's shape"
    status, renamed = ask(
        f"{url}/v1/campaigns/{campaign['id']}", made["key"], "PATCH", {"name": "By another name"}
    )
    assert (status, renamed["name"]) == (200, "By another name")

    (row,) = stack.json("key", "list")
    assert row["last_used_at"] is not None
    assert "key" not in row
    assert made["key"].split("_")[2] not in stack.run("key", "list").stdout.decode()
    _, audit = ask(f"{url}/v1/audit", made["key"])
    assert [(each["action"], each["actor_kind"]) for each in audit["items"]] == [
        ("campaign.rename", "key"),
        ("campaign.submit", "operator"),
        ("key.create", "operator"),
        ("aside.drop", "operator"),
        ("schema.migrate", "operator"),
    ]

    assert b"revoked" in stack.run("key", "revoke", made["id"]).stdout
    assert ask(f"{url}/v1/campaigns", made["key"])[0] == 401
    log = stack.log("web").read_text()
    assert made["key"].split("_")[2] not in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--owner", "shop", "--scope", "everything"), "at least one scope of"),
        (("--owner", "My Shop", "--scope", "read"), "short name"),
        (("--owner", "shop", "--scope", "read", "--account", "nobody"), "account"),
        (("--owner", "shop", "--scope", "read", "--expires", "2020-01-01"), "in the future"),
        (("--owner", "shop", "--scope", "read", "--expires", "soon"), "ISO 8601"),
    ],
)
def test_what_cannot_be_a_key_is_said(stack: Stack, options: tuple[str, ...], sentence: str) -> None:
    done = stack.run("key", "create", *options, check=False)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.decode().split())
    assert stack.json("key", "list") == []
