"""Standard input, output and error as a command finds them: closed, full, or with nobody who reads any more.

A command that was started with one of them closed would hand its number to the next file or socket it opens,
and what is then printed would go there. A write that fails would end in a traceback, or in Python's exit code
120 when everything was done. `prepare` sees to both.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

_OUTPUT, _ERROR = 1, 2


class OutputLost(Exception):
    """Standard output takes nothing more. Nothing of what the command did is undone by it.

    `is_reader_gone`: whoever read it had enough, as in `campaigns export ID | head`.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror or type(error).__name__}")
        self.is_reader_gone = isinstance(error, BrokenPipeError)


class _Guarded:
    """A text stream whose failures are said as `OutputLost` (output) or forgotten (error)."""

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
        # What is still held would be tried again at the end of the process, and make its exit code 120.
        _open_null(self._number, os.O_WRONLY)
        with suppress(OSError):
            self._stream.flush()
        if self._number == _OUTPUT:
            raise OutputLost(error) from error


def prepare() -> None:
    """Make the three streams fit for a command. To be called once, before anything is opened or printed.

    One that is closed is opened in such a way that using it fails as it should. What the locale cannot show
    is written as an escape. A failed write to standard output raises OutputLost, once; one to standard error
    is forgotten, as there is nobody left to tell.
    """
    # The wrong way round for input and output: a read or write is then an error, and not silence.
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
    """Write to standard output as it stands: no encoding of the machine's, no other line ends.

    Raises OutputLost where `prepare` was called, OSError elsewhere.
    """
    if isinstance(sys.stdout, _Guarded):
        sys.stdout.write_bytes(data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def end(code: int) -> NoReturn:
    """End the process with `code`, unless standard output cannot take what is still held for it.

    Then 1 with a sentence on standard error; 0 as before where its reader is gone.
    """
    try:
        sys.stdout.flush()
    except OutputLost as lost:
        if code == 0 and not lost.is_reader_gone:
            sys.stderr.write(f"Error: {lost}\n")
            code = 1
    sys.exit(code)
