"""Tests never sleep a fixed time: they wait for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T], what: str, *, seconds: float = 30.0, every: float = 0.05) -> T:
    """Look again and again until there is something to see, and give it. AssertionError at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


async def until(
    look: Callable[[], Awaitable[T] | T], what: str = "it", *, seconds: float = 60.0, every: float = 0.005
) -> T:
    """`wait_until` for what is looked at with the loop or changed by it: others run meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        seen = await found if isinstance(found, Awaitable) else found
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(every)
