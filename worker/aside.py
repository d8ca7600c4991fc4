"""What was set aside, of every kind: receipts and events in the database, tasks in Redis.

For commands and the API. An item is named `KIND:NUMBER`. A new kind is one more entry in `KINDS` with three
coroutine functions: the first lists the oldest items, up to a limit; the others take numbers and give those
that were found.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from campaigns import aside
from campaigns.domain.errors import CampaignError, WitnessUnavailable
from campaigns.store.session import Database
from worker import shapes
from worker.broker import aside_tasks

if TYPE_CHECKING:
    from redis.asyncio import Redis

Act = Literal["retry", "drop"]
"""retry: have it done again, and what still cannot be done is set aside again. drop: forget it for good."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of things that are set aside."""

    shape: type[shapes.Aside]
    listed: "Callable[[Database, Redis, int], Awaitable[Sequence[shapes.Aside]]]"
    acts: "Mapping[Act, Callable[[Database, Redis, Sequence[int]], Awaitable[Sequence[int]]]]"


async def _receipts(database: Database, _redis: "Redis", limit: int) -> list[shapes.Aside]:
    return [shapes.AsideReceipt.of(each) for each in await aside.receipts(database, limit=limit)]


async def _events(database: Database, _redis: "Redis", limit: int) -> list[shapes.Aside]:
    return [shapes.AsideEvent.of(each) for each in await aside.events(database, limit=limit)]


async def _tasks(_database: Database, redis: "Redis", limit: int) -> list[shapes.Aside]:
    return [
        shapes.AsideTask(
            id=f"task:{each.number}",
            set_aside_at=each.set_aside_at,
            reason=each.reason,
            task=each.task,
            task_id=each.task_id,
            queue=each.queue,
            bytes=each.size_bytes,
        )
        for each in await aside_tasks.listed(redis, limit=limit)
    ]


KINDS: dict[str, Kind] = {
    "receipt": Kind(
        shapes.AsideReceipt,
        _receipts,
        {
            "retry": lambda database, _, numbers: aside.retry_receipts(database, numbers),
            "drop": lambda database, _, numbers: aside.drop_receipts(database, numbers),
        },
    ),
    "event": Kind(
        shapes.AsideEvent,
        _events,
        {
            "retry": lambda database, _, numbers: aside.retry_events(database, numbers),
            "drop": lambda database, _, numbers: aside.drop_events(database, numbers),
        },
    ),
    "task": Kind(
        shapes.AsideTask,
        _tasks,
        {
            "retry": lambda _, redis, numbers: aside_tasks.retry(redis, numbers),
            "drop": lambda _, redis, numbers: aside_tasks.drop(redis, numbers),
        },
    ),
}
"""By the part of an id before its colon."""

ID_PATTERN = rf"^({'|'.join(KINDS)}):[0-9]{{1,18}}$"
"""The form of an id, for documents."""


async def listed(database: Database, redis: "Redis", *, limit: int) -> list[shapes.Aside]:
    """The oldest of each kind, at most `limit` of each. Raises WitnessUnavailable."""
    with _redis_answers():
        return [item for kind in KINDS.values() for item in await kind.listed(database, redis, limit)]


async def act(database: Database, redis: "Redis", act: Act, ids: Sequence[str]) -> shapes.AsideDone:
    """Retry or drop these. Idempotent: what was done before is missing. Record it first.

    Raises CampaignError for what is no id, WitnessUnavailable.
    """
    wanted: dict[str, list[int]] = {}
    for each in named(ids):
        name, _, number = each.partition(":")
        wanted.setdefault(name, []).append(int(number))
    done: list[str] = []
    with _redis_answers():
        for name, numbers in wanted.items():
            found = await KINDS[name].acts[act](database, redis, numbers)
            done += [f"{name}:{number}" for number in found]
    return shapes.AsideDone(done=done, missing=[each for each in named(ids) if each not in done])


def named(ids: Sequence[str]) -> list[str]:
    """The ids, each once. Raises CampaignError for what is none."""
    for each in ids:
        name, _, number = each.partition(":")
        if name not in KINDS or not number.isascii() or not number.isdigit() or len(number) > 18:
            kinds = " or ".join(f"{kind}:NUMBER" for kind in KINDS)
            raise CampaignError(f"{each!r} names nothing that is set aside: an id reads {kinds}")
    return list(dict.fromkeys(ids))


def read(said: Mapping[str, Any]) -> shapes.Aside:
    """An item out of an answer of the API."""
    return KINDS[said["id"].partition(":")[0]].shape.model_validate(said, extra="ignore")


@contextmanager
def _redis_answers() -> Iterator[None]:
    from redis.exceptions import RedisError  # noqa: PLC0415  most commands never speak to it

    try:
        yield
    except (RedisError, OSError) as error:
        raise WitnessUnavailable("Redis did not answer: whether it took hold is not known") from error
