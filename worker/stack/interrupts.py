"""Ctrl-C and its like: held back while a step must not be cut, and let in where one may end.

Python raises KeyboardInterrupt between any two instructions. In the middle of making an event loop it leaves
half of one, in a finaliser or a callback of a weak reference it is printed and forgotten, between starting a
process and writing down that it was started it leaves that behind.
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
    """Holds signals back for the length of a `with` block and delivers the last one at its end.

    Long waits inside the block call `check` or `pause`, so a person still waits no longer than a moment.
    Holds only signals that Python handles: one that kills the process outright kills it as before.
    Outside the main thread it does nothing, as no signal is handled there.
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
        """What came so far is answered: nothing is raised for it at the end of the block."""
        self._taken = None

    def pause(self, seconds: float) -> None:
        """Wait for so long. Raises KeyboardInterrupt as soon as there is a signal."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            self.check()

    def run(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run `work` on an event loop of its own, cancelled by the first signal since the block began: then
        raises KeyboardInterrupt, when the loop is closed.

        A second one raises it where it falls: what is held up by more than the loop (a read from a terminal)
        ends by that alone.
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
    """Make SIGTERM and SIGHUP end the block like Ctrl-C does, so that the same order is kept; each of them
    where the block lets it in.
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
