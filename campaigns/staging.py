"""Stages a submission's rows: each portion is stored while a thread cleans the next."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

from campaigns.cleaning import Cleaner, Portion
from campaigns.domain.blocks import Block
from campaigns.domain.errors import SubmissionError
from campaigns.store.filling import Filled, Filler, Filling
from campaigns.store.session import Database
from campaigns.store.submission import Intake, intake

_Next = tuple[Portion | None, Filled | None]
_T = TypeVar("_T")


@asynccontextmanager
async def staged(
    database: Database,
    cleaner: Cleaner,
    rows: Iterable[Block],
    *,
    executor: Executor | None = None,
    hear: Callable[[Portion], None] | None = None,
    open_filling: Callable[[Intake, Portion], Awaitable[Filling | None]] | None = None,
) -> AsyncIterator[Intake]:
    """All rows, cleaned and staged, in a transaction that ends with the block: kept only if it is accepted.

    Takes rows as `submit` does, and the executor whose threads read and clean them (None: asyncio's own).
    `hear` hears each portion once it is on its way to the database. `open_filling` gives, for a first portion
    that may not be the last and has recipients, what puts them where they stay instead. Raises
    SubmissionError.
    """
    portions = cleaner.portions(rows)
    filling: Filling | None = None

    def in_thread(work: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(executor, work, *arguments)

    def clean_next() -> asyncio.Future[_Next]:
        return in_thread(_next, portions, filling.filler if filling is not None else None)

    # Most of what is wrong with a file shows in its first rows: that costs no connection.
    portion, filled = await clean_next()
    if portion is None:
        raise SubmissionError("there are no recipients in it; give at least one row")
    # The next one is cleaned while this one is stored: one is held that is, or two where rows are filled.
    cleaning: asyncio.Future[_Next] | None = clean_next()
    try:
        async with intake(database) as door:
            if open_filling is not None and portion.recipients and not portion.is_last:
                filling = await open_filling(door, portion)
            async with filling or nullcontext():
                while portion is not None:
                    if filling is not None:
                        await filling.give_ids(2 * len(portion.recipients))  # for the next one, too
                        filled = filled or await in_thread(filling.filler.fill, portion.recipients)
                    if cleaning is None:
                        cleaning = clean_next()
                    await _store(door, filling, portion, filled)
                    if hear is not None:
                        hear(portion)
                    if filling is not None:
                        await filling.settle_unless(cleaning)
                    portion, filled = await cleaning
                    cleaning = None
            yield door
    except Exception:
        # Once this has raised nobody reads the rows any more: the caller may close their file.
        if cleaning is not None:
            await asyncio.gather(cleaning, return_exceptions=True)
        raise
    except BaseException:
        if cleaning is not None:
            cleaning.cancel()
        raise


async def _store(door: Intake, filling: Filling | None, portion: Portion, filled: Filled | None) -> None:
    if filling is None or filled is None:
        await door.add(portion.recipients, portion.refusals)
        return
    await filling.store(filled)
    if filled.uncertain or portion.refusals:
        await filling.settle()
        await door.add(filled.uncertain, portion.refusals)


def _next(portions: Iterator[Portion], filler: Filler | None) -> _Next:
    try:
        portion = next(portions, None)
    except OSError as error:  # said here: further out it would be taken for the database's
        raise SubmissionError(f"the recipients cannot be read to their end: {error.strerror}") from error
    filled = filler.fill(portion.recipients) if filler is not None and portion is not None else None
    return portion, filled
