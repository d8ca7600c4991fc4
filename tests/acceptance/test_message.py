"""`campaigns message`: what we know of one message, and what its provider says now."""

import pytest

from tests.acceptance.processes import Stack

pytestmark = pytest.mark.acceptance

PHONES = b"phone\n+37060000001\n+37060000097\n"


def _submitted(stack: Stack) -> str:
    done = stack.json("submit", "-", "--account", "main", "--text", "Hello", stdin=PHONES)
    return str(done["id"])


def test_before_it_is_handed_over(stack: Stack) -> None:
    """Known by number and by our reference; the provider knows it by neither."""
    stack.simulator()
    campaign_id = _submitted(stack)
    said = stack.json("message", "--phone", "8 600 00001", "--region", "lt")
    assert said["live"] is None
    (known,) = said["messages"]
    assert {name: known[name] for name in ("campaign_id", "row", "phone", "account", "state")} == {
        "campaign_id": campaign_id,
        "row": 2,
        "phone": "+37060000001",
        "account": "main",
        "state": "queued",
    }
    assert (known["provider_message_id"], known["attempt"], known["cost"]) == (None, 0, None)
    assert stack.json("message", "--reference", known["reference"])["messages"] == [known]
    assert stack.json("message", "--phone", "+37060000001", "--account", "MAIN")["messages"] == [known]

    text = stack.run("message", "--phone", "+37060000001").stdout.decode()
    for word in (campaign_id, known["reference"], "queued", "+37060000001", "row 2"):
        assert word in text
    assert "37060000097" not in text

    asked = stack.run("message", "--phone", "+37060000001", "--live", "--json", check=False)
    assert asked.returncode == 1
    assert b"by its own id alone" in asked.stderr
    assert b"+37060000001" in asked.stdout  # what we know is told all the same


def test_after_it_was_sent_its_provider_can_be_asked(stack: Stack) -> None:
    """Both stand side by side: ours, and the provider's word of now."""
    stack.simulator("--delivery-seconds", "0")
    stack.settings["POLL__GIVE_UP_SECONDS"] = "20"  # of the number that never ends
    stack.worker()
    stack.beat()
    campaign_id = _submitted(stack)
    stack.finished(campaign_id)

    (known,) = stack.json("message", "--phone", "+37060000001")["messages"]
    assert (known["state"], known["attempt"], known["segment_count"]) == ("delivered", 1, 1)
    assert known["cost"] == {"amount": "0.0144", "currency": "EUR"}
    said = stack.json("message", "--id", known["provider_message_id"], "--live")
    assert said["messages"] == [known]
    assert said["live"]["account"] == "main"
    (seen,) = said["live"]["sightings"]
    assert seen["provider_message_id"] == known["provider_message_id"]
    assert (seen["state"], seen["provider_state"]) == ("delivered", known["provider_state"])
    text = stack.run("message", "--id", known["provider_message_id"], "--live").stdout.decode()
    assert "main's provider says" in text


def test_what_is_not_found_is_exit_code_1_and_what_cannot_be_asked_a_sentence(stack: Stack) -> None:
    """And wrong usage is 2, as everywhere."""
    stack.simulator()
    nothing = stack.run("message", "--id", "4711", "--json", check=False)
    assert (nothing.returncode, nothing.stdout) == (1, b'{"messages": [], "live": null}\n')
    assert b"no such message" in stack.run("message", "--id", "4711", check=False).stdout
    unknown = stack.run("message", "--id", "4711", "--account", "main", "--live", "--json", check=False)
    assert unknown.returncode == 1
    cases = [
        (["--id", "4711", "--live"], 1, b"say with --account whose provider is to be asked"),
        (["--id", "4711", "--live", "--account", "nobody"], 1, b"The accounts are: main"),
        (["--phone", "12"], 1, b"the number cannot be read"),
        (["--reference", "4711"], 1, b"no reference of ours"),
        ([], 2, b"say one of"),
        (["--id", "4711", "--phone", "+37060000001"], 2, b"say one of"),
    ]
    for arguments, code, sentence in cases:
        done = stack.run("message", *arguments, check=False)
        assert done.returncode == code, arguments
        assert sentence in b" ".join(done.stderr.split()), done.stderr
        assert b"Traceback" not in done.stderr
