"""Why, when, for how much and by what: said by the providers, kept, and shown by the commands."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.processes import Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

BLOCKED = "+37060000090"  # each simulator refuses it in its own words
DELIVERED = "+37060000001"


def _submitted(stack: Stack, account: str, *phones: str, text: str = "Hello") -> str:
    rows = "phone\n" + "".join(f"{phone}\n" for phone in phones)
    command = ("submit", "-", "--account", account, "--text", text)
    return str(stack.json(*command, stdin=rows.encode())["id"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_what_providers_say_beside_their_word_is_kept_and_shown(stack: Stack) -> None:
    stack.simulator("--delivery-seconds", "0", provider="namirial", account="nam")
    stack.settings["ACCOUNTS__NAM__REFERENCE_ACTION"] = "AUTH"
    stack.simulator("--delivery-seconds", "0", provider="loyalty_lt", account="loy")
    stack.simulator("--delivery-seconds", "0", account="light")
    del stack.settings["ACCOUNTS__LIGHT__CURRENCY"]
    stack.settings["ACCOUNTS__LOY__CURRENCY"] = "USD"  # its provider charges EUR
    stack.worker()
    stack.beat()
    began = datetime.now(UTC) - timedelta(seconds=5)
    nam = _submitted(stack, "nam", BLOCKED, DELIVERED)
    loy = _submitted(stack, "loy", BLOCKED, DELIVERED)
    light = _submitted(stack, "light", DELIVERED, "+37060000097")  # one that never ends keeps it open

    # Namirial: the operator's reason, the moment, the channel; no cost is known, which is not 0.00.
    status = stack.finished(nam)
    assert (status["cost"], status["costs"]) == ({"amount": None, "currency": None}, [])
    assert (status["priced_count"], status["unpriced_count"]) == (0, 2)
    blocked, delivered = stack.export(nam)
    assert "Number Blocked by Carrier" in blocked["reason"]
    assert (blocked["channel"], blocked["cost"], blocked["currency"]) == ("SMS", None, None)
    assert not delivered["reason"]
    for line in (blocked, delivered):
        assert began < _moment(line["provider_changed_at"]) <= _moment(line["updated_at"])
    assert "cost unknown" in stack.run("status", nam).stdout.decode()

    known = stack.json("message", "--phone", BLOCKED, "--account", "nam", "--live")
    (row,), (seen,) = known["messages"], known["live"]["sightings"]
    assert row["reason"] == seen["reason"] == blocked["reason"]
    assert (row["channel"], seen["channel"]) == ("SMS", "SMS")
    assert (seen["service"], seen["action"]) == ("DIGITALSIGN", "AUTH")
    assert began < _moment(row["provider_changed_at"])
    text = stack.run("message", "--phone", BLOCKED, "--account", "nam", "--live").stdout.decode()
    for shown in ("Number Blocked by Carrier", "sent by SMS", "changed at the provider", "DIGITALSIGN AUTH"):
        assert shown in text

    # Loyalty.lt: its own sentence, and the currency it charges in, never in one sum with another.
    status = stack.finished(loy)
    blocked, delivered = stack.export(loy)
    assert blocked["reason"] == "Rejected by the operator"
    assert blocked["currency"] == delivered["currency"] == "EUR"
    assert _moment(blocked["provider_changed_at"]) > began
    assert status["cost"] == {"amount": None, "currency": "USD"}
    (cost,) = status["costs"]
    assert (cost["currency"], float(cost["amount"]) > 0, status["priced_count"]) == ("EUR", True, 2)
    assert f"cost {cost['amount']} EUR," in stack.run("status", loy).stdout.decode()

    # LightSMS names no currency with a cost and none is set: what its balance is in counts.
    found = wait_until(
        lambda: (said := stack.json("status", light)["cost"])["currency"] and said, "its currency is learned"
    )
    assert found["currency"] == "EUR"
    assert float(found["amount"]) > 0


def test_a_provider_is_asked_for_so_many_and_for_those_before_a_moment(stack: Stack) -> None:
    stack.simulator("--delivery-seconds", "0", provider="namirial", account="main")
    stack.worker()
    stack.beat()
    for text in ("one", "two"):
        stack.finished(_submitted(stack, "main", DELIVERED, text=text))
    asked = ("message", "--phone", DELIVERED, "--account", "main", "--live")
    newest, oldest = stack.json(*asked)["live"]["sightings"]

    one = stack.json(*asked, "--limit", "1")
    assert (one["live"]["sightings"], len(one["messages"])) == ([newest], 1)
    before = _moment(newest["accepted_at"])
    assert before > _moment(oldest["accepted_at"])
    for moment in (before.isoformat(), before.replace(tzinfo=None).isoformat()):
        assert stack.json(*asked, "--before", moment)["live"]["sightings"] == [oldest]
    early = stack.json(*asked, "--before", "2020-01-01T00:00+02:00")
    assert (early["live"]["sightings"], len(early["messages"])) == ([], 2)  # ours are ours

    for arguments, sentence in (
        ((*asked, "--before", "yesterday"), b"is a moment by ISO 8601"),
        (("message", "--phone", DELIVERED, "--before", "2026-01-01"), b"with --live"),
        (("message", "--id", "4711", "--live", "--before", "2026-01-01"), b"by phone or reference"),
    ):
        done = stack.run(*arguments, check=False)
        assert done.returncode == 2, arguments
        assert sentence in b" ".join(done.stderr.replace(b"\xe2\x94\x82", b"").split()), done.stderr


def test_what_is_set_aside_is_listed_tried_again_and_dropped_by_command(stack: Stack) -> None:
    assert stack.json("aside", "list") == []
    assert b"nothing is set aside" in stack.run("aside", "list").stdout
    for command in (("retry", "receipt:4711"), ("drop", "receipt:4711")):
        done = stack.run("aside", *command, check=False)
        assert (done.returncode, done.stdout.split()[0]) == (1, b"0")
        assert b"not set aside: receipt:4711" in done.stderr
    done = stack.run("aside", "drop", "nothing:x", check=False)
    assert done.returncode == 1
    assert b"names nothing that is set aside" in done.stderr
