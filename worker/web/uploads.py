"""Bodies of requests that may be large or slow: read as they come, by a thread, with bounds on both.

The thread that cleans rows pulls each piece from the socket, so that a client is read no faster than its rows
are stored. Large submissions have threads of their own: a client that stops in the middle holds up nobody but
the next large submission.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

MOST_LARGE_SUBMISSIONS = 2
"""At once, in one process: with eight, every other answer takes half a second. More processes take more."""

IDLE_SECONDS = 30.0
"""A body of which nothing comes for so long is given up."""

_LEAST_BYTES_PER_SECOND = 1_000  # on average, over the time that was waited for the client
_PATIENCE_SECONDS = 60.0  # before the average counts


# What aiohttp raises of a body that is cut off, and of a form's part that is not closed or has no head.
_UNREADABLE = (
    web.RequestPayloadError,
    HttpProcessingError,
    ConnectionError,
    ValueError,
    RuntimeError,
    AssertionError,
)


class UploadFailed(Exception):
    """A body that did not come as it should: `status` is the answer, the sentence says how to mend it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Busy(Exception):
    """As many large submissions are under way as there may be."""


class Upload:
    """One body, read once, by the loop or by a thread beside it.

    Takes what reads the next piece (b"" at the end; it may raise what aiohttp raises), and how many bytes
    there may be (None: any number). Made on the loop that reads.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        *,
        most_bytes: int | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._read = read
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._byte_count = 0
        self._waited_seconds = 0.0
        self._is_given_up = False
        self._reading: asyncio.Task[bytes] | None = None

    async def next(self) -> bytes:
        """The next piece, b"" at the end. Raises UploadFailed."""
        if self._is_given_up:
            raise _incomplete()
        began_at = self._loop.time()
        self._reading = asyncio.current_task()
        try:
            async with asyncio.timeout(self._idle_seconds):
                piece = await self._read()
        except TimeoutError:
            raise UploadFailed(
                408, f"nothing of the body came for {self._idle_seconds:g} s; send it again"
            ) from None
        except _UNREADABLE:
            raise _incomplete() from None
        finally:
            self._reading = None
        self._waited_seconds += self._loop.time() - began_at
        self._byte_count += len(piece)
        if self._most_bytes is not None and self._byte_count > self._most_bytes:
            raise UploadFailed(413, f"the body has more than {self._most_bytes} bytes")
        if piece and self._is_too_slow():
            raise UploadFailed(408, f"the body came at less than {_LEAST_BYTES_PER_SECOND} bytes a second")
        return piece

    def _is_too_slow(self) -> bool:
        # Only the time counts in which we waited for the client: it may have to wait for us, too.
        counted_seconds = self._waited_seconds - _PATIENCE_SECONDS
        return counted_seconds * _LEAST_BYTES_PER_SECOND > self._byte_count

    async def whole(self) -> bytes:
        """All of it, in memory: for a body with a bound. Raises UploadFailed."""
        pieces = []
        while piece := await self.next():
            pieces.append(piece)
        return b"".join(pieces)

    def pieces(self) -> Iterator[bytes]:
        """All of it, piece by piece, for a thread that is not the loop's. Raises UploadFailed."""
        while True:
            reading = asyncio.run_coroutine_threadsafe(self.next(), self._loop)
            try:
                piece = reading.result()
            except CancelledError:
                raise _incomplete() from None
            if not piece:
                return
            yield piece

    def give_up(self) -> None:
        """Read no more: a thread that waits for a piece goes on at once, with UploadFailed. For the loop."""
        self._is_given_up = True
        if self._reading is not None:
            self._reading.cancel()


def _incomplete() -> UploadFailed:
    return UploadFailed(400, "the body did not come whole; nothing was stored: send it again")


class LargeSubmissions:
    """The threads of large submissions: as many as there may be at once. For one loop."""

    def __init__(self, most: int = MOST_LARGE_SUBMISSIONS) -> None:
        self._free_count = self._most = most
        self._uploads: WeakSet[Upload] = WeakSet()
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="upload")

    @property
    def running_count(self) -> int:
        """How many there are now."""
        return self._most - self._free_count

    def upload(self, read: Callable[[], Awaitable[bytes]], *, most_bytes: int | None = None) -> Upload:
        """A body of one of them, as `Upload` takes it: given up when all are."""
        made = Upload(read, most_bytes=most_bytes)
        self._uploads.add(made)
        return made

    def give_up(self) -> None:
        """Read none of them any more: nothing of what had not come whole is stored. For the loop."""
        for upload in list(self._uploads):
            upload.give_up()

    @property
    def threads(self) -> Executor:
        """To read and clean with, for whoever has a slot."""
        return self._threads

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One of them, for the length of the block. Raises Busy at once where none is free."""
        if not self._free_count:
            raise Busy
        self._free_count -= 1
        try:
            yield
        finally:
            self._free_count += 1

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
