"""Calls that come at the same time, done as one: what databases call group commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")

_MOST = 64  # asked for in one round


class Gathering(Generic[_A, _R]):
    """What is asked for while a round is under way goes into the next one.

    Takes `work`, which gives one result for each of what was asked, in order, and how many rounds may be
    under way at once.

    A round that fails for what one of them asked (`alone` names those errors) is done again, each ask by
    itself, so that one that cannot be done fails alone: `work` must have had no effect then, or one that may
    be had twice. Any other error is everybody's. Lives on one event loop.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_A]], Awaitable[Sequence[_R]]],
        *,
        rounds: int = 1,
        alone: tuple[type[Exception], ...] = (),
    ) -> None:
        self._work = work
        self._free = rounds
        self._company_seconds = 0.0
        self._alone = alone
        self._waiting: list[tuple[_A, asyncio.Future[_R]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, asked: _A, company_seconds: float = 0.0) -> _R:
        """The result for `asked`. A caller that is cancelled before its round began asked for nothing.

        Takes how long a round that begins now should wait for company (0: for nobody).
        """
        loop = asyncio.get_running_loop()
        self._company_seconds = company_seconds
        result: asyncio.Future[_R] = loop.create_future()
        self._waiting.append((asked, result))
        if self._free:
            self._free -= 1
            task = loop.create_task(self._go_round())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await result

    async def _go_round(self) -> None:
        try:
            while self._waiting:
                if self._company_seconds and len(self._waiting) < _MOST:
                    await asyncio.sleep(self._company_seconds)
                together, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._do([(asked, result) for asked, result in together if not result.done()])
        except BaseException:  # the loop is being closed
            for _, result in self._waiting:
                result.cancel()
            raise
        finally:
            self._free += 1

    async def _do(self, together: Sequence[tuple[_A, "asyncio.Future[_R]"]]) -> None:
        if not together:
            return
        try:
            results = await self._work([asked for asked, _ in together])
            pairs = list(zip(together, results, strict=True))
        except Exception as error:
            if len(together) > 1 and isinstance(error, self._alone):
                for each in together:
                    await self._do([each])
                return
            for _, result in together:
                if not result.done():
                    result.set_exception(error)
            return
        except BaseException:  # the loop is being closed
            for _, result in together:
                result.cancel()
            raise
        for (_, result), found in pairs:
            if not result.done():
                result.set_result(found)
