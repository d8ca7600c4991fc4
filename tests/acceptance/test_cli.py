"""The operator's commands, one by one, against real servers (no worker: nothing is handed over)."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from tests.acceptance.processes import Stack, csv_of

pytestmark = pytest.mark.acceptance

ROWS = [
    {"phone": "+37060000001", "name": "Ona", "state": "vip"},
    {"phone": "8 600 00002", "name": "Jonas", "state": ""},
    {"phone": "12", "name": "Nobody", "state": ""},
    {"phone": "+370 600 00001", "name": "Ona again", "state": ""},
]


@pytest.fixture
def ready(stack: Stack) -> Stack:
    """A stack with a simulated account."""
    stack.simulator()
    return stack


def _submit(stack: Stack, *more: str) -> str:
    status = stack.json(
        "submit",
        "-",
        "--account",
        "main",
        "--text",
        "Hello {name}",
        "--region",
        "lt",
        *more,
        stdin=csv_of(ROWS),
    )
    return str(status["id"])


def test_submit_prints_the_public_object(ready: Stack) -> None:
    """The keys other programs rely on, and what was refused, by reason."""
    status = ready.json(
        "submit", "-", "--account", "main", "--text", "Hello {name}", "--region", "LT", stdin=csv_of(ROWS)
    )

    assert set(status) >= {
        "id", "name", "account", "state", "recipient_count", "totals", "segment_count", "cost", "created_at",
        "finished_at", "refused",
    }  # fmt: skip
    assert (status["state"], status["recipient_count"]) == ("accepted", 2)
    assert status["refused"] == {"duplicate": 1, "too_short": 1}
    assert status["totals"]["queued"] == 2
    assert status["cost"] == {"amount": "0.00", "currency": "EUR"}


def test_the_same_key_twice_is_one_campaign_and_other_content_an_error(ready: Stack) -> None:
    """From two processes, one after the other."""
    first = _submit(ready, "--submission-key", "k")
    assert _submit(ready, "--submission-key", "k") == first

    other = ready.run(
        "submit",
        "-",
        "--account",
        "main",
        "--text",
        "Bye",
        "--submission-key",
        "k",
        stdin=csv_of(ROWS),
        check=False,
    )
    assert other.returncode == 1
    assert b"used before" in other.stderr
    assert len(ready.json("list")) == 1


def test_what_cannot_be_taken_in_is_one_sentence_and_exit_code_1(ready: Stack) -> None:
    """A missing column, an unknown account, a file that is not there, an empty one."""
    cases = [
        (["submit", "-", "--account", "main", "--text", "Hi {city}"], csv_of(ROWS), b"city"),
        (["submit", "-", "--account", "nobody", "--text", "Hi"], csv_of(ROWS), b"main"),
        (["submit", "missing.csv", "--account", "main", "--text", "Hi"], b"", b"missing.csv"),
        (["submit", "-", "--account", "main", "--text", "Hi"], b"", b"empty"),
        (
            ["submit", "-", "--account", "main", "--text", "Hi", "--region", "Lithuania"],
            csv_of(ROWS),
            b"region",
        ),
        (["status", "12"], b"", b"campaigns list"),
    ]
    for arguments, stdin, said in cases:
        done = ready.run(*arguments, stdin=stdin, check=False)
        assert done.returncode == 1, arguments
        assert said in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr
    assert ready.json("list") == []


def test_wrong_usage_is_exit_code_2(ready: Stack) -> None:
    """As the shell expects."""
    for arguments in (["submit"], ["status"], ["nonsense"], ["export", "x", "--format", "xml"]):
        assert ready.run(*arguments, check=False).returncode == 2


def test_export_has_every_recipient_and_their_own_columns(ready: Stack) -> None:
    """CSV and JSONL; a column that is called like one of ours keeps its value under another name."""
    campaign_id = _submit(ready)
    lines = list(csv.DictReader(io.StringIO(ready.run("export", campaign_id).stdout.decode())))

    assert [line["phone"] for line in lines] == ["+37060000001", "+37060000002"]
    assert [line["row"] for line in lines] == ["2", "3"]
    assert [(line["state"], line["recipient_state"], line["name"]) for line in lines] == [
        ("queued", "vip", "Ona"),
        ("queued", "", "Jonas"),
    ]
    assert [line["phone"] for line in ready.export(campaign_id)] == ["+37060000001", "+37060000002"]
    refused = ready.run("export", campaign_id, "--refused").stdout.decode().splitlines()
    assert refused == ["row,reason,column", "4,too_short,", "5,duplicate,"]


def test_pause_resume_cancel(ready: Stack) -> None:
    """Each says how it stands; what a state does not allow is an error."""
    campaign_id = _submit(ready)

    assert b"paused" in ready.run("pause", campaign_id).stdout
    assert ready.json("status", campaign_id)["state"] == "paused"
    assert b"running" in ready.run("resume", campaign_id).stdout
    assert b"cancelled" in ready.run("cancel", campaign_id).stdout

    status = ready.json("status", campaign_id)
    assert (status["state"], status["totals"]["cancelled"]) == ("cancelled", 2)
    assert status["finished_at"] is not None
    assert ready.run("resume", campaign_id, check=False).returncode == 1


def test_the_suppression_list(ready: Stack) -> None:
    """A number on it is stored as suppressed and never sent to."""
    assert b"1 added" in ready.run("suppression", "add", "8 600 00002", "--region", "LT").stdout
    listed = ready.run("suppression", "list").stdout.decode()
    assert "37060000002" not in listed
    assert "002" in listed

    assert ready.json("status", _submit(ready))["totals"]["suppressed"] == 1

    assert b"1 removed" in ready.run("suppression", "remove", "+37060000002").stdout
    erased = ready.json("erase", "8 699 99999", "--region", "LT", "--yes")
    assert erased == {"erased_count": 0, "open_count": 0}


def test_account_balance_and_statistics(ready: Stack) -> None:
    """Asked of the provider."""
    assert ready.json("account", "main", "balance") == {
        "account": "main",
        "amount": "1000000.00",
        "currency": "EUR",
    }
    assert ready.json("account", "main", "stats", "--month", "2026-01") == []
    assert b"was not on hold" in ready.run("account", "main", "resume").stdout
    assert b"none was on hold" in ready.run("resume", "--all-accounts").stdout
    assert ready.run("resume", check=False).returncode == 2
    assert ready.run("account", "nobody", "balance", check=False).returncode == 1


def test_doctor_says_one_line_each(ready: Stack) -> None:
    """All well, then a provider that is gone."""
    lines = ready.run("doctor").stdout.decode().splitlines()
    assert {line[:4] for line in lines} <= {"ok  ", "note"}  # the servers out of wheels are old
    assert {"settings", "database", "schema", "redis", "account main"} <= {
        line[5:].partition(":")[0].strip() for line in lines
    }

    ready.stop("simulator")
    gone = ready.run("doctor", check=False)
    assert gone.returncode == 1
    assert b"FAIL  account main" in gone.stdout


def test_the_simulator_speaks_for_one_provider(stack: Stack) -> None:
    """Any that there is; another is wrong usage, and so is a wrong number."""
    url = stack.simulator("--provider", "lightsms", "--callback-retry-seconds", "1")
    assert url.startswith("http://127.0.0.1:")
    cases = [
        ("simulator", "--provider", "twilio"),
        ("demo", "--provider", "twilio"),
        ("simulator", "--seed", "x"),
        ("simulator", "--latency-seconds", "-1"),
    ]
    for arguments in cases:
        done = stack.run(*arguments, check=False)
        assert done.returncode == 2, arguments
        assert b"Traceback" not in done.stderr
    port = url.rpartition(":")[2]
    taken = stack.run("simulator", "--port", port, check=False)
    assert taken.returncode == 1
    assert taken.stderr.startswith(f"Error: the simulator cannot listen on 127.0.0.1:{port}: ".encode())
    shown = stack.run("simulator", "--help").stdout.decode()
    assert "--max-recipients" in shown
    assert "campaigns simulator" in shown


def test_a_workbook_is_taken_in_as_it_shows(ready: Stack) -> None:
    """As LibreOffice saved it, from a file and through a pipe; what is no list is named."""
    sheets = Path(__file__).parents[1] / "unit" / "sheets"
    submit = ("--account", "main", "--text", "Hello {name}, {amount}")
    status = ready.json("submit", str(sheets / "libreoffice.xlsx"), *submit)
    assert status["recipient_count"] == 2
    packed = gzip.compress((sheets / "libreoffice.ods").read_bytes())
    again = ready.json("submit", "-", *submit, "--sheet", "a", stdin=packed)
    assert again["recipient_count"] == 2
    refused = ready.run("submit", "-", *submit, stdin=b"%PDF-1.7\n", check=False)
    assert refused.returncode == 1
    assert "is a PDF" in refused.stderr.decode()
