"""Calls of adapters that end in time and in an answer, whatever the adapter does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from campaigns.domain.errors import origin_of

_T = TypeVar("_T")


async def call_adapter(call: Awaitable[_T], until: float, in_vain: Callable[[str], _T]) -> _T:
    """What an adapter answers by `until`, a moment of the running loop's clock.

    Where it hangs or breaks down, gives what `in_vain` makes of the reason. Raises nothing but cancellation.
    """
    try:
        async with asyncio.timeout_at(until):
            return await call
    except TimeoutError:
        return in_vain("the adapter gave no answer in time")
    except Exception as error:  # a bug in an adapter must not lose the other results
        return in_vain(f"the adapter broke down: {origin_of(error)}")
