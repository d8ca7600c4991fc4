"""Holds Ctrl-C, SIGTERM and SIGHUP back while a step must not be interrupted, and delivers them afterwards.

Python raises KeyboardInterrupt between any two instructions. While an event loop is being made, that leaves
half of one; in a finaliser it is printed and lost; between starting a process and remembering that it was
started, the process is left behind.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.05  # between two looks at a signal

_T = TypeVar("_T")


class Interrupts:
    """Holds signals back during a `with` block and delivers the last one at its end.

    Long waits inside the block call `check` or `pause`, so that Ctrl-C still takes effect within a moment.
    Only signals that Python handles are held; one that kills the process does so as before. Outside the main
    thread it does nothing, because no signal is handled there.
    """

    def __init__(self) -> None:
        self._taken: int | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._cancel: Callable[[], object] | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal came since the block began."""
        if self._taken is not None:
            raise KeyboardInterrupt

    def forget(self) -> None:
        """Mark the signals so far as handled: the block's end raises nothing for them."""
        self._taken = None

    def pause(self, seconds: float) -> None:
        """Wait. Raises KeyboardInterrupt as soon as there is a signal."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            self.check()

    def run(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run `work` on an event loop of its own. The first signal since the block began cancels it, and
        KeyboardInterrupt is raised when the loop is closed.

        A second signal raises it at once: a blocking call (a read from a terminal) ends in no other case.
        """
        with asyncio.Runner() as runner:
            try:
                return runner.run(self._cancelled(work))
            except asyncio.CancelledError:
                self.check()
                raise

    async def _cancelled(self, work: Callable[[], Awaitable[_T]]) -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  we are in it
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            if self._taken is not None:
                raise asyncio.CancelledError
            return await work()
        finally:
            self._cancel = None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._cancel is not None:
            self.check()
            self._cancel()
        self._taken = number

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in _HELD:
                    handler = signal.getsignal(number)
                    if callable(handler):
                        self._former[number] = handler
                        signal.signal(number, self._take)
            except BaseException:  # another of the held signals came while we were replacing handlers
                self._restore()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._taken is not None:
            signal.raise_signal(self._taken)


def run_on_loop(work: Callable[[], Awaitable[_T]]) -> _T:
    """Run `work` on an event loop of its own. Ctrl-C cancels it and is raised when the loop is closed."""
    with Interrupts() as interrupts:
        return interrupts.run(work)


@contextmanager
def stopping_on_signals() -> Iterator[Interrupts]:
    """Make SIGTERM and SIGHUP end the block like Ctrl-C does, so that everything stops in the same order.

    Gives the interrupts held meanwhile, for the block to check.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            former[number] = signal.signal(number, interrupt)
    try:
        with Interrupts() as interrupts:
            yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
