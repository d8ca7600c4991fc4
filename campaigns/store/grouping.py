"""Group commit: calls of one kind that come at the same time share one statement and one commit.

Sixteen batches that end at once cost one commit, not sixteen. A kind of call is a function with `@grouped`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from campaigns.grouping import Grouping
from campaigns.store.session import UNSTORABLE, Database

_P = ParamSpec("_P")
_A = TypeVar("_A")
_R = TypeVar("_R")

Work: TypeAlias = Callable[[Database, Sequence[_A]], Awaitable[Sequence[_R]]]
"""Does a whole group, in one transaction. Gives one result for each call, in order."""

_CONCURRENCY = 2  # groups of one kind at once: while one waits for the disk, the next is made ready

_works: list[Work[Any, Any]] = []


class TwoHolders(Exception):
    """Two calls of one group say that they hold the same batch. They are done one by one: what is true of
    one must not be taken for the other's.
    """


def grouped(
    call: Callable[_P, _A],
    *,
    alone: Callable[[Database, _A], Awaitable[Any]] | None = None,
    at_once: Callable[[_A], bool] | None = None,
) -> Callable[[Work[_A, _R]], Callable[Concatenate[Database, _P], Coroutine[Any, Any, _R]]]:
    """Make the function that does a group's work into one that is called for a single call.

    Takes `call`, the class of what one call asks for: its fields become the parameters, after the database.
    The function below the decorator takes a sequence of these, does all of them in one transaction, gives
    one result for each, in order, and has no effect when it raises. An empty group must be harmless:
    `prepare` runs one on new connections.

    A group that PostgreSQL refuses for what one call holds (UNSTORABLE), or that raises TwoHolders, is done
    again in halves, so that the others succeed. `alone` does what was refused by itself and gives what the
    work would have; without it that caller gets the error. Every other error is raised to all callers as it
    is; nothing is tried again.

    `at_once` says whether a call is urgent: the group that it begins waits for no others. Other groups wait
    `database.group_wait_seconds`.
    """

    def decorate(work: Work[_A, _R]) -> Callable[Concatenate[Database, _P], Coroutine[Any, Any, _R]]:
        _works.append(work)

        async def ask(database: Database, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            asked = call(*args, **kwargs)
            is_urgent = at_once is not None and at_once(asked)
            wait_seconds = 0.0 if is_urgent else database.group_wait_seconds
            try:
                return await _grouping(database, work)(asked, wait_seconds)
            except UNSTORABLE:
                if alone is None:
                    raise
                result: _R = await alone(database, asked)
                return result

        for name in ("__module__", "__name__", "__qualname__", "__doc__"):  # not the parameters: they differ
            setattr(ask, name, getattr(work, name))
        return ask

    return decorate


def _grouping(database: Database, work: Work[_A, _R]) -> Grouping[_A, _R]:
    grouping: Grouping[_A, _R] | None = database.groupings.get(work)
    if grouping is None:
        grouping = Grouping(
            partial(work, database), concurrency=_CONCURRENCY, split_on=(*UNSTORABLE, TwoHolders)
        )
        database.groupings[work] = grouping
    return grouping


_CONNECTIONS = 6  # what a busy process uses at once


async def prepare(database: Database) -> None:
    """Open as many connections as a busy process uses and run an empty group of every kind on each.

    So no campaign waits for connecting, compiling and planning. Changes nothing. Raises DatabaseUnavailable.
    """
    for work in _works:
        await asyncio.gather(*(work(database, []) for _ in range(_CONNECTIONS)))
