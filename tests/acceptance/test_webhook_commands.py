"""`campaigns webhook …`: every command, what it says and what it refuses."""

import pytest

from tests.acceptance.processes import Stack

pytestmark = pytest.mark.acceptance


def test_the_life_of_a_webhook(stack: Stack) -> None:
    stack.settings |= {"WEBHOOK_ALLOW": "127.0.0.0/8"}
    assert b"there is no webhook" in stack.run("webhook", "list").stdout
    made = stack.json("webhook", "create", "https://127.0.0.1:8443/hook", "--owner", "shop")
    assert set(made) == {"id", "secret"}
    webhook_id, secret = made["id"], made["secret"]
    assert secret.startswith("whsec_")
    (shown,) = stack.json("webhook", "list")
    assert secret not in str(shown)
    assert (shown["url"], shown["owner"], shown["waiting_count"]) == (
        "https://127.0.0.1:8443/hook",
        "shop",
        0,
    )

    rotated = stack.json("webhook", "rotate", webhook_id)
    assert rotated["secret"] != secret
    assert rotated["previous_secret_until"] > shown["created_at"]
    event_id = stack.json("webhook", "test", webhook_id)["event_id"]
    assert stack.json("webhook", "replay", webhook_id, event_id) == {"id": webhook_id, "event_id": event_id}
    detail = stack.json("webhook", "show", webhook_id)
    assert [(each["event_id"], each["is_replay"]) for each in detail["deliveries"]] == [
        (event_id, True),
        (event_id, False),
    ]
    assert b"webhook.test" in stack.run("webhook", "show", webhook_id).stdout
    assert stack.json("webhook", "disable", webhook_id) == {"id": webhook_id}
    assert b"disabled by" in stack.run("webhook", "list").stdout
    recovered = stack.json("webhook", "recover", webhook_id, "--since", "2026-01-01T00:00Z", "--all")
    assert recovered["event_count"] == 0
    assert stack.run("webhook", "enable", webhook_id).stdout == b"enabled\n"
    assert stack.run("webhook", "delete", webhook_id).stdout == b"deleted\n"
    assert stack.json("webhook", "list") == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "http://example.com/hook"), b"must begin with https://"),
        (("create", "https://10.0.0.8/hook"), b"CAMPAIGNS_WEBHOOK_ALLOW"),
        (("create", "https://localhost/hook"), b"leads into a network that is not public"),
        (("create", "https://example.com/hook", "--event", "campaign.eaten"), b"there is no such event"),
        (("show", "7"), b"is no webhook id"),
        (("enable", "0de42725-799e-4b48-8047-b343181269fe"), b"there is no webhook"),
        (("recover", "0de42725-799e-4b48-8047-b343181269fe", "--since", "soon"), b"--since cannot be read"),
    ],
)
def test_what_is_refused(stack: Stack, arguments: tuple[str, ...], sentence: bytes) -> None:
    done = stack.run("webhook", *arguments, check=False)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count(b"\n") == 1
