"""Operations on the suppression list, which is everybody's: who must not be sent to is not sent to by any."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from campaigns import auditing, suppression
from campaigns.domain.access import Scope
from worker import shapes
from worker.web.api import cursors
from worker.web.api.campaigns import Paged
from worker.web.api.operations import Answer, Asked, Call, Line, Operation, Rate, Region

_TAG = "Suppression"
_MOST_PHONES = 1_000  # numbers of one request
_SUBJECT = "suppression"

Phones = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]],
    Field(min_length=1, max_length=_MOST_PHONES, examples=[["+37060000001"]]),
]


class Listed(Asked):
    """Numbers of the list."""

    phones: Phones
    region: Region | None = None


class NewlyListed(Listed):
    """Numbers for the list, and why."""

    reason: Line = "asked not to be sent to"


async def list_suppressed(call: Call, query: Paged) -> Answer:
    """A page of the suppression list."""
    after = cursors.read_text(query.cursor) if query.cursor is not None else ""
    found = await suppression.page(call.parts.database, limit=query.limit + 1, after=after)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.SuppressionPage(
            items=[_item(*each) for each in items],
            next_cursor=last and cursors.write(last[0]),
        )
    )


async def search_suppressed(call: Call, body: Listed) -> Answer:
    """Which of some numbers are on the list."""
    found = await suppression.find(call.parts.database, body.phones, body.region)
    return Answer(shapes.SuppressionPage(items=[_item(*each) for each in found], next_cursor=None))


def _item(phone: str, reason: str, since: datetime) -> shapes.Suppressed:
    return shapes.Suppressed(phone=phone, reason=reason, since=since)


async def suppress(call: Call, body: NewlyListed) -> Answer:
    """Put numbers on the list."""
    await _record(call, "suppression.add", body)
    count = await suppression.suppress(call.parts.database, body.phones, body.region, body.reason)
    return Answer(shapes.Count(count=count))


async def unsuppress(call: Call, body: Listed) -> Answer:
    """Take numbers off the list."""
    await _record(call, "suppression.remove", body)
    return Answer(
        shapes.Count(count=await suppression.unsuppress(call.parts.database, body.phones, body.region))
    )


async def _record(call: Call, action: str, body: Listed) -> None:
    await auditing.record(
        call.parts.database, call.caller.actor, action, _SUBJECT, phone_count=len(body.phones)
    )


OPERATIONS = (
    Operation(
        id="listSuppressed",
        method="GET",
        path="/v1/suppression",
        tag=_TAG,
        summary="List the numbers that are never sent to",
        handler=list_suppressed,
        scope=Scope.SUPPRESS,
        rate=Rate.READ,
        query=Paged,
        answers={200: shapes.SuppressionPage},
    ),
    Operation(
        id="searchSuppressed",
        method="POST",
        path="/v1/suppression/search",
        tag=_TAG,
        summary="Say which of these numbers are on the list",
        description="By POST, so that no number is in an address.",
        handler=search_suppressed,
        scope=Scope.SUPPRESS,
        rate=Rate.READ,
        body=Listed,
        body_bytes=256 * 1024,
        answers={200: shapes.SuppressionPage},
    ),
    Operation(
        id="suppress",
        method="POST",
        path="/v1/suppression",
        tag=_TAG,
        summary="Never send to these numbers again",
        description="Also not what is queued already. What is being handed over cannot be called back.",
        handler=suppress,
        scope=Scope.SUPPRESS,
        rate=Rate.CHANGE,
        body=NewlyListed,
        body_bytes=256 * 1024,
        answers={200: shapes.Count},
    ),
    Operation(
        id="unsuppress",
        method="POST",
        path="/v1/suppression/remove",
        tag=_TAG,
        summary="Take numbers off the list",
        description="By POST: many proxies drop the body of a DELETE, and no number belongs in an address.",
        handler=unsuppress,
        scope=Scope.SUPPRESS,
        rate=Rate.CHANGE,
        body=Listed,
        body_bytes=256 * 1024,
        answers={200: shapes.Count},
    ),
)
