"""The simulator as a process: how it starts and ends, what it logs, what it knows."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from simulator import command, server
from simulator.options import Options
from tests.waiting import until

from .client import DEADLINE_SECONDS, PHONE, Simulator, running
from .conftest import Start


async def test_no_number_text_or_key_is_logged(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await simulator.send(text="a secret word")
    too_long = await simulator.get("/external/get/send.php?phone=" + ",".join([PHONE] * 800))
    assert too_long.status == 400
    assert "LineTooLong" in caplog.text

    for kept in (PHONE, PHONE[-7:], "secret", simulator.options.api_key, "phone="):
        assert kept not in caplog.text
    assert simulator.options.api_key not in repr(simulator.options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"login": ""},
        {"api_key": ""},
        {"balance": Decimal(-1)},
        {"price": Decimal("-0.1")},
        {"delivery_seconds": -1},
        {"latency_seconds": -1},
        {"max_recipients": 0},
        {"error_form": "loud"},
        {"forbidden_words": ("",)},
        {"timezone": "Europe/Nowhere"},
        {"timezone": "../etc/passwd"},
    ],
)
def test_wrong_options_are_refused_with_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        Options(**wrong)


def test_every_option_can_be_typed_and_has_one_default() -> None:
    parser = command._parser("simulator")
    given = vars(parser.parse_args([]))
    assert {action.dest for action in parser._actions} == {*given, "help"}
    assert (given.pop("host"), given.pop("port")) == ("127.0.0.1", 8025)
    assert given.keys() == {each.name for each in fields(Options)}
    assert Options(**given) == Options()


def test_what_may_be_repeated_adds_to_the_default() -> None:
    given = command._parser("simulator").parse_args(
        [
            *("--sender", "Shop", "--sender", "Other", "--forbidden-word", "lottery"),
            *("--callback-retry-seconds", "1", "--callback-retry-seconds", "2.5"),
        ]
    )
    assert given.senders == ("Shop", "Other")
    assert given.forbidden_words == ("casino", "lottery")
    assert given.callback_retry_seconds == (1.0, 2.5)


async def _begin(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _accepted(simulator: Simulator, count: int) -> bool:
    return await simulator.accepted() >= count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_process_says_where_it_listens_and_ends_cleanly(number: int, start: Start) -> None:
    process = await _begin("--port", "0", "--sender", "Shop", "--api-key", "another key", "--price", "0.05")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("simulator listening on http://127.0.0.1:")
        here = await start(api_key="another key")
        there = Simulator(line.split()[-1], here.options, here.session)
        assert (await there.send(sender="Shop")).json()[PHONE]["cost"] == "0.05"
        await there.fault("send", "hang_after", seconds=3600)
        hanging = asyncio.create_task(there.speak(there.send_target()))
        await until(lambda: _accepted(there, 2))
        os.kill(process.pid, number)
        rest, errors = await process.communicate()
        assert await hanging == b""
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_nothing_that_waits_holds_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SHUTDOWN_SECONDS", 3600.0)  # aiohttp's own patience would hide it
    async with running(latency_seconds=3600) as simulator:
        await simulator.fault("balance", "hang", seconds=3600)
        await simulator.fault("timestamp", "drip", seconds=3600)
        lines = [await simulator.connect() for _ in range(3)]
        await lines[0].ask(simulator.target("balance", simulator.signed()))
        await lines[1].ask("/external/get/timestamp.php")
        await lines[2].ask(simulator.send_target())
        await until(lambda: _accepted(simulator, 1))
    # `running` gave it no longer than the deadline.
    for line in lines:
        await line.rest()
        await line.close()


async def test_the_process_says_why_it_cannot_start(simulator: Simulator) -> None:
    port = simulator.url.rsplit(":", 1)[1]
    for arguments, words in (
        (["--port", port], "cannot listen on"),
        (["--max-recipients", "0"], "max_recipients"),
        (["--port", "65536"], "--port"),
        (["--balance", "much"], "much is no amount"),
    ):
        process = await _begin(*arguments)
        async with asyncio.timeout(DEADLINE_SECONDS):
            _, errors = await process.communicate()
        assert process.returncode not in (0, None)
        assert words in errors.decode()
        assert "Traceback" not in errors.decode()


def test_it_knows_nothing_of_campaigns() -> None:
    program = """if True:
        import sys, simulator.__main__
        sys.exit(any(name.startswith("campaigns.") or name == "celery" for name in sys.modules))
    """
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
