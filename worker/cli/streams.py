"""Standard input, output and error that may be closed, full, or have no reader any more.

If a command starts with one of them closed, the next file or socket that it opens gets that number, and
output goes there. If a write fails, Python ends with a traceback, or with exit code 120 although everything
was done. `prepare` prevents both.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

_OUTPUT, _ERROR = 1, 2


class OutputLost(Exception):
    """Standard output takes nothing more. What the command did stays done.

    `is_reader_gone`: its reader closed it, as in `campaigns export ID | head`.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or type(error).__name__}")
        self.is_reader_gone = isinstance(error, BrokenPipeError)


class _Guarded:
    """A text stream that raises `OutputLost` when output fails, and ignores failures of error output."""

    def __init__(self, stream: Any, number: int) -> None:
        self._stream = stream
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._lose(error)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        try:
            self._stream.flush()
            self._stream.buffer.write(data)
        except OSError as error:
            self._lose(error)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        # Python would try to write the buffer again when the process ends, and make its exit code 120.
        _open_null(self._number, os.O_WRONLY)
        with suppress(OSError):
            self._stream.flush()
        if self._number == _OUTPUT:
            raise OutputLost(error) from error


def prepare() -> None:
    """Prepare the three streams for a command. Call it once, before anything is opened or printed.

    A closed one is reopened so that using it fails. Characters that the locale cannot show are written as
    escapes. A failed write to standard output raises OutputLost, once; one to standard error is ignored.
    """
    # Input is opened for writing and output for reading: using them is then an error and not silence.
    for number, flags in ((0, os.O_WRONLY), (_OUTPUT, os.O_RDONLY), (_ERROR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number, flags)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = _guarded(sys.stdout, _OUTPUT)
    sys.stderr = _guarded(sys.stderr, _ERROR)


def _open_null(number: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    os.dup2(null, number)
    if null != number:
        os.close(null)


def _guarded(stream: Any, number: int) -> TextIO:
    if stream is None:
        stream = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)), encoding="utf-8", line_buffering=True
        )
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return cast(TextIO, _Guarded(stream, number))


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output unchanged: not in the locale's encoding, with no other line ends.

    Raises OutputLost where `prepare` was called, OSError elsewhere.
    """
    if isinstance(sys.stdout, _Guarded):
        sys.stdout.write_bytes(data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def end(code: int) -> NoReturn:
    """End the process with `code`, after flushing standard output.

    If that fails, a `code` of 0 becomes 1, with a sentence on standard error; not if its reader is gone.
    """
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        if code == 0 and not lost.is_reader_gone:
            sys.stderr.write(f"Error: {lost}\n")
            code = 1
    sys.exit(code)
