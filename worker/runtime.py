"""One event loop, in a thread of its own, and one set of parts for each process. Celery's tasks are threads
that hand a coroutine to this loop and wait for it.

Both are made on first use, by the process that uses them, so that a fork shares none. Celery has no asyncio
tasks, and a loop for each task would mean a database connection for each task.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from campaigns.domain.metrics import UNMETERED, Meter
from worker.bootstrap import Parts, open_parts
from worker.settings.model import Settings
from worker.stack.interrupts import run_on_loop

_T = TypeVar("_T")
_CLOSE_SECONDS = 10.0  # for the loop to end what runs on it


class Runtime:
    """The loop and the parts of this process. Safe to call from any thread."""

    def __init__(
        self, settings: Callable[[], Settings], meter: Callable[[], Meter] = lambda: UNMETERED
    ) -> None:
        self._settings = settings
        self._meter = meter
        self._is_stopping = False
        self._lane_size = 1
        self._begun: list[asyncio.Task[None]] = []
        self._at_close: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._context: AbstractAsyncContextManager[Parts] | None = None
        self._parts: Parts | None = None

    def run(self, work: Callable[[Parts], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` on the loop and wait for its end. Raises what it raises."""
        loop, parts = self._ensure()
        return asyncio.run_coroutine_threadsafe(work(parts), loop).result()

    def set_lane_size(self, count: int) -> None:
        """Set how many batches this process may hand over at once. Call before the first task."""
        self._lane_size = count

    def begin(self, work: Callable[[Parts], Coroutine[Any, Any, None]]) -> None:
        """Start `work` on the loop in the background. `close` cancels it."""

        async def begin(parts: Parts) -> None:
            self._begun.append(asyncio.create_task(work(parts)))

        self.run(begin)

    def at_close(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have `close` run `work` on the loop before it closes the connections."""
        self._at_close.append(work)

    def begin_stopping(self) -> None:
        """Note that the process was asked to end: sending stops after the request under way. Safe in a signal
        handler.
        """
        self._is_stopping = True

    def close(self) -> None:
        """Close the connections and stop the loop, waiting at most ten seconds for what runs. Idempotent."""
        with self._lock:
            loop, thread, context = self._loop, self._thread, self._context
            self._loop = self._thread = self._context = self._parts = None
            if loop is None or thread is None or self._pid != os.getpid():
                return
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(_CLOSE_SECONDS)
            for work in self._at_close:
                asyncio.run_coroutine_threadsafe(work(), loop).result(_CLOSE_SECONDS)
            if context is not None:
                asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(
                    _CLOSE_SECONDS
                )
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_CLOSE_SECONDS)

    async def _end(self) -> None:
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)
        self._begun.clear()

    def _ensure(self) -> tuple[asyncio.AbstractEventLoop, Parts]:
        with self._lock:
            if self._pid != os.getpid():  # first use, or first use after a fork
                self._loop = self._thread = self._context = self._parts = None
                self._pid = os.getpid()
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="campaigns-loop", daemon=True
                )
                self._thread.start()
            if self._parts is None:
                self._context = open_parts(
                    self._settings(), lambda: self._is_stopping, self._lane_size, self._meter()
                )
                self._parts = asyncio.run_coroutine_threadsafe(self._context.__aenter__(), self._loop).result(
                    30
                )
            return self._loop, self._parts


def run_once(settings: Settings, work: Callable[[Parts], Awaitable[_T]], meter: Meter = UNMETERED) -> _T:
    """Run `work` on a loop of its own, for a command that does one thing. Ctrl-C cancels it."""

    async def whole() -> _T:
        async with open_parts(settings, meter=meter) as parts:
            return await work(parts)

    return run_on_loop(whole)
