"""Ctrl-C held back while a step must not be cut in the middle."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from worker.embedded.errors import Interrupted

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Holds signals back for the length of a `with` block and delivers the last one at its end.

    Without it a KeyboardInterrupt could fall between starting a process and writing down that it was
    started. Long waits inside the block call `check`, so a person still waits no longer than a moment.
    Holds only signals that Python handles: one that kills the process outright kills it as before.
    Outside the main thread it does nothing, as no signal is handled there.
    """

    def __init__(self) -> None:
        self._taken: int | None = None
        self._former: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raise Interrupted when a signal came since the block began."""
        if self._taken is not None:
            raise Interrupted("Starting the embedded servers was interrupted.")

    def _take(self, number: int, _frame: FrameType | None) -> None:
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
