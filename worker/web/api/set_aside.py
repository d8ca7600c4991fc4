"""Operations on what was set aside. It is nobody's campaign's, so the key must see every owner's."""

from typing import Annotated

from pydantic import Field

from campaigns import auditing
from campaigns.domain.access import EVERYTHING, Scope
from worker import aside, shapes
from worker.aside import Act
from worker.web.api.operations import Answer, Asked, Call, Handler, Operation, Rate
from worker.web.api.problems import Kind, Refused

_TAG = "Set aside"
_MOST_LISTED = 10_000  # of a kind: what one command lists
_MOST_IDS = 1_000  # of one request


class AsideFilter(Asked):
    """How much of it."""

    limit: Annotated[int, Field(ge=1, le=_MOST_LISTED, description="At most so many of a kind.")] = 100


class AsideIds(Asked):
    """What is to be done again, or forgotten."""

    ids: Annotated[
        list[Annotated[str, Field(pattern=aside.ID_PATTERN)]],
        Field(min_length=1, max_length=_MOST_IDS, examples=[["receipt:7", "task:3"]]),
    ]


def _check_reach(call: Call) -> None:
    if call.caller.reach != EVERYTHING:
        raise Refused(Kind.MISSING_SCOPE, "what is set aside is everybody's: the key must see every owner's")


async def list_aside(call: Call, query: AsideFilter) -> Answer:
    """What is set aside."""
    _check_reach(call)
    found = await aside.listed(call.parts.database, call.parts.redis, limit=query.limit)
    return Answer(shapes.AsidePage(items=found, next_cursor=None))


def _act(act: Act) -> Handler:
    async def do(call: Call, body: AsideIds) -> Answer:
        _check_reach(call)
        database = call.parts.database
        for named in aside.named(body.ids):
            await auditing.record(database, call.caller.actor, f"aside.{act}", f"aside/{named}")
        return Answer(await aside.act(database, call.parts.redis, act, body.ids))

    return do


def _operation(id_: str, act: Act, summary: str, description: str) -> Operation:
    return Operation(
        id=id_,
        method="POST",
        path=f"/v1/aside/{act}",
        tag=_TAG,
        summary=summary,
        description=description,
        handler=_act(act),
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        body=AsideIds,
        answers={200: shapes.AsideDone},
    )


OPERATIONS = (
    Operation(
        id="listAside",
        method="GET",
        path="/v1/aside",
        tag=_TAG,
        summary="List what could not be done and was set aside, the oldest first",
        description="Receipts that could not be merged, events that no webhook could be told, tasks that no "
        "worker can take; by a key that sees every owner's. One page.",
        handler=list_aside,
        scope=Scope.OPERATE,
        rate=Rate.READ,
        query=AsideFilter,
        answers={200: shapes.AsidePage},
    ),
    _operation(
        "retryAside",
        "retry",
        "Have what was set aside done again",
        "What still cannot be done is set aside again. `missing` are ids that are not set aside.",
    ),
    _operation(
        "dropAside",
        "drop",
        "Forget what was set aside for good",
        "`missing` are ids that are not set aside.",
    ),
)
