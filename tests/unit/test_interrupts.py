"""Ctrl-C where it would do harm: held back, and raised where nothing is cut."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from worker.stack import children
from worker.stack.interrupts import Interrupts, run_on_loop, stopping_on_signals

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are handled in the main thread"
)


def _ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers_are_as_before() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_loop_is_made_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while asyncio makes it. Half a loop would say so by itself when it is thrown away."""
    begun, pair = [], socket.socketpair

    def interrupted() -> tuple[socket.socket, socket.socket]:
        _ctrl_c()
        return pair()

    async def work() -> None:
        begun.append(True)

    monkeypatch.setattr(socket, "socketpair", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_on_loop(work)
    assert begun == []


def test_work_is_cancelled_and_puts_things_in_order() -> None:
    did = []

    async def work() -> None:
        try:
            _ctrl_c()
            did.append("went on to where it waits")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            did.append("closed")

    with pytest.raises(KeyboardInterrupt):
        run_on_loop(work)
    assert did == ["went on to where it waits", "closed"]


def test_a_loop_is_closed_to_its_end() -> None:
    """Ctrl-C while what was left open is closed, after the work."""
    closed, left_open = [], []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            _ctrl_c()
            await asyncio.sleep(0)
            closed.append(True)

    async def work() -> None:
        left_open.append(numbers())
        await anext(left_open[0])

    with pytest.raises(KeyboardInterrupt):
        run_on_loop(work)
    assert closed == [True]


def test_a_second_one_ends_what_holds_up_the_loop() -> None:
    did = []

    async def work() -> None:
        _ctrl_c()
        did.append("went on")
        _ctrl_c()
        did.append("went on again")

    with pytest.raises(KeyboardInterrupt):
        run_on_loop(work)
    assert did == ["went on"]


def test_what_the_work_gives_and_raises_comes_through() -> None:
    async def seven() -> int:
        return 7

    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert run_on_loop(seven) == 7
    with pytest.raises(asyncio.CancelledError):
        run_on_loop(cancelled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_block_is_cut_where_it_lets_them_in(number: signal.Signals) -> None:
    did = []

    async def work() -> None:
        did.append("worked")

    def block() -> None:
        with stopping_on_signals() as interrupts:
            interrupts.check()
            interrupts.pause(0)
            signal.raise_signal(number)
            for cut in (interrupts.check, lambda: interrupts.pause(60), lambda: interrupts.run(work)):
                with pytest.raises(KeyboardInterrupt):
                    cut()
            did.append("put in order")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert did == ["put in order"]


def test_a_block_inside_another_hands_them_on() -> None:
    async def work() -> None:
        _ctrl_c()
        await asyncio.Event().wait()

    with Interrupts() as outer:
        with pytest.raises(KeyboardInterrupt):
            run_on_loop(work)
        with pytest.raises(KeyboardInterrupt):
            outer.check()
        outer.forget()


def test_a_pause_ends_with_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        _ctrl_c()

    monkeypatch.setattr(time, "sleep", sleep)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupts.pause(60)
        interrupts.forget()
    assert len(slept) == 1
    assert slept[0] < 1


def test_one_that_was_answered_is_not_raised_again() -> None:
    with Interrupts() as interrupts:
        _ctrl_c()
        interrupts.forget()
        interrupts.check()


# Asked to end, it sends its starter another Ctrl-C instead.
_STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))
sys.stdout.write("ready")
sys.stdout.flush()
while True:
    signal.pause()
"""


def test_a_further_one_kills_what_does_not_stop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Interrupts() as interrupts:
        family = children.Children(interrupts)
        process = family.start("stubborn", [sys.executable, "-c", _STUBBORN], dict(os.environ), log=log)
        wait_until(lambda: "ready" in log.read_text(), "it ran")
        with pytest.raises(KeyboardInterrupt):
            family.stop()
        assert process.returncode == -signal.SIGKILL
        interrupts.forget()
