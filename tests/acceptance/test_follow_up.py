"""`campaigns follow-up` as a process: those who were never handed over get it as a new campaign, once."""

import pytest

from tests.acceptance.processes import Stack, csv_of

pytestmark = pytest.mark.acceptance

ROWS = [{"phone": f"+3706000000{n}", "name": "Ona"} for n in range(3)]


def test_a_cancelled_campaign_is_followed_up(stack: Stack) -> None:
    stack.simulator()
    first = stack.json("submit", "-", "--account", "main", "--text", "Hi {name}", stdin=csv_of(ROWS))
    command = ("follow-up", first["id"], "--states", "not_reached,never_handed_over")

    early = stack.run(*command, check=False)
    stack.run("cancel", first["id"])
    made = stack.json(*command)
    repeated = stack.run(*command)
    once_more = stack.run(*command, "--again", check=False)

    assert (early.returncode, once_more.returncode) == (1, 1)
    assert b"not followed up yet" in early.stderr
    assert b"nothing was stored again" in repeated.stdout
    assert (made["recipient_count"], made["follow_up_of"]) == (3, first["id"])
    assert f"a follow-up of {first['id']}" in stack.run("status", made["id"]).stdout.decode()
    assert [line["name"] for line in stack.export(made["id"])] == ["Ona"] * 3
    wrong = stack.run("follow-up", first["id"], "--in-doubt", "sure", check=False)
    assert (wrong.returncode, b"a second text is possible" in wrong.stderr) == (1, True)
