"""Grouping of calls: those that come at the same time are done together, as in a group commit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")


def _one(_: object) -> int:
    return 1


class Grouping(Generic[_A, _R]):
    """Does the calls of one kind in groups: what comes while a group is under way goes into the next one.

    Takes `work`, which does a whole group and gives one result for each call, in order; `concurrency`, how
    many groups may be under way at once; `most`, the largest group, counted by `size_of` a call (a call that
    is larger alone is a group of its own); `split_on`, the errors that speak of what one call asked for.

    A group that fails with one of `split_on` is halved and each half is done again, until the call at fault
    fails alone. So `work` must have had no effect when it raises them, or one that may be had twice. Every
    other error is raised to all callers of the group as it is, with its type and traceback, and nothing is
    tried again. `keeps`: what was asked for is done though its caller is gone. Lives on one event loop.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_A]], Awaitable[Sequence[_R]]],
        *,
        concurrency: int = 1,
        most: int = 64,
        size_of: Callable[[_A], int] = _one,
        split_on: tuple[type[Exception], ...] = (),
        keeps: bool = False,
    ) -> None:
        self._work = work
        self._free = concurrency
        self._most = most
        self._size_of = size_of
        self._split_on = split_on
        self._keeps = keeps
        self._wait_seconds = 0.0
        self._waiting: deque[tuple[_A, asyncio.Future[_R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, asked: _A, wait_seconds: float = 0.0) -> _R:
        """The result for `asked`. A caller that is cancelled before its group began asked for nothing, unless
        this `keeps`.

        `wait_seconds`: how long a group that begins now waits for more calls. 0: not at all.
        """
        return await self.start(asked, wait_seconds)

    def start(self, asked: _A, wait_seconds: float = 0.0) -> asyncio.Future[_R]:
        """Like a call, without waiting for the result. Cancelling what it gives takes the call back."""
        loop = asyncio.get_running_loop()
        self._wait_seconds = wait_seconds
        result: asyncio.Future[_R] = loop.create_future()
        self._waiting.append((asked, result))
        if self._free:
            self._free -= 1
            task = loop.create_task(self._do_all())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return result

    async def finish(self) -> None:
        """Return when everything asked for so far has its result."""
        while self._running:
            await asyncio.wait(self._running)

    async def _do_all(self) -> None:
        try:
            while self._waiting:
                if self._wait_seconds and len(self._waiting) < self._most:
                    await asyncio.sleep(self._wait_seconds)
                group = self._next_group()
                if not self._keeps:
                    group = [(asked, result) for asked, result in group if not result.done()]
                await self._do(group)
        except BaseException:  # the loop is being closed: nobody does what still waits
            for _, result in self._waiting:
                result.cancel()
            raise
        finally:
            self._free += 1

    def _next_group(self) -> list[tuple[_A, asyncio.Future[_R]]]:
        group = [self._waiting.popleft()] if self._waiting else []  # another group may have taken all
        size = sum(self._size_of(asked) for asked, _ in group)
        while self._waiting and (size := size + self._size_of(self._waiting[0][0])) <= self._most:
            group.append(self._waiting.popleft())
        return group

    async def _do(self, group: Sequence[tuple[_A, asyncio.Future[_R]]]) -> None:
        if not group:
            return
        try:
            results = await self._work([asked for asked, _ in group])
            pairs = list(zip(group, results, strict=True))
        except self._split_on as error:
            if len(group) == 1:
                _fail(group, error)
                return
        except Exception as error:  # not tried again: raised to each caller, who is the one to report it
            _fail(group, error)
            return
        except BaseException:  # the loop is being closed
            for _, result in group:
                result.cancel()
            raise
        else:
            for (_, result), found in pairs:
                if not result.done():
                    result.set_result(found)
            return
        middle = len(group) // 2
        await self._do(group[:middle])
        await self._do(group[middle:])


def _fail(group: Sequence[tuple[object, asyncio.Future[_R]]], error: Exception) -> None:
    for _, result in group:
        if not result.done():
            result.set_exception(error)
